//! JSON over HTTP/1.1, for the commands that talk to a node as any client would.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use firstcome_api::Keys;
use firstcome_domain::{Role, UserId};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::credentials::{self, fresh_user};
use crate::exit::{Exit, Stop};
use crate::output;

/// No answer of the API is larger.
const BODY_BYTES_MAX: usize = 16 << 20;
/// Between two tries of [`Client::insist`].
const AGAIN: Duration = Duration::from_millis(50);
/// A token made for one command need not live longer than the command.
const TOKEN_SECONDS: u64 = 600;

/// Which node, and as whom.
#[derive(clap::Args)]
pub(crate) struct Remote {
    /// A node's REST address; any node will do.
    #[arg(long, env = "FIRSTCOME_URL", default_value = "http://127.0.0.1:7400", global = true)]
    url: String,
    /// Access token; without it one is made if a master key is at hand.
    #[arg(long, env = "FIRSTCOME_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    /// Master key to make a token with; else FIRSTCOME_MASTER_KEY_FILE, ./data/master.key.
    #[arg(long, value_name = "FILE", global = true)]
    key_file: Option<PathBuf>,
    /// The customer a made token speaks for.
    #[arg(long, value_name = "usr_...", global = true)]
    subject: Option<UserId>,
    /// Seconds to wait for an answer.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", global = true)]
    timeout: u64,
}

impl Remote {
    /// A client that speaks with this role, if it has to make its own token.
    pub(crate) fn client(&self, role: Role) -> anyhow::Result<Client> {
        let token = match &self.token {
            Some(token) => Some(token.clone()),
            None => credentials::find(self.key_file.as_ref())?.map(|keys| {
                keys.mint(self.subject.unwrap_or_else(fresh_user), role, TOKEN_SECONDS)
            }),
        };
        Client::new(&self.url, token, Duration::from_secs(self.timeout))
    }
}

/// Speaks to one node.
pub(crate) struct Client {
    pool: Pool<HttpConnector, Full<Bytes>>,
    base: String,
    token: Option<String>,
    limit: Duration,
}

/// What a node answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status line.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body; null if there is none.
    pub(crate) body: Value,
}

/// One request, in the making.
pub(crate) struct Ask<'a> {
    method: Method,
    path: &'a str,
    body: Option<&'a Value>,
    headers: Vec<(&'static str, String)>,
}

impl<'a> Ask<'a> {
    /// Reads.
    pub(crate) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: None, headers: Vec::new() }
    }
    /// Creates or does; carries a fresh idempotency key, so that it can be repeated.
    pub(crate) fn post(path: &'a str, body: &'a Value) -> Self {
        Self::post_once(path, body, &uuid::Uuid::now_v7().to_string())
    }
    /// Creates or does, once for this key.
    pub(crate) fn post_once(path: &'a str, body: &'a Value, key: &str) -> Self {
        let headers = vec![("idempotency-key", key.to_owned())];
        Self { method: Method::POST, path, body: Some(body), headers }
    }
    /// Changes what still has this version.
    pub(crate) fn patch(path: &'a str, body: &'a Value, etag: String) -> Self {
        let headers = vec![("if-match", etag)];
        Self { method: Method::PATCH, path, body: Some(body), headers }
    }
    /// Removes what still has this version; members have none.
    pub(crate) fn delete(path: &'a str, etag: Option<String>) -> Self {
        let headers = etag.map(|etag| ("if-match", etag)).into_iter().collect();
        Self { method: Method::DELETE, path, body: None, headers }
    }
}

impl Client {
    /// Speaks to the node at `url`, with a token if there is one.
    pub(crate) fn new(url: &str, token: Option<String>, limit: Duration) -> anyhow::Result<Self> {
        let base = url.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") {
            let message = format!("--url {url}: this version speaks http:// only");
            return Err(Stop::new(Exit::Usage, message).into());
        }
        let pool = Pool::builder(TokioExecutor::new()).build_http();
        Ok(Self { pool, base, token, limit })
    }

    /// As a user of `role` that nobody has seen before.
    pub(crate) fn minted(
        url: &str,
        keys: &Keys,
        role: Role,
        limit: Duration,
    ) -> anyhow::Result<Self> {
        let token = keys.mint(fresh_user(), role, 24 * 3600);
        Self::new(url, Some(token), limit)
    }

    /// Asks, whatever the answer. Fails without one: with 1 when nothing can have happened, with
    /// 2 when it may have.
    pub(crate) async fn ask(&self, ask: Ask<'_>) -> anyhow::Result<Answer> {
        let changes = ask.method != Method::GET;
        let request = self.request(ask)?;
        let work = async {
            let response = self.pool.request(request).await.map_err(|error| {
                if error.is_connect() {
                    self.unreachable()
                } else {
                    lost(changes, &error.to_string())
                }
            })?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, BODY_BYTES_MAX).collect().await;
            let body = body.map_err(|error| lost(changes, &error.to_string()))?.to_bytes();
            let text = || Value::String(String::from_utf8_lossy(&body).into_owned());
            let body = if body.is_empty() {
                Value::Null
            } else {
                serde_json::from_slice(&body).unwrap_or_else(|_| text())
            };
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        let timed = tokio::time::timeout(self.limit, work).await;
        timed.unwrap_or_else(|_| Err(lost(changes, "no answer in time").into()))
    }

    /// Asks, and takes only success for an answer; a problem document becomes an error that
    /// prints as it should.
    pub(crate) async fn must(&self, ask: Ask<'_>) -> anyhow::Result<Answer> {
        let answer = self.ask(ask).await?;
        if answer.status.is_success() { Ok(answer) } else { Err(refusal(&answer).into()) }
    }

    /// Asks once for this key, and again while the node says that nothing was done for now: a new
    /// cluster may still be finding its leader.
    pub(crate) async fn insist(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        let key = uuid::Uuid::now_v7().to_string();
        let deadline = Instant::now() + self.limit;
        loop {
            let answer = self.ask(Ask::post_once(path, body, &key)).await?;
            if answer.status.is_success() {
                return Ok(answer);
            }
            if !answer.status.is_server_error() || Instant::now() > deadline {
                return Err(refusal(&answer).into());
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// The version of what `path` shows now.
    pub(crate) async fn etag(&self, path: &str) -> anyhow::Result<String> {
        let answer = self.must(Ask::get(path)).await?;
        let etag = answer.headers.get("etag").and_then(|etag| etag.to_str().ok());
        etag.map(ToOwned::to_owned).with_context(|| format!("{path} has no ETag"))
    }

    fn request(&self, ask: Ask<'_>) -> anyhow::Result<Request<Full<Bytes>>> {
        let uri = format!("{}{}", self.base, ask.path);
        let mut request = Request::builder().method(ask.method).uri(&uri);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in ask.headers {
            request = request.header(name, value);
        }
        let body = match ask.body {
            Some(body) => {
                request = request.header("content-type", "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        request
            .body(Full::new(body))
            .map_err(|error| Stop::new(Exit::Usage, format!("cannot ask {uri}: {error}")).into())
    }

    fn unreachable(&self) -> Stop {
        let base = &self.base;
        let message = format!(
            "cannot reach {base}: is the node running? start one with `firstcome serve`, or name \
             another with --url"
        );
        Stop::new(Exit::Refused, message)
    }
}

/// An answer that got lost on the way.
fn lost(changes: bool, why: &str) -> Stop {
    if changes {
        let message =
            format!("{why}: the request may or may not have been executed; look, then repeat it");
        Stop::new(Exit::Unknown, message)
    } else {
        Stop::new(Exit::Refused, format!("{why}: nothing was changed"))
    }
}

/// A problem document in words.
fn refusal(answer: &Answer) -> Stop {
    let problem = &answer.body;
    let maybe = problem.get("executed").and_then(Value::as_str) == Some("maybe");
    let exit = if maybe { Exit::Unknown } else { Exit::Refused };
    let Some(fields) = problem.as_object().filter(|fields| fields.contains_key("code")) else {
        return Stop::new(exit, format!("the node answered {} {problem}", answer.status));
    };
    // What every problem has; the rest are facts about this one.
    let plain = [
        "type",
        "title",
        "status",
        "code",
        "detail",
        "instance",
        "request_id",
        "executed",
        "retryable",
        "errors",
    ];
    let title = output::field(problem, "title");
    let mut text = format!("refused: {title} ({})", output::field(problem, "code"));
    if fields.get("detail").is_some_and(Value::is_string) {
        text.push_str(&format!("\n  {}", output::field(problem, "detail")));
    }
    for error in problem.get("errors").and_then(Value::as_array).into_iter().flatten() {
        let (pointer, detail) = (output::field(error, "pointer"), output::field(error, "detail"));
        text.push_str(&format!("\n  {pointer}: {detail}"));
    }
    for name in fields.keys().filter(|name| !plain.contains(&name.as_str())) {
        text.push_str(&format!("\n  {name}: {}", output::field(problem, name)));
    }
    if maybe {
        text.push_str("\n  it may have been executed: look, then repeat it");
    }
    Stop { exit, message: text }
}

/// Asks, and prints the answer: as it came with `--json`, else in words.
pub(crate) async fn show(
    client: &Client,
    ask: Ask<'_>,
    json: bool,
    human: impl FnOnce(&Value) -> String,
) -> anyhow::Result<Exit> {
    let answer = client.ask(ask).await?;
    let refused = (!answer.status.is_success()).then(|| refusal(&answer));
    if json {
        output::json(&answer.body);
        return Ok(refused.map_or(Exit::Done, |stop| stop.exit));
    }
    if let Some(stop) = refused {
        return Err(stop.into());
    }
    output::write(&human(&answer.body));
    Ok(Exit::Done)
}

/// The rows of a list answer.
pub(crate) fn rows(list: &Value) -> impl Iterator<Item = &Value> {
    list.get("data").and_then(Value::as_array).into_iter().flatten()
}
