//! `history.jsonl`: what a run wrote, or a stranger sends as evidence.

use firstcome_jepsen::record::history::{Event, read, write_event, write_header};
use serde_json::Value;

use crate::Reached;

/// A history: an error names a line that is there, what is read can be written and read again,
/// and its beginning is a history, too.
pub fn history_jsonl(data: &[u8]) -> Reached {
    let lines = data.split(|byte| *byte == b'\n').count();
    let history = match read(data) {
        Ok(history) => history,
        Err(error) => {
            let text = format!("{error:#}");
            let number = text.strip_prefix("line ").and_then(|rest| rest.split(':').next());
            let number: usize =
                number.and_then(|text| text.parse().ok()).expect("an error begins with its line");
            assert!((1..=lines).contains(&number), "{text} of {lines} lines");
            return Reached::Refused;
        }
    };
    assert!(history.attempts.len() + history.faults.len() < lines.max(2));
    let text = std::str::from_utf8(data).expect("JSON is UTF-8");
    let events: Vec<Event> = text
        .lines()
        .skip(1)
        .map(|line| serde_json::from_str(line).expect("it was an event before"))
        .collect();
    let mut again = Vec::new();
    write_header(&mut again, &history.run).expect("memory is writable");
    for event in &events {
        write_event(&mut again, event).expect("memory is writable");
    }
    let reread = read(again.as_slice()).expect("what was written can be read");
    // Text of a float may be read one bit off, and no history of ours has one.
    if !events.iter().any(|event| has_float(&event.value)) {
        assert_eq!(reread, history);
    }
    if let Some((beginning, _)) = text.trim_end_matches('\n').rsplit_once('\n') {
        assert!(read(beginning.as_bytes()).is_ok(), "a beginning of a history is none");
    }
    Reached::Accepted
}

fn has_float(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_float),
        Value::Object(members) => members.values().any(has_float),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}
