//! An HTTP/1.1 client that never repeats a request by itself.
//!
//! One kept connection per node, no retries, no redirects, one deadline per request.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use crate::record::http::{Lost, Request, Response};

/// Largest response that is accepted. A page of a hundred orders is far smaller.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// The connections of one process.
#[derive(Debug)]
pub struct HttpClient {
    deadline: Duration,
    open: BTreeMap<SocketAddr, TcpStream>,
}

impl HttpClient {
    /// A client that waits this long for an answer.
    pub const fn new(deadline: Duration) -> Self {
        Self { deadline, open: BTreeMap::new() }
    }

    /// Sends a request once; returns the response.
    pub fn send(&mut self, to: SocketAddr, request: &Request) -> Result<Response, Lost> {
        let until = Instant::now() + self.deadline;
        let mut stream = match self.open.remove(&to) {
            Some(stream) if is_idle(&stream) => stream,
            _ => TcpStream::connect_timeout(&to, self.deadline)
                .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
                .map_err(|error| Lost::BeforeFirstByte(error.to_string()))?,
        };
        let bytes = bytes(request, to);
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

/// Whether a kept connection can be reused: no bytes waiting, and not closed by the other side.
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

fn bytes(request: &Request, host: SocketAddr) -> Vec<u8> {
    use std::fmt::Write as _;
    let body = request.body.as_ref().map(Value::to_string).unwrap_or_default();
    let mut head = format!("{} {} HTTP/1.1\r\nhost: {host}\r\n", request.method, request.path);
    let mut line = |name: &str, value: &str| {
        // Writing to a string cannot fail.
        _ = write!(head, "{name}: {value}\r\n");
    };
    if let Some(token) = &request.token {
        line("authorization", &format!("Bearer {token}"));
    }
    if let Some(key) = &request.key {
        line("idempotency-key", key);
    }
    for (name, value) in &request.headers {
        line(name, value);
    }
    if request.body.is_some() {
        line("content-type", "application/json");
        line("content-length", &body.len().to_string());
    }
    head.push_str("\r\n");
    head.push_str(&body);
    head.into_bytes()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use serde_json::json;

    use super::*;

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
            let response = HttpClient::new(Duration::from_secs(5)).send(address, &request).unwrap();
            assert_eq!(response.body, Some(json!({"a": 1})));
            assert_eq!(response.headers.get("x-revision").map(String::as_str), Some("3"));
            let sent = String::from_utf8(served.join().unwrap()).unwrap();
            assert!(sent.contains("idempotency-key: k-1\r\n"), "{sent}");
        }
    }

    #[test]
    fn a_closed_port_is_before_and_a_cut_answer_is_after_the_first_byte() {
        let (address, served) = answer_once(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{");
        let mut client = HttpClient::new(Duration::from_secs(5));
        let request = Request::get("/v1/time", "");
        let lost = client.send(address, &request).unwrap_err();
        assert!(matches!(lost, Lost::AfterFirstByte(_)), "{lost:?}");
        served.join().unwrap();
        let lost = client.send(address, &request).unwrap_err();
        assert!(matches!(lost, Lost::BeforeFirstByte(_)), "{lost:?}");
    }
}
