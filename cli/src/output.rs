//! Output: text and aligned tables for people, JSON for scripts. The only file that writes to the
//! terminal.

use std::io::{self, IsTerminal as _, Write as _};

use serde_json::{Value, json};

use crate::exit::Exit;

/// Writes to stdout. Exits without a message if the reader is gone (`| head`).
pub(crate) fn write(text: &str) {
    let mut out = io::stdout().lock();
    if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
        crate::exit::leave(Exit::Io);
    }
}

/// Writes a line to stdout.
pub(crate) fn line(text: &str) {
    write(&format!("{text}\n"));
}

/// Writes JSON to stdout: indented on a terminal, one value per line otherwise.
pub(crate) fn json(value: &Value) {
    let pretty = io::stdout().is_terminal();
    line(&if pretty { format!("{value:#}") } else { value.to_string() });
}

/// Writes a line to stderr; ignores errors.
pub(crate) fn note(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// Asks for a line on the terminal.
pub(crate) fn ask(question: &str) -> io::Result<String> {
    let mut err = io::stderr().lock();
    err.write_all(question.as_bytes())?;
    err.flush()?;
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line.trim().to_owned())
}

/// Prints why a command failed.
pub(crate) fn error(json: bool, exit: Exit, error: &anyhow::Error) {
    if json {
        note(
            &json!({"object": "error", "exit": exit.code(), "detail": format!("{error:#}")})
                .to_string(),
        );
    } else {
        let text = format!("{error:#}");
        let is_plain = text.starts_with("refused: ");
        note(&if is_plain { text } else { format!("error: {text}") });
    }
}

/// Aligns rows under their headers; numeric columns are right-aligned.
pub(crate) fn table(headers: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headers.iter().map(|header| header.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let numeric = |column: usize| {
        !rows.is_empty()
            && rows.iter().all(|row| {
                row.get(column)
                    .is_none_or(|c| c == "-" || c.starts_with(|l: char| l.is_ascii_digit()))
            })
    };
    let right: Vec<bool> = (0..headers.len()).map(numeric).collect();
    let headers: Vec<String> = headers.iter().map(|header| (*header).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&headers).chain(rows) {
        let mut cells = Vec::new();
        for ((cell, width), right) in row.iter().zip(&widths).zip(&right) {
            cells.push(if *right { format!("{cell:>width$}") } else { format!("{cell:<width$}") });
        }
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A field of a JSON document as text; dots in `path` descend into objects.
pub(crate) fn field(value: &Value, path: &str) -> String {
    let found = path.split('.').try_fold(value, |at, name| at.get(name));
    match found {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(money)) if money.contains_key("currency") => {
            format!(
                "{} {}",
                field(value, &format!("{path}.amount")),
                field(value, &format!("{path}.currency"))
            )
        }
        Some(other) => other.to_string(),
    }
}

/// One line per field of a single object; nested fields get dotted names.
pub(crate) fn object(value: &Value) -> String {
    let mut lines = Vec::new();
    flatten(value, "", &mut lines);
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let line = |(name, text): (String, String)| format!("{name:<width$}  {text}\n");
    lines.into_iter().map(line).collect()
}

fn flatten(value: &Value, above: &str, lines: &mut Vec<(String, String)>) {
    for (name, inner) in value.as_object().into_iter().flatten() {
        let path = format!("{above}{name}");
        let is_money = inner.get("currency").is_some();
        if inner.is_object() && !is_money {
            flatten(inner, &format!("{path}."), lines);
        } else if name != "object" {
            lines.push((path, field(value, name)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_text_left_and_numbers_right() {
        let rows = vec![
            vec!["n1".to_owned(), "7".to_owned()],
            vec!["longer".to_owned(), "1234".to_owned()],
        ];
        assert_eq!(table(&["NODE", "SOLD"], &rows), "NODE    SOLD\nn1         7\nlonger  1234\n");
    }

    #[test]
    fn nested_fields_get_dotted_names() {
        let sale =
            json!({"id": "sal_1", "object": "sale", "stock": {"held": 3, "object": "stock"}});
        assert_eq!(object(&sale), "id          sal_1\nstock.held  3\n");
    }

    #[test]
    fn money_is_shown_as_amount_and_currency() {
        let sale = json!({"price": {"amount": 15000, "currency": "KRW"}, "closes_at": null});
        assert_eq!(field(&sale, "price"), "15000 KRW");
        assert_eq!(field(&sale, "closes_at"), "-");
    }
}
