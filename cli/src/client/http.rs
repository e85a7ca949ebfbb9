//! JSON over HTTP/1.1 to one node.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use firstcome_api::Keys;
use firstcome_domain::Role;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tokio::sync::Mutex;

use super::problem::refusal;
use super::renew::Kept;
use crate::credentials::fresh_user;
use crate::exit::{Exit, Stop};
use crate::output::field;

/// No API response is larger.
const BODY_BYTES_MAX: usize = 16 << 20;
/// Pause between two attempts of [`Client::retry`].
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// A client of one node.
pub(crate) struct Client {
    pool: Pool<HttpConnector, Full<Bytes>>,
    base: String,
    token: Option<String>,
    /// Instead of a token.
    session: Option<Mutex<Kept>>,
    limit: Duration,
}

/// A response.
#[derive(Debug)]
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body; null if empty.
    pub(crate) body: Value,
    /// Whether a session asked.
    by_session: bool,
}

/// A request.
pub(crate) struct Request<'a> {
    method: Method,
    path: &'a str,
    body: Option<&'a Value>,
    headers: Vec<(&'static str, String)>,
}

impl<'a> Request<'a> {
    /// A read.
    pub(crate) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, body: None, headers: Vec::new() }
    }
    /// A write with a new idempotency key.
    pub(crate) fn post(path: &'a str, body: &'a Value) -> Self {
        Self::post_once(path, body, &uuid::Uuid::now_v7().to_string())
    }
    /// A write with this idempotency key.
    pub(crate) fn post_once(path: &'a str, body: &'a Value, key: &str) -> Self {
        let headers = vec![("idempotency-key", key.to_owned())];
        Self { method: Method::POST, path, body: Some(body), headers }
    }
    /// A replacement, whatever is there.
    pub(crate) fn put(path: &'a str, body: &'a Value) -> Self {
        Self { method: Method::PUT, path, body: Some(body), headers: Vec::new() }
    }
    /// A change, if the resource still has this version.
    pub(crate) fn patch(path: &'a str, body: &'a Value, etag: String) -> Self {
        let headers = vec![("if-match", etag)];
        Self { method: Method::PATCH, path, body: Some(body), headers }
    }
    /// A removal, if the resource still has this version; members have no version.
    pub(crate) fn delete(path: &'a str, etag: Option<String>) -> Self {
        let headers = etag.map(|etag| ("if-match", etag)).into_iter().collect();
        Self { method: Method::DELETE, path, body: None, headers }
    }
}

impl Response {
    /// The error for a response that is not successful.
    pub(super) fn refusal(&self) -> Stop {
        let mut stop = refusal(self.status, &self.body);
        if self.by_session && field(&self.body, "code") == "permission_denied" {
            stop.message.push_str(
                "\n  this was asked by your session; --as admin asks with the master key instead",
            );
        }
        stop
    }
}

impl Client {
    /// A client of the node at `url`, with an access token if given.
    pub(crate) fn new(url: &str, token: Option<String>, limit: Duration) -> anyhow::Result<Self> {
        let base = url.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") {
            let message = format!("--url {url}: only http:// is supported in this version");
            return Err(Stop::new(Exit::Usage, message).into());
        }
        let pool = Pool::builder(TokioExecutor::new()).build_http();
        Ok(Self { pool, base, token, session: None, limit })
    }

    /// The same client, as the user of a session.
    pub(super) fn with_session(self, kept: Kept) -> Self {
        Self { session: Some(Mutex::new(kept)), ..self }
    }

    /// The URL of the node, without a slash at its end.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// A client with the token of a new user in `role`.
    pub(crate) fn as_new_user(
        url: &str,
        keys: &Keys,
        role: Role,
        limit: Duration,
    ) -> anyhow::Result<Self> {
        let token = keys.mint(fresh_user(), role, 24 * 3600);
        Self::new(url, Some(token), limit)
    }

    /// Sends a request and returns any response. Without a response it fails: with exit code 1 if
    /// nothing was changed, with 2 if the request may have been executed.
    pub(crate) async fn send(&self, request: Request<'_>) -> anyhow::Result<Response> {
        let Some(session) = &self.session else {
            return self.send_as(&request, self.token.as_deref()).await;
        };
        let mut kept = session.lock().await;
        let mut response = self.send_as(&request, Some(&kept.session.access_token)).await?;
        // What another process has kept may have expired as well.
        for _ in 0..2 {
            if response.status != StatusCode::UNAUTHORIZED {
                break;
            }
            self.renew(&mut kept).await?;
            response = self.send_as(&request, Some(&kept.session.access_token)).await?;
        }
        Ok(Response { by_session: true, ..response })
    }

    /// Sends a request once, with this access token.
    pub(super) async fn send_as(
        &self,
        request: &Request<'_>,
        token: Option<&str>,
    ) -> anyhow::Result<Response> {
        let changes = request.method != Method::GET;
        let request = self.encode(request, token)?;
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
            Ok(Response { status: head.status, headers: head.headers, body, by_session: false })
        };
        let timed = tokio::time::timeout(self.limit, work).await;
        timed.unwrap_or_else(|_| Err(lost(changes, "no response in time").into()))
    }

    /// Sends a request and returns a successful response; any other becomes an error.
    pub(crate) async fn send_ok(&self, request: Request<'_>) -> anyhow::Result<Response> {
        let response = self.send(request).await?;
        if response.status.is_success() { Ok(response) } else { Err(response.refusal().into()) }
    }

    /// Sends a write with one idempotency key until it succeeds; retries server errors, because a
    /// new cluster may still be electing its leader.
    pub(crate) async fn retry(&self, path: &str, body: &Value) -> anyhow::Result<Response> {
        let key = uuid::Uuid::now_v7().to_string();
        let deadline = Instant::now() + self.limit;
        loop {
            let response = self.send(Request::post_once(path, body, &key)).await?;
            if response.status.is_success() {
                return Ok(response);
            }
            if !response.status.is_server_error() || Instant::now() > deadline {
                return Err(response.refusal().into());
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    /// The current version of the resource at `path`.
    pub(crate) async fn etag(&self, path: &str) -> anyhow::Result<String> {
        let response = self.send_ok(Request::get(path)).await?;
        let etag = response.headers.get("etag").and_then(|etag| etag.to_str().ok());
        etag.map(ToOwned::to_owned).with_context(|| format!("{path} has no ETag"))
    }

    fn encode(
        &self,
        request: &Request<'_>,
        token: Option<&str>,
    ) -> anyhow::Result<http::Request<Full<Bytes>>> {
        let uri = format!("{}{}", self.base, request.path);
        let mut encoded = http::Request::builder().method(&request.method).uri(&uri);
        if let Some(token) = token {
            encoded = encoded.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in &request.headers {
            encoded = encoded.header(*name, value);
        }
        let body = match request.body {
            Some(body) => {
                encoded = encoded.header("content-type", "application/json");
                Bytes::from(body.to_string())
            }
            None => Bytes::new(),
        };
        encoded.body(Full::new(body)).map_err(|error| {
            Stop::new(Exit::Usage, format!("invalid request to {uri}: {error}")).into()
        })
    }

    fn unreachable(&self) -> Stop {
        let base = &self.base;
        let message = format!(
            "cannot connect to {base}: is the node running? start one with `firstcome serve`, or \
             choose another with --url"
        );
        Stop::new(Exit::Refused, message)
    }
}

/// The error for a response that never arrived.
fn lost(changes: bool, why: &str) -> Stop {
    if changes {
        let message = format!("{why}: the request may have been executed; check, then retry");
        Stop::new(Exit::Unknown, message)
    } else {
        Stop::new(Exit::Refused, format!("{why}: nothing was changed"))
    }
}
