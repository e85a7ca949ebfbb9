//! Problem documents (RFC 9457) as error messages.

use http::StatusCode;
use serde_json::Value;

use crate::exit::{Exit, Stop};
use crate::output;

/// The error for a response with this status and body, as readable text.
pub(super) fn refusal(status: StatusCode, problem: &Value) -> Stop {
    let maybe = problem.get("executed").and_then(Value::as_str) == Some("maybe");
    let exit = if maybe { Exit::Unknown } else { Exit::Refused };
    let Some(fields) = problem.as_object().filter(|fields| fields.contains_key("code")) else {
        return Stop::new(exit, format!("the node answered {status} {problem}"));
    };
    // The members of every problem document; all others are specific to this problem.
    let standard = [
        "type",
        "title",
        "status",
        "code",
        "detail",
        "instance",
        "request_id",
        "executed",
        "retryable",
        "errors",
    ];
    let title = output::field(problem, "title");
    let mut text = format!("refused: {title} ({})", output::field(problem, "code"));
    if fields.get("detail").is_some_and(Value::is_string) {
        text.push_str(&format!("\n  {}", output::field(problem, "detail")));
    }
    for error in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let (pointer, detail) = (output::field(error, "pointer"), output::field(error, "detail"));
        text.push_str(&format!("\n  {pointer}: {detail}"));
    }
    for name in fields.keys().filter(|name| !standard.contains(&name.as_str())) {
        text.push_str(&format!("\n  {name}: {}", output::field(problem, name)));
    }
    if maybe {
        text.push_str("\n  it may have been executed: check, then retry");
    }
    Stop { exit, message: text }
}
