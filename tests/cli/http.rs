//! A small HTTP client: one connection per request, with a timeout for each wait.

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
        let to: SocketAddr = address.parse().map_err(io::Error::other)?;
        let mut stream = TcpStream::connect_timeout(&to, SILENCE_MAX)?;
        stream.set_read_timeout(Some(SILENCE_MAX))?;
        stream.set_write_timeout(Some(SILENCE_MAX))?;
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
        Response::parse(&String::from_utf8_lossy(&answer))
            .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "incomplete response"))
    }
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
