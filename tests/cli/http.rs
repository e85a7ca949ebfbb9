//! A small HTTP client with a timeout for each wait: one connection per request, or a keep-alive
//! connection for reads.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longest wait for a connection or for the next bytes of a response.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// One request.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    method: &'static str,
    path: &'a str,
    token: Option<&'a str>,
    key: Option<&'a str>,
    body: &'a str,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    /// `Null` if it is not JSON.
    pub(crate) body: Value,
}

impl<'a> Request<'a> {
    /// A read.
    pub(crate) const fn get(path: &'a str) -> Self {
        Self { method: "GET", path, token: None, key: None, body: "" }
    }

    /// A write.
    pub(crate) const fn post(path: &'a str, body: &'a str) -> Self {
        Self { method: "POST", path, token: None, key: None, body }
    }

    /// A change.
    pub(crate) const fn patch(path: &'a str, body: &'a str) -> Self {
        Self { method: "PATCH", path, token: None, key: None, body }
    }

    /// Sets the access token.
    pub(crate) const fn by(mut self, token: &'a str) -> Self {
        self.token = Some(token);
        self
    }

    /// Sets the idempotency key.
    pub(crate) const fn key(mut self, key: &'a str) -> Self {
        self.key = Some(key);
        self
    }

    /// Sends it to `address` and waits for the whole response. After an error the outcome is unknown.
    pub(crate) fn send(self, address: &str) -> io::Result<Response> {
        let mut stream = connect(address)?;
        let mut head = vec![
            format!("{} {} HTTP/1.1", self.method, self.path),
            format!("host: {address}"),
            "connection: close".to_owned(),
        ];
        head.extend(self.token.map(|token| format!("authorization: Bearer {token}")));
        head.extend(self.key.map(|key| format!("idempotency-key: {key}")));
        if !self.body.is_empty() {
            head.push("content-type: application/json".to_owned());
            head.push(format!("content-length: {}", self.body.len()));
        }
        let request = format!("{}\r\n\r\n{}", head.join("\r\n"), self.body);
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Response::parse(&String::from_utf8_lossy(&answer)).ok_or_else(incomplete)
    }
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let to: SocketAddr = address.parse().map_err(io::Error::other)?;
    let stream = TcpStream::connect_timeout(&to, SILENCE_MAX)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    Ok(stream)
}

fn incomplete() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "incomplete response")
}

/// A keep-alive connection that reads without a token.
pub(crate) struct Reader {
    address: String,
    /// Opened by the first read.
    stream: Option<TcpStream>,
    received: Vec<u8>,
}

impl Reader {
    /// A reader of the node at `address`.
    pub(crate) fn new(address: &str) -> Self {
        Self { address: address.to_owned(), stream: None, received: Vec::new() }
    }

    /// Reads `path` and returns the status. The connection stays open for the next read.
    pub(crate) fn get(&mut self, path: &str) -> io::Result<u16> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address);
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(connect(&self.address)?),
        };
        stream.write_all(request.as_bytes())?;
        self.received.clear();
        let mut part = [0; 8 << 10];
        loop {
            let count = stream.read(&mut part)?;
            self.received.extend_from_slice(part.get(..count).unwrap_or_default());
            if let Some(status) = status_if_whole(&self.received) {
                return Ok(status);
            }
            if count == 0 {
                return Err(incomplete());
            }
        }
    }
}

/// The status of a response, once all of it has arrived.
fn status_if_whole(bytes: &[u8]) -> Option<u16> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length = head.lines().filter_map(|line| line.split_once(": "));
    let mut length = length.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.next()?.1.parse().ok()?;
    (bytes.len() == end + length).then_some(status)
}

impl Response {
    fn parse(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let answer = Self { status, headers, body: serde_json::from_str(body).unwrap_or_default() };
        let whole = answer.header("content-length").and_then(|bytes| bytes.parse().ok());
        // An answer without content has no length (RFC 9110, 8.6).
        let whole = if status == 204 { Some(0) } else { whole };
        (whole == Some(body.len())).then_some(answer)
    }

    /// A header by its lower-case name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A string field of the body; empty if there is none.
    pub(crate) fn text(&self, member: &str) -> &str {
        self.body[member].as_str().unwrap_or_default()
    }
}
