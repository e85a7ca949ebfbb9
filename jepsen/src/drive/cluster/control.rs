//! The control socket of a fault build: one JSON object per line in, one out.
//!
//! A fresh connection for every request: the node may have died since the last one.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

/// A thread of its own answers the socket, at once unless the process is stopped.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Sends one request; returns the node's status afterwards.
pub fn send(socket: &Path, request: &Value) -> anyhow::Result<Value> {
    let mut stream = UnixStream::connect(socket)
        .with_context(|| format!("no control socket at {}", socket.display()))?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    stream.set_write_timeout(Some(ANSWER_LIMIT))?;
    writeln!(stream, "{request}")?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let answer: Value = serde_json::from_str(&line).context("the control socket was closed")?;
    if let Some(error) = answer.get("error") {
        bail!("the node refused {request}: {error}");
    }
    Ok(answer)
}

/// What is armed and what has fired.
pub fn status(socket: &Path) -> anyhow::Result<Value> {
    send(socket, &json!({"do": "status"}))
}

/// How often something fired: `fired(&status, "failpoints", "flush_callback")`.
pub fn fired(status: &Value, group: &str, name: &str) -> u64 {
    let counter = status.get("fired").and_then(|all| all.get(group)?.get(name)?.as_u64());
    counter.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    fn answering(answer: &'static str) -> (tempfile::TempDir, std::path::PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control");
        let listener = UnixListener::bind(&path).unwrap();
        thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            let mut out = stream.try_clone().unwrap();
            BufReader::new(stream).read_line(&mut String::new()).unwrap();
            writeln!(out, "{answer}").unwrap();
        });
        (dir, path)
    }

    #[test]
    fn a_refused_request_is_an_error_and_counters_are_read() {
        let (_dir, path) = answering(r#"{"fired":{"failpoints":{"flush_callback":3}}}"#);
        let answer = status(&path).unwrap();
        assert_eq!(fired(&answer, "failpoints", "flush_callback"), 3);
        assert_eq!(fired(&answer, "disk", "eio"), 0);
        let (_dir, path) = answering(r#"{"error":"no such thing"}"#);
        let refused = send(&path, &json!({"do": "x"})).unwrap_err();
        assert!(format!("{refused:#}").contains("no such thing"));
        assert!(status(Path::new("no-such-socket")).is_err());
    }
}
