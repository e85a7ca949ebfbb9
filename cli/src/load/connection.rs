//! One keep-alive connection: sends a request and reads its response without allocating.
//!
//! Supports only what our API sends: bodies with `Content-Length`, no chunked encoding.

use std::io::{self, ErrorKind};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// API responses have about fifteen headers.
const HEADERS_MAX: usize = 48;
/// Initial size of the receive buffer; it grows for lists.
const BUFFER_BYTES: usize = 16 << 10;
/// No API response is larger.
const RESPONSE_BYTES_MAX: usize = 16 << 20;

/// A response, borrowed from its connection.
pub(crate) struct Response<'a> {
    /// The status code.
    pub(crate) status: u16,
    /// Whether this is the stored response to an earlier request with the same key.
    pub(crate) replayed: bool,
    /// The body.
    pub(crate) body: &'a [u8],
}

/// A parsed response head.
struct Head {
    status: u16,
    replayed: bool,
    closes: bool,
    end: usize,
    body_len: usize,
}

/// A connection to one node.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    open: bool,
}

impl Connection {
    /// Connects to `host:port` within `limit`.
    pub(crate) async fn open(address: &str, limit: Duration) -> io::Result<Self> {
        let stream = tokio::time::timeout(limit, TcpStream::connect(address))
            .await
            .map_err(|_| io::Error::from(ErrorKind::TimedOut))??;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; BUFFER_BYTES], open: true })
    }

    /// Whether the connection can take another request.
    pub(crate) const fn is_open(&self) -> bool {
        self.open
    }

    /// Sends a request and waits for its response. After an error or a cancelled call, the
    /// connection must not be used again.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Response<'_>> {
        self.open = false;
        self.stream.write_all(request).await?;
        let mut filled = 0;
        let head = loop {
            filled += self.receive(filled).await?;
            if let Some(head) = parse(self.buffer.get(..filled).unwrap_or_default())? {
                break head;
            }
        };
        let end = head.end + head.body_len;
        if end > RESPONSE_BYTES_MAX {
            return Err(io::Error::other("the response is too large"));
        }
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        while filled < end {
            filled += self.receive(filled).await?;
        }
        self.open = !head.closes;
        let body = self.buffer.get(head.end..end).unwrap_or_default();
        Ok(Response { status: head.status, replayed: head.replayed, body })
    }

    /// Reads more bytes after the `filled` ones.
    async fn receive(&mut self, filled: usize) -> io::Result<usize> {
        if filled == self.buffer.len() {
            if filled >= RESPONSE_BYTES_MAX {
                return Err(io::Error::other("the response head is too large"));
            }
            self.buffer.resize(filled * 2, 0);
        }
        let room = self.buffer.get_mut(filled..).unwrap_or_default();
        match self.stream.read(room).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }
}

/// Parses a response head; `None` until it is complete.
fn parse(bytes: &[u8]) -> io::Result<Option<Head>> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut response = httparse::Response::new(&mut headers);
    let parsed = response.parse(bytes).map_err(io::Error::other)?;
    let httparse::Status::Complete(end) = parsed else { return Ok(None) };
    let status = response.code.unwrap_or(0);
    let mut head = Head { status, replayed: false, closes: false, end, body_len: 0 };
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            let length = std::str::from_utf8(header.value).ok().and_then(|v| v.parse().ok());
            head.body_len = length.ok_or_else(|| io::Error::other("invalid Content-Length"))?;
        } else if header.name.eq_ignore_ascii_case("idempotency-replayed") {
            head.replayed = header.value == b"true";
        } else if header.name.eq_ignore_ascii_case("connection") {
            head.closes = header.value.eq_ignore_ascii_case(b"close");
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(io::Error::other("chunked responses are not supported"));
        }
    }
    Ok(Some(head))
}

/// A POST request whose constant parts are prepared once.
pub(crate) struct Post {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Post {
    /// Prepares POSTs of `body` to `path`.
    pub(crate) fn new(host: &str, path: &str, body: &str) -> Self {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n",
            body.len()
        );
        Self { head: head.into_bytes(), body: body.as_bytes().to_vec() }
    }

    /// Writes one request into `buffer`, replacing its content.
    pub(crate) fn write(&self, buffer: &mut Vec<u8>, token: &str, key: &str) {
        buffer.clear();
        buffer.extend_from_slice(&self.head);
        buffer.extend_from_slice(b"Authorization: Bearer ");
        buffer.extend_from_slice(token.as_bytes());
        buffer.extend_from_slice(b"\r\nIdempotency-Key: ");
        buffer.extend_from_slice(key.as_bytes());
        buffer.extend_from_slice(b"\r\n\r\n");
        buffer.extend_from_slice(&self.body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_and_replay_are_parsed() -> io::Result<()> {
        let bytes =
            b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\nIdempotency-Replayed: true\r\n\r\nhello";
        assert!(parse(bytes.get(..30).unwrap_or_default())?.is_none());
        let head = parse(bytes)?.ok_or(ErrorKind::UnexpectedEof)?;
        assert_eq!((head.status, head.body_len, head.replayed), (201, 5, true));
        assert_eq!(bytes.get(head.end..), Some(&b"hello"[..]));
        Ok(())
    }

    #[test]
    fn a_post_has_token_key_and_length() {
        let mut buffer = b"old".to_vec();
        Post::new("h:1", "/v1/orders", "{}").write(&mut buffer, "T", "K");
        let text = String::from_utf8_lossy(&buffer);
        assert!(text.starts_with("POST /v1/orders HTTP/1.1\r\nHost: h:1\r\n"), "{text}");
        assert!(text.contains("Content-Length: 2\r\nAuthorization: Bearer T\r\n"), "{text}");
        assert!(text.ends_with("Idempotency-Key: K\r\n\r\n{}"), "{text}");
    }
}
