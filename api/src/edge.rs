//! What every request passes through, in one function and in this order: body, token and
//! permission, query, `Idempotency-Key`, `Min-Revision`, budget, handler; then headers, counters
//! and one log line.
//!
//! There are no tower layers: a purchase is the hot path, and each boxed layer costs an allocation.
//! Identity comes from the token and from no other header. The log line has ids, codes and
//! durations, never headers, query strings or bodies.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::RawPathParams;
use axum::response::Response;
use bytes::Bytes;
use firstcome_domain::Revision;
use firstcome_raft::Executed;
use futures_util::FutureExt as _;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};

use crate::access::{Caller, Permission};
use crate::app::App;
use crate::call::{Answer, Call};
use crate::language::prefers_korean;
use crate::problem::{Code, Problem};
use crate::query::Query;
use crate::rate::{Checked, PeerAddress, tighter};
use crate::spec::{Spec, Verb};
use crate::token::{Bearer, TokenError};
use crate::{body, idempotency, identity, token};

const URI_BYTES_MAX: usize = 8 * 1024;
const REQUEST_ID_BYTES_MAX: usize = 128;
/// Maximum wait for `Min-Revision`.
const MIN_REVISION_WAIT: Duration = Duration::from_secs(2);

const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
const X_LEADER: HeaderName = HeaderName::from_static("x-leader");
const X_REVISION: HeaderName = HeaderName::from_static("x-revision");
const X_SERVED_BY: HeaderName = HeaderName::from_static("x-served-by");

/// Serves one request of a route. `slot` is the index of the route's counters.
pub(crate) async fn serve<H, F>(
    app: Arc<App>,
    route: &'static Spec,
    slot: usize,
    path: Option<RawPathParams>,
    request: Request<Body>,
    handler: H,
) -> Response
where
    H: FnOnce(Call) -> F,
    F: Future<Output = Result<Answer, Problem>>,
{
    let (parts, body) = request.into_parts();
    let sent = Sent::of(&parts);
    let path_id = path.and_then(|path| path.iter().next().map(|(_, id)| id.to_owned()));
    let shared = Arc::clone(&app);
    let mut known = Known::default();
    let work = async {
        let path_id = path_id.unwrap_or_default();
        let call = admit(&shared, route, parts, path_id, body, &mut known).await?;
        let _place = shared.budgets.enter(route.budget).await?;
        handler(call).await
    };
    let guarded = AssertUnwindSafe(tokio::time::timeout(route.time_max, work)).catch_unwind();
    let result = match guarded.await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) if route.verb == Verb::Get => Err(Problem::new(Code::Overloaded)),
        Ok(Err(_)) => Err(Problem::outcome_unknown()),
        Err(_) => Err(Problem::new(Code::Internal)),
    };
    let result = result.map_err(|problem| in_doubt(problem, route.verb));
    respond(&app, slot, &sent, &known, result)
}

/// What the response says about the request, also if it was refused.
#[derive(Default)]
struct Known<'a> {
    caller: Option<Caller>,
    /// The rate limit that is closest to being reached.
    limit: Option<Checked<'a>>,
}

impl<'a> Known<'a> {
    /// Takes note of a limit, and refuses the request if it is over.
    fn keep_to(&mut self, checked: Option<Checked<'a>>) -> Result<(), Problem> {
        let refusal = checked.as_ref().and_then(Checked::refusal);
        self.limit = tighter(self.limit.take(), checked);
        refusal.map_or(Ok(()), Err)
    }
}

/// An internal error of a write may come after the command was decided.
fn in_doubt(problem: Problem, verb: Verb) -> Problem {
    if problem.code() == Code::Internal && verb != Verb::Get {
        problem.executed(Executed::Maybe)
    } else {
        problem
    }
}

/// Responds to a request that matches no route.
pub(crate) async fn unmatched(app: &App, request: Request<Body>, code: Code) -> Response {
    let (parts, body) = request.into_parts();
    let sent = Sent::of(&parts);
    body::discard(body).await;
    let code = if uri_is_too_long(&sent.uri) { Code::UriTooLong } else { code };
    respond(app, usize::MAX, &sent, &Known::default(), Err(Problem::new(code)))
}

fn uri_is_too_long(uri: &Uri) -> bool {
    uri.path_and_query().map_or(0, |all| all.as_str().len()) > URI_BYTES_MAX
}

/// What the response needs from the request.
struct Sent {
    since: Instant,
    method: Method,
    uri: Uri,
    request_id: Option<HeaderValue>,
    in_korean: bool,
}

impl Sent {
    fn of(parts: &Parts) -> Self {
        Self {
            since: Instant::now(),
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            request_id: request_id_of(&parts.headers),
            in_korean: prefers_korean(&parts.headers),
        }
    }
}

fn request_id_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let sent = headers.get(REQUEST_ID)?;
    let bytes = sent.as_bytes();
    let plain = bytes.iter().all(u8::is_ascii_graphic);
    (plain && (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len())).then(|| sent.clone())
}

/// Checks a request. `known` gets what it turns out to be, as soon as that is clear.
async fn admit<'a>(
    app: &'a Arc<App>,
    route: &'static Spec,
    parts: Parts,
    path_id: String,
    body: Body,
    known: &mut Known<'a>,
) -> Result<Call, Problem> {
    let peer = parts.extensions.get::<PeerAddress>().copied();
    let address = app.limits.address(peer, &parts.headers);
    let checked = address.and_then(|address| app.limits.check_address(route.budget, address));
    let in_time = known.keep_to(checked);
    // The body is read even if the request will be refused, so that the connection stays usable.
    let body = if route.verb == Verb::Get || in_time.is_err() {
        body::discard(body).await;
        Ok(Bytes::new())
    } else {
        body::read(body).await
    };
    in_time?;
    if uri_is_too_long(&parts.uri) {
        return Err(Problem::new(Code::UriTooLong));
    }
    let has_keyring = route.permission == Permission::Open || app.keyring.follow()?;
    let caller = authenticate(app, route, &parts.headers).await?;
    known.caller = caller;
    if let (Some(caller), Some(_)) = (caller, address) {
        known.keep_to(app.limits.check_account(route.budget, caller))?;
    }
    let body = body?;
    let query = Query::parse(parts.uri.query(), route)?;
    let key = idempotency::header(&parts.headers, route.key)?;
    wait_min_revision(app, route, &parts.headers).await?;
    if !has_keyring && route.verb != Verb::Get {
        app.keyring.ensure().await?;
    }
    let app = Arc::clone(app);
    let (headers, fingerprint, is_limited) = (parts.headers, OnceLock::new(), address.is_some());
    Ok(Call { app, route, caller, is_limited, path_id, headers, query, body, key, fingerprint })
}

async fn authenticate(
    app: &App,
    route: &Spec,
    headers: &HeaderMap,
) -> Result<Option<Caller>, Problem> {
    if route.permission.ignores_tokens() {
        return Ok(None);
    }
    let Some(bearer) = bearer(app, headers)? else {
        let public = route.permission.is_public();
        return if public { Ok(None) } else { Err(Problem::new(Code::TokenMissing)) };
    };
    identity::permitted(route, identity::caller(app, bearer).await?).map(Some)
}

/// Whom the token of a request stands for, if it has one.
pub(crate) fn bearer(app: &App, headers: &HeaderMap) -> Result<Option<Bearer>, Problem> {
    let mut sent = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = sent.next() else { return Ok(None) };
    let invalid = || Problem::new(Code::TokenInvalid);
    let (scheme, token) =
        value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(invalid)?;
    if sent.next().is_some() || !scheme.eq_ignore_ascii_case("bearer") {
        return Err(invalid());
    }
    let verified = token::verify(&app.keys, &app.options.issuers, token.trim());
    verified.map(Some).map_err(|refused| match refused {
        TokenError::Invalid => invalid(),
        TokenError::Refused(reason) => invalid().detail(reason),
        TokenError::Expired => Problem::new(Code::TokenExpired),
    })
}

async fn wait_min_revision(app: &App, route: &Spec, headers: &HeaderMap) -> Result<(), Problem> {
    if route.permission == Permission::Open {
        return Ok(());
    }
    let Some(wanted) = headers.get("min-revision") else { return Ok(()) };
    let wanted: Option<u64> = wanted.to_str().ok().and_then(|text| text.trim().parse().ok());
    let wanted = wanted.ok_or_else(|| {
        Problem::field(
            "/header/Min-Revision",
            "invalid",
            "must be the X-Revision of an earlier response",
        )
    })?;
    app.node.wait_applied(Revision::new(wanted), MIN_REVISION_WAIT).await?;
    Ok(())
}

fn respond(
    app: &App,
    slot: usize,
    sent: &Sent,
    known: &Known<'_>,
    result: Result<Answer, Problem>,
) -> Response {
    let (mut response, code) = match result {
        Ok(answer) => (success(app, answer, request_id(sent, None)), None),
        Err(problem) => {
            let id = request_id(sent, problem.request_seed());
            (failure(app, sent, &problem, id), Some(problem.code()))
        }
    };
    let headers = response.headers_mut();
    if let Some(limit) = &known.limit {
        limit.show(headers);
    }
    if known.caller.is_some_and(|caller| Permission::ClusterRead.allows(caller.role)) {
        headers.insert(X_SERVED_BY, app.served_by.clone());
        let leader = app.node.leader_name().and_then(|name| HeaderValue::try_from(name).ok());
        if let Some(leader) = leader {
            headers.insert(X_LEADER, leader);
        }
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let took = sent.since.elapsed();
    app.metrics.count(slot, response.status().as_u16(), code, took);
    log(app, sent, &response, code, took);
    response
}

fn log(app: &App, sent: &Sent, response: &Response, code: Option<Code>, took: Duration) {
    let status = response.status().as_u16();
    let code = code.map_or("", Code::as_str);
    let request_id = response.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let request_id = request_id.unwrap_or_default();
    let (node, method, us) = (app.node.name(), sent.method.as_str(), took.as_micros());
    if status == 500 {
        tracing::error!(
            node,
            request_id,
            method,
            path = sent.uri.path(),
            status,
            code,
            us,
            "answered"
        );
    } else {
        tracing::debug!(
            node,
            request_id,
            method,
            path = sent.uri.path(),
            status,
            code,
            us,
            "answered"
        );
    }
}

/// The client's id, or the one that all repeats of a keyed request share, or a random one.
fn request_id(sent: &Sent, seed: Option<u128>) -> HeaderValue {
    if let Some(id) = &sent.request_id {
        return id.clone();
    }
    let bits = seed.unwrap_or_else(rand::random::<u128>);
    HeaderValue::try_from(format!("{bits:032x}")).unwrap_or(HeaderValue::from_static("none"))
}

fn success(app: &App, answer: Answer, request_id: HeaderValue) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    if answer.status != StatusCode::NO_CONTENT {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(answer.media));
    }
    if answer.media.starts_with("text/html") {
        let policy = HeaderValue::from_static("default-src 'self'; frame-ancestors 'none'");
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    if let Some(location) = answer.location.and_then(|at| HeaderValue::try_from(at).ok()) {
        headers.insert(header::LOCATION, location);
    }
    if let Some(version) = answer.version {
        let tag = HeaderValue::try_from(format!("\"{version}\""));
        headers.insert(header::ETAG, tag.unwrap_or(HeaderValue::from_static("\"0\"")));
    }
    if answer.replayed {
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    headers.insert(REQUEST_ID, request_id);
    let revision = answer.revision.unwrap_or_else(|| app.node.applied().revision);
    headers.insert(X_REVISION, HeaderValue::from(revision.get()));
    response
}

fn failure(app: &App, sent: &Sent, problem: &Problem, request_id: HeaderValue) -> Response {
    let id = request_id.to_str().unwrap_or_default();
    let document = problem.to_json(sent.uri.path(), id, sent.in_korean);
    let mut response = Response::new(Body::from(document));
    *response.status_mut() = problem.status();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    let language = if sent.in_korean { "ko" } else { "en" };
    headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(language));
    if problem.status() == StatusCode::UNAUTHORIZED {
        let challenge = match problem.code() {
            Code::TokenMissing => "Bearer realm=\"firstcome\"",
            _ => "Bearer realm=\"firstcome\", error=\"invalid_token\"",
        };
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if let Some(seconds) = problem.retry_after_seconds() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if problem.replayed() {
        headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    headers.insert(REQUEST_ID, request_id);
    let revision = problem.revision().unwrap_or_else(|| app.node.applied().revision);
    headers.insert(X_REVISION, HeaderValue::from(revision.get()));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Story: a write that failed after its command was decided claimed that it had not run.
    #[test]
    fn an_internal_error_of_a_write_is_in_doubt() {
        let executed = |code, verb| {
            let problem = in_doubt(Problem::new(code), verb);
            let document: serde_json::Value =
                serde_json::from_slice(&problem.to_json("/", "r-1", false)).unwrap();
            document["executed"].as_str().map(str::to_owned)
        };
        for verb in [Verb::Post, Verb::Put, Verb::Patch, Verb::Delete] {
            assert_eq!(executed(Code::Internal, verb).as_deref(), Some("maybe"));
            assert_eq!(executed(Code::SoldOut, verb).as_deref(), Some("no"));
        }
        assert_eq!(executed(Code::Internal, Verb::Get).as_deref(), Some("no"));
    }
}
