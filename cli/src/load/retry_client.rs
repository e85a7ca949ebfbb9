//! A client that retries a request with the same key on other nodes until the response is
//! definite, as every client of a sale should.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::connection::{Connection, Post};

/// Timeout of one attempt; longer than a node's own deadlines, so that the node can report the
/// outcome itself.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(5);
/// Shortest and longest pause between attempts.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));

/// A definite response.
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Value,
    /// Whether this is the stored response to an earlier request with the same key.
    pub(crate) replayed: bool,
    /// When the successful attempt was sent.
    pub(crate) sent_at: Instant,
    /// When the response arrived.
    pub(crate) answered_at: Instant,
    /// Why earlier attempts had no definite response.
    pub(crate) retries: Vec<String>,
}

impl Response {
    /// Status and error code: `409 sold_out`.
    pub(crate) fn label(&self) -> String {
        let code = self.body.get("code").and_then(Value::as_str);
        code.map_or_else(|| self.status.to_string(), |code| format!("{} {code}", self.status))
    }
}

/// No definite response before the deadline; why each attempt failed.
pub(crate) struct NoResponse(pub(crate) Vec<String>);

/// A client with a connection to each node.
pub(crate) struct RetryClient {
    nodes: Vec<String>,
    open: Vec<Option<Connection>>,
    buffer: Vec<u8>,
}

impl RetryClient {
    /// A client of these nodes, as `host:port`.
    pub(crate) fn new(nodes: &[String]) -> Self {
        let open = nodes.iter().map(|_| None).collect();
        Self { nodes: nodes.to_vec(), open, buffer: Vec::new() }
    }

    /// Sends a POST, first to `node`, then to the other nodes in turn with the same key, until the
    /// response is definite or `deadline` has passed.
    pub(crate) async fn post(
        &mut self,
        mut node: usize,
        post: &Post,
        token: &str,
        key: &str,
        deadline: Instant,
    ) -> Result<Response, NoResponse> {
        let mut retries = Vec::new();
        let mut pause = PAUSE.0;
        while Instant::now() < deadline {
            post.write(&mut self.buffer, token, key);
            match self.attempt(node, deadline).await {
                Ok(mut answer) if answer.status < 500 && answer.status != 429 => {
                    answer.retries = retries;
                    return Ok(answer);
                }
                Ok(answer) => retries.push(answer.label()),
                Err(why) => retries.push(why.to_owned()),
            }
            node += 1;
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE.1);
        }
        Err(NoResponse(retries))
    }

    async fn attempt(&mut self, node: usize, deadline: Instant) -> Result<Response, &'static str> {
        let at = node % self.nodes.len().max(1);
        let (Some(address), Some(place)) = (self.nodes.get(at), self.open.get_mut(at)) else {
            return Err("no such node");
        };
        let limit = ATTEMPT_LIMIT.min(deadline.saturating_duration_since(Instant::now()));
        let mut connection = match place.take().filter(Connection::is_open) {
            Some(connection) => connection,
            None => Connection::open(address, limit).await.map_err(|_| "cannot connect")?,
        };
        let sent_at = Instant::now();
        let exchanged = timeout(limit, connection.exchange(&self.buffer)).await;
        let reply = exchanged.map_err(|_| "no response in time")?.map_err(|_| "connection lost")?;
        let answer = Response {
            status: reply.status,
            body: serde_json::from_slice(reply.body).unwrap_or(Value::Null),
            replayed: reply.replayed,
            sent_at,
            answered_at: Instant::now(),
            retries: Vec::new(),
        };
        *place = Some(connection);
        Ok(answer)
    }
}
