//! One patient caller: repeats a request with the same key on other nodes until the answer is
//! definite, as every client of a sale should.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::{sleep, timeout};

use super::connection::{Connection, Post};

/// One attempt; longer than a node's own deadlines, so that the node gets to say what happened.
const ATTEMPT_LIMIT: Duration = Duration::from_secs(5);
/// First and longest pause between attempts.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));

/// A definite answer.
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    /// The body.
    pub(crate) body: Value,
    /// Whether a receipt answered.
    pub(crate) replayed: bool,
    /// When the attempt that was answered was sent.
    pub(crate) sent_at: Instant,
    /// When the answer came.
    pub(crate) answered_at: Instant,
    /// Why earlier attempts had no definite answer.
    pub(crate) retries: Vec<String>,
}

impl Answer {
    /// Status and code: `409 sold_out`.
    pub(crate) fn label(&self) -> String {
        let code = self.body.get("code").and_then(Value::as_str);
        code.map_or_else(|| self.status.to_string(), |code| format!("{} {code}", self.status))
    }
}

/// No definite answer before the deadline; why each attempt failed.
pub(crate) struct Lost(pub(crate) Vec<String>);

/// Keeps a connection to each node.
pub(crate) struct Caller {
    nodes: Vec<String>,
    open: Vec<Option<Connection>>,
    buffer: Vec<u8>,
}

impl Caller {
    /// A caller that knows these nodes, as `host:port`.
    pub(crate) fn new(nodes: &[String]) -> Self {
        let open = nodes.iter().map(|_| None).collect();
        Self { nodes: nodes.to_vec(), open, buffer: Vec::new() }
    }

    /// Sends one POST, first to `node`, then around all nodes with the same key, until the answer
    /// is definite or `deadline` has passed.
    pub(crate) async fn insist(
        &mut self,
        mut node: usize,
        post: &Post,
        token: &str,
        key: &str,
        deadline: Instant,
    ) -> Result<Answer, Lost> {
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
        Err(Lost(retries))
    }

    async fn attempt(&mut self, node: usize, deadline: Instant) -> Result<Answer, &'static str> {
        let at = node % self.nodes.len().max(1);
        let (Some(address), Some(place)) = (self.nodes.get(at), self.open.get_mut(at)) else {
            return Err("no such node");
        };
        let limit = ATTEMPT_LIMIT.min(deadline.saturating_duration_since(Instant::now()));
        let mut connection = match place.take().filter(Connection::is_open) {
            Some(connection) => connection,
            None => Connection::open(address, limit).await.map_err(|_| "not reachable")?,
        };
        let sent_at = Instant::now();
        let exchanged = timeout(limit, connection.exchange(&self.buffer)).await;
        let reply = exchanged.map_err(|_| "no answer in time")?.map_err(|_| "connection lost")?;
        let answer = Answer {
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
