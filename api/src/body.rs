//! The body of a request: read whole within limits, then typed.
//!
//! A body that is not JSON is 400; JSON of the wrong shape is 422 with a pointer. Finding the
//! pointer costs a second parse, which only refused requests pay.

use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use serde_path_to_error::Segment;
use utoipa::ToSchema;

use crate::json::Json;
use crate::problem::{Code, Problem};

/// Maximum size of a JSON body.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How much of an oversized body is read and discarded, so that the client sees the response
/// instead of a connection reset.
const DRAIN_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The whole body must arrive within this time.
const BODY_TIME: Duration = Duration::from_secs(10);

/// A body without fields.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Empty)]
pub(crate) struct EmptyBody {}

/// Reads the whole body.
pub(crate) async fn read(body: Body) -> Result<Bytes, Problem> {
    match tokio::time::timeout(BODY_TIME, collect(body)).await {
        Ok(read) => read,
        Err(_) => Err(Problem::new(Code::RequestTimeout)),
    }
}

/// Discards a body that no handler reads, so that the connection stays usable.
pub(crate) async fn discard(body: Body) {
    if !body.is_end_stream() {
        drop(read(body).await);
    }
}

async fn collect(mut body: Body) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    let mut rest: Option<BytesMut> = None;
    let mut seen = 0_usize;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            Problem::new(Code::MalformedJson).detail("The body ended before it was complete.")
        })?;
        let Ok(chunk) = frame.into_data() else { continue };
        seen = seen.saturating_add(chunk.len());
        if seen > DRAIN_BYTES_MAX {
            break;
        }
        if seen > BODY_BYTES_MAX {
            continue;
        }
        match &mut rest {
            None if first.is_empty() => first = chunk,
            None => {
                let mut all = BytesMut::from(first.as_ref());
                all.extend_from_slice(&chunk);
                rest = Some(all);
            }
            Some(all) => all.extend_from_slice(&chunk),
        }
    }
    if seen > BODY_BYTES_MAX {
        return Err(Problem::new(Code::BodyTooLarge));
    }
    Ok(rest.map_or(first, BytesMut::freeze))
}

/// Types a body. An empty one counts as `{}` where `may_be_empty`.
pub(crate) fn parse<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: &[u8],
    may_be_empty: bool,
) -> Result<T, Problem> {
    typed(checked(headers, body, may_be_empty)?)
}

/// Types a body like [`parse`], and shows the same parse to `show` if that succeeds; an empty body
/// is shown as `null`.
pub(crate) fn parse_and_show<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: &[u8],
    may_be_empty: bool,
    show: impl FnOnce(&Json<'_>),
) -> Result<T, Problem> {
    let text = checked(headers, body, may_be_empty)?;
    let tree = if body.is_empty() { None } else { serde_json::from_slice(text).ok() };
    let Some(tree) = tree else {
        let value = typed(text)?;
        show(&Json::Null);
        return Ok(value);
    };
    match T::deserialize(&tree) {
        Ok(value) => {
            show(&tree);
            Ok(value)
        }
        // Only the text has the line and the pointer.
        Err(_) => typed(text),
    }
}

/// The text to parse.
fn checked<'b>(
    headers: &HeaderMap,
    body: &'b [u8],
    may_be_empty: bool,
) -> Result<&'b [u8], Problem> {
    let body = if body.is_empty() && may_be_empty {
        b"{}".as_slice()
    } else {
        check_content_type(headers)?;
        body
    };
    // serde would accept an array as the fields of an object in order.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return match serde_json::from_slice::<IgnoredAny>(body) {
            Ok(_) => Err(Problem::field("", "invalid_type", "must be an object")),
            Err(_) => Err(Problem::new(Code::MalformedJson)),
        };
    }
    Ok(body)
}

fn typed<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(text).map_err(|error| refusal::<T>(text, &error))
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media = value.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    let json = media.eq_ignore_ascii_case("application/json");
    if json { Ok(()) } else { Err(Problem::new(Code::UnsupportedMediaType)) }
}

fn refusal<T: DeserializeOwned>(body: &[u8], error: &serde_json::Error) -> Problem {
    // serde may report a wrong shape before it reaches the syntax error further on.
    let syntax = match serde_json::from_slice::<IgnoredAny>(body) {
        Err(error) => Some(error.line()),
        Ok(_) => (error.classify() != Category::Data).then(|| error.line()),
    };
    if let Some(line) = syntax {
        let detail = format!("The body is not a single JSON value (line {line}).");
        return Problem::new(Code::MalformedJson).detail(detail);
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let Err(error) = serde_path_to_error::deserialize::<_, T>(&mut reader) else {
        return Problem::new(Code::MalformedJson);
    };
    let message = error.inner().to_string();
    let pointer = pointer(error.path(), &message);
    let (code, detail) = explain(&message);
    Problem::field(pointer, code, detail)
}

fn pointer(path: &serde_path_to_error::Path, message: &str) -> String {
    let mut pointer = String::new();
    let mut last = String::new();
    for segment in path {
        last = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { .. } | Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&last);
    }
    // The path of a missing or unknown field ends at the object around it.
    let about_a_field =
        message.starts_with("missing field") || message.starts_with("unknown field");
    if let Some(name) = message.split('`').nth(1).filter(|_| about_a_field) {
        let name = name.replace('~', "~0").replace('/', "~1");
        if name != last || message.starts_with("missing field") {
            pointer.push('/');
            pointer.push_str(&name);
        }
    }
    pointer
}

/// A code and a sentence for what serde found. They never repeat what was sent.
fn explain(message: &str) -> (&'static str, String) {
    // From the right: what was sent comes before it and could contain the same words.
    let expected = message
        .rsplit_once(", expected ")
        .map_or("another value", |(_, rest)| rest.split(" at line").next().unwrap_or(rest));
    if message.starts_with("unknown field") {
        ("unknown_field", "unknown field".to_owned())
    } else if message.starts_with("missing field") {
        ("required", "this field is required".to_owned())
    } else if message.starts_with("duplicate field") {
        ("duplicate_field", "this field is sent twice".to_owned())
    } else if message.starts_with("invalid value") || message.starts_with("number out of range") {
        ("out_of_range", format!("must be {expected}"))
    } else if message.starts_with("unknown variant") {
        ("invalid", format!("must be {expected}"))
    } else {
        ("invalid_type", format!("must be {expected}"))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::fields::nullable;

    #[derive(PartialEq, Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Line {
        quantity: u32,
        #[serde(default)]
        from: Option<From>,
    }

    #[derive(PartialEq, Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum From {
        General,
        New,
    }

    #[derive(PartialEq, Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(clippy::option_option, reason = "absent, null and a value are three things")]
    struct Ask {
        lines: Vec<Line>,
        #[serde(default)]
        delta: i64,
        #[serde(default, deserialize_with = "nullable")]
        note: Option<Option<String>>,
    }

    /// Parses a body as an unkeyed request and as a keyed one; both must agree.
    fn parsed(body: &str) -> Result<Ask, serde_json::Value> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let document = |problem: Problem| -> serde_json::Value {
            serde_json::from_slice(&problem.to_json("/", "r", false)).unwrap()
        };
        let unkeyed = parse::<Ask>(&headers, body.as_bytes(), false).map_err(document);
        let mut shown = 0;
        let keyed = parse_and_show::<Ask>(&headers, body.as_bytes(), false, |_| shown += 1);
        let keyed = keyed.map_err(document);
        assert_eq!(keyed, unkeyed, "{body}");
        assert_eq!(shown, usize::from(keyed.is_ok()), "{body}");
        keyed
    }

    fn ask(body: &str) -> serde_json::Value {
        parsed(body).unwrap_err()
    }

    #[test]
    fn a_keyed_body_is_typed_like_any_other() {
        for body in [
            r#"{"lines":[]}"#,
            r#" {"delta" : -5, "lines": [{"quantity":1},{"quantity":2,"from":"new"}]}"#,
            r#"{"lines":[{"quantity":1,"from":null}],"note":null}"#,
            r#"{"lines":[{"quantity":1,"from":{"general":null}}],"note":"a\u0041\n"}"#,
            r#"{"\u006cines":[{"quantity":4294967295}],"delta":-9223372036854775808}"#,
            r#"{"lines":[[1,"general"],[2,null]]}"#,
        ] {
            assert!(parsed(body).is_ok(), "{body}");
        }
        for body in [
            r#"{"lines":[],"lines":[]}"#,
            r#"{"lines":[{"quantity":1,"quantity":1}]}"#,
            r#"{"lines":[{"quantity":1,"from":"other"}]}"#,
            r#"{"lines":[{"quantity":1,"from":{"general":null,"new":null}}]}"#,
            r#"{"lines":[{"quantity":1,"from":{"general":1}}]}"#,
            r#"{"lines":[{"quantity":1,"from":{}}]}"#,
            r#"{"lines":[{"quantity":1,"from":[]}]}"#,
            r#"{"lines":[[1,"general",3]]}"#,
            r#"{"lines":{},"note":1}"#,
            r#"{"lines":[{"quantity":4294967296}]}"#,
            r#"{"lines":[{"quantity":1.0}]}"#,
            r#"{"lines":[{"quantity":-0}]}"#,
            r#"{"lines":[{"quantity":18446744073709551616}]}"#,
            r#"{"lines":[],"delta":9223372036854775808}"#,
            r#"{"lines":[],"note":true}"#,
            "null",
            "1",
            "true",
            r#""x""#,
        ] {
            assert!(parsed(body).is_err(), "{body}");
        }
        assert_eq!(ask(r#"{"lines":[],"note":"\ud800"}"#)["code"], "malformed_json");
        let deep = format!(r#"{{"lines":{}"#, "[".repeat(10_000));
        assert_eq!(ask(&deep)["code"], "malformed_json");
    }

    #[test]
    fn shapes_are_refused_with_a_pointer() {
        for (body, pointer, code) in [
            (r#"{"lines":[{"quantity":-1}]}"#, "/lines/0/quantity", "out_of_range"),
            (r#"{"lines":[{"quantity":99999999999}]}"#, "/lines/0/quantity", "out_of_range"),
            (r#"{"lines":[{"quantity":1.5}]}"#, "/lines/0/quantity", "invalid_type"),
            (r#"{"lines":[{"quantity":"1"}]}"#, "/lines/0/quantity", "invalid_type"),
            (r#"{"lines":[{"quantity":1,"x":1}]}"#, "/lines/0/x", "unknown_field"),
            (r#"{"lines":[{}]}"#, "/lines/0/quantity", "required"),
            (r#"{"lines":[],"a/b":1}"#, "/a~1b", "unknown_field"),
            ("{}", "/lines", "required"),
            ("[]", "", "invalid_type"),
        ] {
            let json = ask(body);
            assert_eq!(json["code"], "validation_failed", "{body}");
            assert_eq!(json["errors"][0]["pointer"], pointer, "{body}: {json}");
            assert_eq!(json["errors"][0]["code"], code, "{body}: {json}");
        }
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for body in ["", "{", "{\"lines\":[]} x", "nope", "\u{0}"] {
            assert_eq!(ask(body)["code"], "malformed_json", "{body}");
        }
    }

    #[test]
    fn what_was_sent_is_not_repeated() {
        let json = ask(r#"{"lines":[{"quantity":"010-1234-5678"}]}"#);
        assert!(!json.to_string().contains("010-1234"), "{json}");
    }
}
