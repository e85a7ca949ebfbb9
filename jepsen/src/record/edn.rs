//! The history in EDN, for other checkers (Knossos, Elle): one map per line, as Jepsen writes them.
//!
//! ```text
//! {:index 1, :time 18, :process 7, :type :invoke, :f :order, :value {:customer "usr_7" :qty 1}, :pool "sal_3", :key "k-9", :node "n2"}
//! ```
//!
//! Reads without a response are `:fail`, as in the history itself: they had no effect.

use std::io::{BufRead, Write};

use anyhow::Context;
use serde_json::Value;

use crate::record::history::{Event, Kind, Process};

/// Copies a history line by line.
pub fn export(input: impl BufRead, out: &mut impl Write) -> anyhow::Result<()> {
    for (number, line) in (1_u64..).zip(input.lines()) {
        let line = line.with_context(|| format!("line {number}"))?;
        if number == 1 {
            continue; // The header is not an event.
        }
        let event: Event = serde_json::from_str(&line)
            .with_context(|| format!("line {number}: not an event of this format"))?;
        writeln!(out, "{}", map(&event))?;
    }
    Ok(())
}

fn map(event: &Event) -> String {
    let process = match &event.p {
        Process::Client(number) => number.to_string(),
        Process::Named(name) => format!(":{}", word(name)),
    };
    let kind = match event.kind {
        Kind::Invoke => "invoke",
        Kind::Ok => "ok",
        Kind::Fail => "fail",
        Kind::Info => "info",
    };
    let mut text = format!(
        "{{:index {}, :time {}, :process {process}, :type :{kind}, :f :{}, :value {}",
        event.i,
        event.t,
        word(&event.f),
        edn(&event.value)
    );
    let texts = [("pool", &event.pool), ("key", &event.key), ("node", &event.node)];
    for (name, value) in texts {
        if let Some(value) = value {
            text.extend([", :", name, " ", &quoted(value)]);
        }
    }
    if let Some(rev) = event.rev {
        text.extend([", :rev ", &rev.to_string()]);
    }
    for (name, is_set) in [("replayed", event.replayed), ("early", event.early)] {
        if is_set {
            text.extend([", :", name, " true"]);
        }
    }
    text + "}"
}

fn edn(value: &Value) -> String {
    match value {
        Value::Null => "nil".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(edn).collect::<Vec<_>>().join(" "))
        }
        Value::Object(fields) => {
            let pairs = fields.iter().map(|(name, value)| {
                let name = if is_word(name) { format!(":{name}") } else { quoted(name) };
                format!("{name} {}", edn(value))
            });
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(" "))
        }
    }
}

fn is_word(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-')
}

/// Turns any name into a keyword.
fn word(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect()
}

/// EDN has the same escapes that a JSON writer uses.
fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: &str) {
        let history =
            format!("{{\"i\":0,\"type\":\"header\",\"format\":1,\"run\":\"r\"}}\n{line}\n");
        let mut out = Vec::new();
        export(history.as_bytes(), &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap().trim_end(), expected);
    }

    #[test]
    fn every_kind_of_line_has_its_map() {
        check(
            r#"{"i":1,"t":5,"p":7,"type":"invoke","f":"order","pool":"sal_3","key":"k-9","value":{"customer":"u","qty":1},"node":"n2"}"#,
            r#"{:index 1, :time 5, :process 7, :type :invoke, :f :order, :value {:customer "u" :qty 1}, :pool "sal_3", :key "k-9", :node "n2"}"#,
        );
        check(
            r#"{"i":2,"t":6,"p":7,"type":"ok","f":"stock","value":{"n":[1,true,null]},"rev":31,"early":true}"#,
            r"{:index 2, :time 6, :process 7, :type :ok, :f :stock, :value {:n [1 true nil]}, :rev 31, :early true}",
        );
        check(
            r#"{"i":3,"t":7,"p":"nemesis","type":"info","f":"kill","value":{"a b":"c\"d"}}"#,
            r#"{:index 3, :time 7, :process :nemesis, :type :info, :f :kill, :value {"a b" "c\"d"}}"#,
        );
    }
}
