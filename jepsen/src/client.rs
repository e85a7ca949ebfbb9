//! A client that never repeats itself, and the table by which an answer becomes an event.
//!
//! HTTP/1.1 over one kept connection per node: no retries, no redirects, one deadline. What counts
//! is whether the first byte of a request was written: before it nothing can have happened, after
//! it anything may have.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::codes;

/// Largest answer that is read: a page of a hundred orders is far below.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST`, `PATCH`.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// Access token, if any.
    pub token: Option<String>,
    /// Idempotency key, if any.
    pub key: Option<String>,
    /// JSON body, if any.
    pub body: Option<Value>,
    /// What else stands in its head: names in lower case, such as `if-match`.
    pub headers: Vec<(&'static str, String)>,
}

impl Request {
    /// A read.
    pub fn get(path: impl Into<String>, token: &str) -> Self {
        let token = (!token.is_empty()).then(|| token.to_owned());
        let headers = Vec::new();
        Self { method: "GET", path: path.into(), token, key: None, body: None, headers }
    }

    /// A write under a key.
    pub fn post(path: impl Into<String>, token: &str, key: &str, body: Value) -> Self {
        Self {
            method: "POST",
            path: path.into(),
            token: Some(token.to_owned()),
            key: Some(key.to_owned()),
            body: Some(body),
            headers: Vec::new(),
        }
    }

    /// A change of the version that was seen.
    pub fn patch(path: impl Into<String>, token: &str, version: u64, body: Value) -> Self {
        let post = Self::post(path, token, "", body);
        Self { method: "PATCH", key: None, ..post }.with("if-match", format!("\"{version}\""))
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn bytes(&self, host: SocketAddr) -> Vec<u8> {
        use std::fmt::Write as _;
        let body = self.body.as_ref().map(Value::to_string).unwrap_or_default();
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {host}\r\n", self.method, self.path);
        let mut line = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            _ = write!(head, "{name}: {value}\r\n");
        };
        if let Some(token) = &self.token {
            line("authorization", &format!("Bearer {token}"));
        }
        if let Some(key) = &self.key {
            line("idempotency-key", key);
        }
        for (name, value) in &self.headers {
            line(name, value);
        }
        if self.body.is_some() {
            line("content-type", "application/json");
            line("content-length", &body.len().to_string());
        }
        head.push_str("\r\n");
        head.push_str(&body);
        head.into_bytes()
    }
}

/// An answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Body as JSON; `None` when it is not JSON.
    pub body: Option<Value>,
}

/// No answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lost {
    /// Nothing was sent.
    BeforeFirstByte(String),
    /// Something was sent.
    AfterFirstByte(String),
}

/// What an observation is written down as.
#[derive(Clone, PartialEq, Debug)]
pub enum Class {
    /// Answered or refused, at a revision.
    Ok {
        /// `None`: done; else the code of the refusal.
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
const EARLY: &[&str] = &["sold_out", "sale_closed"];

/// Classifies what a client saw: a pure function, the table of the test plan.
pub fn classify(is_write: bool, seen: Result<&Response, &Lost>) -> Class {
    let doubt = |why: String| if is_write { Class::Info(why) } else { Class::Dropped(why) };
    let response = match seen {
        Ok(response) => response,
        Err(Lost::BeforeFirstByte(why)) => return Class::Fail(why.clone()),
        Err(Lost::AfterFirstByte(why)) => return doubt(why.clone()),
    };
    let status = response.status;
    let Some(body) = response.body.as_ref().filter(|body| body.is_object()) else {
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

/// One process's connections.
#[derive(Debug)]
pub struct Client {
    deadline: Duration,
    open: BTreeMap<SocketAddr, TcpStream>,
}

impl Client {
    /// A client that waits this long for an answer.
    pub const fn new(deadline: Duration) -> Self {
        Self { deadline, open: BTreeMap::new() }
    }

    /// Sends once; answers what came back.
    pub fn send(&mut self, to: SocketAddr, request: &Request) -> Result<Response, Lost> {
        let until = Instant::now() + self.deadline;
        let mut stream = match self.open.remove(&to) {
            Some(stream) if is_idle(&stream) => stream,
            _ => TcpStream::connect_timeout(&to, self.deadline)
                .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
                .map_err(|error| Lost::BeforeFirstByte(error.to_string()))?,
        };
        let bytes = request.bytes(to);
        let wrote = stream.write(&bytes).map_err(|e| Lost::BeforeFirstByte(e.to_string()))?;
        let lost = |error: anyhow::Error| Lost::AfterFirstByte(format!("{error:#}"));
        let rest = bytes.get(wrote..).unwrap_or_default();
        stream.write_all(rest).map_err(|error| lost(error.into()))?;
        let (response, reusable) = receive(&mut stream, until).map_err(lost)?;
        if reusable {
            self.open.insert(to, stream);
        }
        Ok(response)
    }
}

/// Whether a kept connection is still good: silent, and not closed by the other side.
fn is_idle(stream: &TcpStream) -> bool {
    let mut byte = [0];
    if stream.set_nonblocking(true).is_err() {
        return false;
    }
    let seen = stream.peek(&mut byte);
    let silent = matches!(seen, Err(error) if error.kind() == ErrorKind::WouldBlock);
    stream.set_nonblocking(false).is_ok() && silent
}

fn more(stream: &mut TcpStream, until: Instant, into: &mut Vec<u8>) -> anyhow::Result<usize> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        bail!("deadline passed");
    }
    stream.set_read_timeout(Some(left))?;
    let mut chunk = [0; 16 << 10];
    let count = stream.read(&mut chunk)?;
    into.extend_from_slice(chunk.get(..count).unwrap_or_default());
    if into.len() > ANSWER_BYTES_MAX {
        bail!("answer longer than {ANSWER_BYTES_MAX} bytes");
    }
    Ok(count)
}

fn receive(stream: &mut TcpStream, until: Instant) -> anyhow::Result<(Response, bool)> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        if more(stream, until, &mut bytes)? == 0 {
            bail!("closed before an answer");
        }
    };
    let mut body = bytes.split_off(head_end + 4);
    let (status, headers) = head(&bytes)?;
    let kept = headers.get("connection").is_none_or(|value| !value.eq_ignore_ascii_case("close"));
    let chunked = headers.get("transfer-encoding").is_some_and(|v| v.contains("chunked"));
    if chunked {
        while !body.ends_with(b"0\r\n\r\n") {
            if more(stream, until, &mut body)? == 0 {
                bail!("closed within an answer");
            }
        }
        body = unchunk(&body).context("bad chunks")?;
    } else {
        let length: usize = headers.get("content-length").map_or(Ok(0), |text| text.parse())?;
        while body.len() < length {
            if more(stream, until, &mut body)? == 0 {
                bail!("closed within an answer");
            }
        }
        body.truncate(length);
    }
    let body = serde_json::from_slice(&body).ok();
    Ok((Response { status, headers, body }, kept))
}

fn head(bytes: &[u8]) -> anyhow::Result<(u16, BTreeMap<String, String>)> {
    let text = std::str::from_utf8(bytes)?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status line")?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Ok((status.parse()?, headers))
}

fn unchunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let line = bytes.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(bytes.get(..line)?).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(whole);
        }
        let start = line + 2;
        whole.extend_from_slice(bytes.get(start..start.checked_add(size)?)?);
        bytes = bytes.get(start + size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use serde_json::json;

    use super::*;

    fn response(status: u16, headers: &[(&str, &str)], body: Value) -> Response {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Response { status, headers, body: Some(body) }
    }

    #[track_caller]
    fn check(is_write: bool, status: u16, headers: &[(&str, &str)], body: Value, expected: &str) {
        let class = classify(is_write, Ok(&response(status, headers, body)));
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
    fn silence_is_judged_by_the_first_byte() {
        let before = Lost::BeforeFirstByte("refused".into());
        let after = Lost::AfterFirstByte("reset".into());
        assert!(matches!(classify(true, Err(&before)), Class::Fail(_)));
        assert!(matches!(classify(true, Err(&after)), Class::Info(_)));
        assert!(matches!(classify(false, Err(&after)), Class::Dropped(_)));
    }

    fn answer_once(answer: &'static [u8]) -> (SocketAddr, thread::JoinHandle<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = vec![0; 4096];
            let count = stream.read(&mut request).unwrap();
            request.truncate(count);
            stream.write_all(answer).unwrap();
            request
        });
        (address, served)
    }

    #[test]
    fn both_ways_of_framing_a_body_are_read() {
        for answer in [
            &b"HTTP/1.1 200 OK\r\nX-Revision: 3\r\nContent-Length: 7\r\n\r\n{\"a\":1}"[..],
            b"HTTP/1.1 200 OK\r\nX-Revision: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n",
        ] {
            let (address, served) = answer_once(answer);
            let request = Request::post("/v1/orders", "t", "k-1", json!({"b": 2}));
            let response = Client::new(Duration::from_secs(5)).send(address, &request).unwrap();
            assert_eq!(response.body, Some(json!({"a": 1})));
            assert_eq!(response.headers.get("x-revision").map(String::as_str), Some("3"));
            let sent = String::from_utf8(served.join().unwrap()).unwrap();
            assert!(sent.contains("idempotency-key: k-1\r\n"), "{sent}");
        }
    }

    #[test]
    fn a_closed_port_is_before_and_a_cut_answer_is_after_the_first_byte() {
        let (address, served) = answer_once(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{");
        let mut client = Client::new(Duration::from_secs(5));
        let request = Request::get("/v1/time", "");
        let lost = client.send(address, &request).unwrap_err();
        assert!(matches!(lost, Lost::AfterFirstByte(_)), "{lost:?}");
        served.join().unwrap();
        let lost = client.send(address, &request).unwrap_err();
        assert!(matches!(lost, Lost::BeforeFirstByte(_)), "{lost:?}");
    }
}
