//! How a response, or the lack of one, becomes an event of the history.
//!
//! What matters is whether the first byte of a request was sent. Before it nothing can have
//! happened; after it anything may have.

use serde_json::{Value, json};

use super::codes;
use super::http::{Lost, Response};

/// The field of an event's value that marks a response outside the contract.
pub const BREACH: &str = "breach";

/// The class of an observation.
#[derive(Clone, PartialEq, Debug)]
pub enum Class {
    /// Answered or refused, at a revision.
    Ok {
        /// The code of the refusal; `None` if the request was carried out.
        refused: Option<String>,
        /// The revision.
        rev: u64,
        /// From a receipt.
        replayed: bool,
        /// From a read.
        early: bool,
    },
    /// Never takes effect.
    Fail(String),
    /// A write that may have taken effect.
    Info(String),
    /// A read without an answer.
    Dropped(String),
    /// Outside the contract.
    Breach(String),
}

/// Refusals that may come from a read.
const EARLY: &[&str] = &["sold_out", "sale_closed", "sale_not_open", "not_found"];

/// Classifies what a client saw. A pure function. Requests about accounts may be refused because of
/// who asks; for all others such a refusal is a breach.
pub fn classify(is_write: bool, is_account: bool, seen: Result<&Response, &Lost>) -> Class {
    let doubt = |why: String| if is_write { Class::Info(why) } else { Class::Dropped(why) };
    let response = match seen {
        Ok(response) => response,
        Err(Lost::BeforeFirstByte(why)) => return Class::Fail(why.clone()),
        Err(Lost::AfterFirstByte(why)) => return doubt(why.clone()),
    };
    let status = response.status;
    let nothing = json!({});
    let body = if status == 204 { Some(&nothing) } else { response.body.as_ref() };
    let Some(body) = body.filter(|body| body.is_object()) else {
        return Class::Breach(format!("{status} without a JSON object"));
    };
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let header = |name: &str| response.headers.get(name).map(String::as_str);
    let revision = header("x-revision").and_then(|text| text.parse::<u64>().ok());
    let replayed = header("idempotency-replayed") == Some("true");
    let early = body.get("early").is_some_and(|early| early == true);
    let refused = text("code").map(str::to_owned);

    if (200..300).contains(&status) {
        return match revision {
            Some(rev) => Class::Ok { refused: None, rev, replayed, early: false },
            None => Class::Breach(format!("{status} without X-Revision")),
        };
    }
    let (Some(code), Some(executed)) = (text("code"), text("executed")) else {
        return Class::Breach(format!("{status} without code or executed: {body}"));
    };
    let number = |name: &str| body.get(name).and_then(Value::as_u64);
    let decided = if early { number("revision") } else { number("ticket") }.or(revision);
    let is_refusal = match status {
        402 | 409 => true,
        400 => is_account && code == "code_invalid",
        401 | 403 => is_account,
        404 => !is_write,
        412 => code == "version_mismatch",
        422 => code == "idempotency_key_reused",
        _ => false,
    };
    match (status, executed, decided) {
        _ if !codes::belongs(status, code) => {
            Class::Breach(format!("unknown {status} {code}: {body}"))
        }
        (429 | 503, "no", _) => Class::Fail(code.to_owned()),
        (500.., "maybe", _) => doubt(code.to_owned()),
        (_, "no", Some(_)) if early && !EARLY.contains(&code) => {
            Class::Breach(format!("{status} {code} from a read: {body}"))
        }
        (_, "no", Some(rev)) if is_refusal => Class::Ok { refused, rev, replayed, early },
        _ => Class::Breach(format!("unexpected {status} {code}, executed {executed}: {body}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&str, &str)], body: Value) -> Response {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Response { status, headers, body: Some(body) }
    }

    #[track_caller]
    fn check(is_write: bool, status: u16, headers: &[(&str, &str)], body: Value, expected: &str) {
        let class = classify(is_write, false, Ok(&response(status, headers, body)));
        let shown = match class {
            Class::Ok { refused, rev, replayed, early } => format!(
                "ok {} {rev}{}{}",
                refused.unwrap_or_default(),
                if replayed { " replayed" } else { "" },
                if early { " early" } else { "" }
            ),
            Class::Fail(_) => "fail".into(),
            Class::Info(_) => "info".into(),
            Class::Dropped(_) => "dropped".into(),
            Class::Breach(_) => "breach".into(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn answers_are_classified_by_the_table() {
        let at = [("x-revision", "7")];
        let replayed = [("x-revision", "7"), ("idempotency-replayed", "true")];
        let code = |code: &str, executed: &str| json!({"code": code, "executed": executed});
        check(true, 201, &at, json!({"id": "ord_1"}), "ok  7");
        check(true, 200, &replayed, json!({"id": "ord_1"}), "ok  7 replayed");
        check(true, 201, &[], json!({"id": "ord_1"}), "breach");
        check(true, 409, &at, code("sold_out", "no"), "ok sold_out 7");
        let early = json!({"code": "sold_out", "executed": "no", "early": true, "revision": 5});
        check(true, 409, &at, early, "ok sold_out 5 early");
        let early =
            json!({"code": "limit_reached", "executed": "no", "early": true, "revision": 5});
        check(true, 409, &at, early, "breach");
        check(true, 402, &at, code("payment_declined", "no"), "ok payment_declined 7");
        check(true, 409, &[], code("sold_out", "no"), "breach");
        check(true, 409, &at, json!({"code": "sold_out"}), "breach");
        check(true, 422, &at, code("idempotency_key_reused", "no"), "ok idempotency_key_reused 7");
        check(true, 422, &at, code("validation_failed", "no"), "breach");
        check(true, 412, &at, code("version_mismatch", "no"), "ok version_mismatch 7");
        check(true, 412, &[], code("version_mismatch", "no"), "breach");
        check(false, 404, &at, code("not_found", "no"), "ok not_found 7");
        check(true, 404, &at, code("not_found", "no"), "breach");
        check(true, 429, &[], code("rate_limited", "no"), "fail");
        check(true, 503, &[], code("no_quorum", "no"), "fail");
        check(true, 503, &[], code("no_quorum", "maybe"), "info");
        check(true, 504, &[], code("outcome_unknown", "maybe"), "info");
        check(false, 504, &[], code("outcome_unknown", "maybe"), "dropped");
        check(true, 500, &[], code("internal", "no"), "breach");
        check(false, 500, &[], code("internal", "no"), "breach");
        check(false, 503, &[], code("no_quorum", "no"), "fail");
        check(true, 503, &[], code("tired", "no"), "breach");
        check(true, 409, &at, code("no_mood", "no"), "breach");
        check(true, 503, &at, code("sold_out", "no"), "breach");
        check(true, 418, &at, code("teapot", "no"), "breach");
    }

    #[test]
    fn only_who_asks_about_accounts_may_be_refused_for_who_they_are() {
        let class = |is_account, status, code: &str| {
            let body = json!({"code": code, "executed": "no"});
            classify(true, is_account, Ok(&response(status, &[("x-revision", "7")], body)))
        };
        for (status, code) in [(400, "code_invalid"), (401, "session_reuse"), (403, "user_blocked")]
        {
            let refused = Some(code.to_owned());
            let expected = Class::Ok { refused, rev: 7, replayed: false, early: false };
            assert_eq!(class(true, status, code), expected);
            assert!(matches!(class(false, status, code), Class::Breach(_)), "{code}");
        }
        assert!(matches!(class(true, 400, "malformed_json"), Class::Breach(_)));
        assert!(matches!(class(true, 403, "session_reuse"), Class::Breach(_)));
        let throttled = class(true, 429, "login_throttled");
        assert_eq!(throttled, Class::Fail("login_throttled".into()));
    }

    #[test]
    fn an_answer_without_content_has_no_body() {
        let answer = Response { body: None, ..response(204, &[("x-revision", "7")], json!({})) };
        let expected = Class::Ok { refused: None, rev: 7, replayed: false, early: false };
        assert_eq!(classify(true, true, Ok(&answer)), expected);
        let answer = Response { status: 200, ..answer };
        assert!(matches!(classify(true, true, Ok(&answer)), Class::Breach(_)));
    }

    #[test]
    fn silence_is_judged_by_the_first_byte() {
        let before = Lost::BeforeFirstByte("refused".into());
        let after = Lost::AfterFirstByte("reset".into());
        assert!(matches!(classify(true, false, Err(&before)), Class::Fail(_)));
        assert!(matches!(classify(true, false, Err(&after)), Class::Info(_)));
        assert!(matches!(classify(false, false, Err(&after)), Class::Dropped(_)));
    }
}
