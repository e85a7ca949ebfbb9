//! What a handler works with: the checked request, the node behind it, and the response.

use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use firstcome_domain::receipt::ReceiptKey;
use firstcome_domain::user::User;
use firstcome_domain::value::{EmailIndex, Language};
use firstcome_domain::{
    Action, Actor, Command, Millis, Outcome, Refusal, Revision, Role, UserId, View as _,
};
use firstcome_raft::Reply;
use firstcome_storage::query::{Direction, ReadView};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::access::{Caller, Permission};
use crate::app::App;
use crate::json::Json;
use crate::keys::Mac;
use crate::language::prefers_korean;
use crate::options::Consistency;
use crate::paging::{ListName, Position};
use crate::problem::{Code, Problem};
use crate::query::Query;
use crate::seal::Owner;
use crate::spec::{Reads, Spec, Success};
use crate::{body, idempotency, identity};

/// A request that passed all checks of the edge.
pub(crate) struct Call {
    pub(crate) app: Arc<App>,
    pub(crate) route: &'static Spec,
    pub(crate) caller: Option<Caller>,
    /// Whether rate limits apply to the client.
    pub(crate) is_limited: bool,
    /// The id in the path; empty if the route has none.
    pub(crate) path_id: String,
    pub(crate) headers: HeaderMap,
    pub(crate) query: Query,
    pub(crate) body: Bytes,
    pub(crate) key: Option<String>,
    /// Of a keyed request, once its body was typed.
    pub(crate) fingerprint: OnceLock<[u8; 32]>,
}

/// The page that a request asks for.
pub(crate) struct PageRequest<P> {
    pub(crate) list: ListName,
    /// `Down` unless the route is sortable and the request asks for `asc`.
    pub(crate) direction: Direction,
    /// The last row of the previous page.
    pub(crate) after: Option<P>,
    /// Maximum number of rows.
    pub(crate) limit: usize,
}

/// What one read returned, and the revision it was served at.
pub(crate) struct Read<R> {
    pub(crate) value: R,
    pub(crate) revision: Revision,
}

impl Call {
    /// The caller. Routes that are not public always have one.
    pub(crate) fn caller(&self) -> Result<Caller, Problem> {
        self.caller.ok_or_else(|| Problem::new(Code::TokenMissing))
    }

    /// The `{id}` of the path. Text that is not an id gives 404, like an unknown id.
    pub(crate) fn id<T: FromStr>(&self) -> Result<T, Problem> {
        self.path_id.parse().map_err(|_| Problem::new(Code::NotFound))
    }

    /// The typed body. If the request has a key, the same parse gives its fingerprint.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let (text, may_be_empty) = (&self.body, self.route.body_optional);
        if self.key.is_none() {
            return body::parse(&self.headers, text, may_be_empty);
        }
        let mac = self.fingerprint_key()?;
        body::parse_and_show(&self.headers, text, may_be_empty, |tree| {
            self.fingerprint.get_or_init(|| self.fingerprint_with(mac, tree));
        })
    }

    fn fingerprint_key(&self) -> Result<Mac, Problem> {
        // The edge has seen to it that the keyring is known before a write comes here.
        self.app.keys.fingerprint().ok_or_else(|| Problem::new(Code::NotReady))
    }

    fn fingerprint_with(&self, mac: Mac, body: &Json<'_>) -> [u8; 32] {
        idempotency::fingerprint(mac, self.route, &self.path_id, body)
    }

    /// The receipt key of a keyed request.
    fn receipt_key(&self, principal: &[u8]) -> Result<Option<ReceiptKey>, Problem> {
        let Some(key) = self.key.as_deref() else { return Ok(None) };
        let mac = self.fingerprint_key()?;
        let fingerprint = self.fingerprint.get_or_init(|| {
            // The handler did not read the body, but it is still part of the request.
            let tree = serde_json::from_slice(&self.body).unwrap_or(Json::Null);
            self.fingerprint_with(mac, &tree)
        });
        let scope = idempotency::scope(principal, self.route, key);
        Ok(Some(ReceiptKey { scope, fingerprint: *fingerprint }))
    }

    /// The version that `If-Match` names, on a route that requires one.
    pub(crate) fn if_match(&self) -> Result<u64, Problem> {
        self.if_match_sent()?.ok_or_else(|| Problem::new(Code::PreconditionRequired))
    }

    /// The version that `If-Match` names, if it is sent: of a weak tag too, since only versions are
    /// compared. A foreign tag matches no version.
    pub(crate) fn if_match_sent(&self) -> Result<Option<u64>, Problem> {
        let mut sent = self.headers.get_all(http::header::IF_MATCH).iter();
        let Some(tag) = sent.next() else { return Ok(None) };
        let tag = tag.to_str().map(str::trim).unwrap_or_default();
        if tag.is_empty() || tag == "*" || tag.contains(',') || sent.next().is_some() {
            let detail = "send exactly one ETag, that of the object you read, such as \"3\"";
            return Err(Problem::field("/header/If-Match", "invalid", detail));
        }
        let tag = tag.strip_prefix("W/").unwrap_or(tag);
        let digits = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag);
        Ok(Some(digits.parse().unwrap_or(u64::MAX)))
    }

    /// The owner of personal data, read from the rows of this node. A local read is enough: an
    /// account's key is created with the account, and so applied before any session of it.
    pub(crate) fn owner(&self, id: UserId) -> Result<Owner, Problem> {
        let user = self.app.node.read(|rows| rows.get::<User>(id))?;
        Owner::of(&self.app.keys, id, user.as_deref())
    }

    /// The language that the client prefers.
    pub(crate) fn language(&self) -> Language {
        if prefers_korean(&self.headers) { Language::Korean } else { Language::English }
    }

    /// Refuses a request that names an e-mail address too often.
    pub(crate) fn limit_email(&self, email: EmailIndex) -> Result<(), Problem> {
        let checked = self.app.limits.check_email(email).filter(|_| self.is_limited);
        checked.and_then(|checked| checked.refusal()).map_or(Ok(()), Err)
    }

    /// Log time as this node sees it.
    pub(crate) fn now(&self) -> Millis {
        self.app.node.log_time()
    }

    /// Reads rows, with the consistency the request asks for.
    pub(crate) async fn read<R>(
        &self,
        read: impl FnOnce(&ReadView) -> R,
    ) -> Result<Read<R>, Problem> {
        if self.consistency()? == Consistency::Linearizable {
            self.linearize().await?;
            // A node that just joined may have met the keyring only now.
            self.app.keyring.follow()?;
        }
        self.read_applied(read)
    }

    /// Reads rows that a write depends on: as they are, whatever reads default to.
    pub(crate) async fn read_current<R>(
        &self,
        read: impl FnOnce(&ReadView) -> R,
    ) -> Result<Read<R>, Problem> {
        self.linearize().await?;
        self.read_applied(read)
    }

    /// Waits until this node has applied everything that was acknowledged before. That may have
    /// ended the session of the caller or changed their role.
    async fn linearize(&self) -> Result<(), Problem> {
        self.app.node.linearize().await?;
        let Some(caller) = self.caller else { return Ok(()) };
        identity::permitted(self.route, identity::again(&self.app, caller)?).map(drop)
    }

    fn read_applied<R>(&self, read: impl FnOnce(&ReadView) -> R) -> Result<Read<R>, Problem> {
        Ok(self.app.node.read(|view| Read {
            revision: view.applied().revision.unwrap_or_default(),
            value: read(view),
        })?)
    }

    /// The consistency of this read.
    pub(crate) fn consistency(&self) -> Result<Consistency, Problem> {
        let default = match self.route.reads {
            Reads::Local => Consistency::Local,
            Reads::Default | Reads::None => self.app.options.default_consistency,
        };
        Ok(self.query.consistency()?.unwrap_or(default))
    }

    /// Proposes an action as the caller. The reply is never a refusal: that becomes a problem.
    pub(crate) async fn propose(&self, action: Action) -> Result<Reply, Problem> {
        let caller = self.caller()?;
        // Outside /v1/admin everyone acts as a customer: staff reach other customers' rows only
        // there.
        let own = self.route.permission == Permission::Own;
        let actor = caller.actor(if own { Role::Customer } else { Role::Admin });
        self.propose_as(actor, caller.id.to_string().as_bytes(), action).await
    }

    /// Proposes an action; `principal` says whose the `Idempotency-Key` is, if there is one.
    pub(crate) async fn propose_as(
        &self,
        actor: Actor,
        principal: &[u8],
        action: Action,
    ) -> Result<Reply, Problem> {
        let receipt = self.receipt_key(principal)?;
        let reply = self.app.node.propose(Command { actor, receipt, action }).await?;
        let Outcome::Refused(refusal) = &reply.outcome else { return Ok(reply) };
        if *refusal == Refusal::KeyVersionRetired && self.route.permission != Permission::KeysRotate
        {
            // Sealed by a node that lags behind; nothing happened. A repeat follows the keyring.
            self.app.node.linearize().await?;
            return Err(Problem::new(Code::NotReady));
        }
        let problem = Problem::refused(refusal, reply.decided, reply.early);
        let seed = receipt.and_then(|key| key.scope.0.first_chunk().copied());
        Err(problem.replay(reply.replayed).seeded(seed.map(u128::from_be_bytes)))
    }

    /// The page of a list that this request asks for. `filters` are query parameters.
    pub(crate) fn page_of<P: Position>(
        &self,
        list: ListName,
        filters: &[&str],
    ) -> Result<PageRequest<P>, Problem> {
        let (direction, limit) = (self.query.direction()?, self.query.limit()?);
        let list = list.filters(&self.query, filters).direction(direction);
        let after = list.after(&self.app.keys, self.query.get("cursor"))?;
        Ok(PageRequest { list, direction, after, limit })
    }

    /// A page of a list.
    pub(crate) fn page<T: Serialize>(
        &self,
        list: &ListName,
        items: &[T],
        next: Option<&impl Position>,
        revision: Revision,
    ) -> Result<Answer, Problem> {
        let next_cursor = next.and_then(|key| list.cursor(&self.app.keys, key));
        let page = ListBody { object: "list", data: items, next_cursor };
        Answer::json(self.route, &page).map(|answer| answer.at(revision))
    }

    /// The response to a read of one object.
    pub(crate) fn shown<T: Serialize>(
        &self,
        body: &T,
        revision: Revision,
    ) -> Result<Answer, Problem> {
        Ok(Answer::json(self.route, body)?.at(revision))
    }

    /// The response to a write. It depends on the outcome alone, so a replay is equal byte for byte.
    pub(crate) fn wrote<T: Serialize>(&self, body: &T, reply: &Reply) -> Result<Answer, Problem> {
        let mut answer = Answer::json(self.route, body)?.at(reply.decided.revision);
        answer.replayed = reply.replayed;
        Ok(answer)
    }
}

/// The outcome does not fit the command that was proposed: a bug.
pub(crate) fn unexpected(reply: &Reply) -> Problem {
    // Only the kind is logged: outcomes hold rows, and those may hold personal data.
    let kind = match &reply.outcome {
        Outcome::Done(done) => std::mem::discriminant(done),
        Outcome::Refused(_) => return Problem::new(Code::Internal),
    };
    tracing::error!(outcome = ?kind, "outcome does not fit its command");
    Problem::new(Code::Internal)
}

#[derive(Serialize)]
struct ListBody<'a, T> {
    object: &'static str,
    data: &'a [T],
    next_cursor: Option<String>,
}

/// A successful response.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) media: &'static str,
    pub(crate) body: Bytes,
    pub(crate) location: Option<String>,
    pub(crate) version: Option<u64>,
    pub(crate) revision: Option<Revision>,
    pub(crate) replayed: bool,
}

impl Answer {
    /// A JSON response with the route's status.
    pub(crate) fn json<T: Serialize>(route: &Spec, body: &T) -> Result<Self, Problem> {
        let mut bytes = Vec::with_capacity(768);
        serde_json::to_writer(&mut bytes, body).map_err(|_| Problem::new(Code::Internal))?;
        let body = if matches!(route.success, Success::Empty) { Vec::new() } else { bytes };
        Ok(Self::media(route, "application/json", body.into()))
    }

    /// Any other response with the route's status.
    pub(crate) fn media(route: &Spec, media: &'static str, body: Bytes) -> Self {
        Self {
            status: StatusCode::from_u16(route.status).unwrap_or(StatusCode::OK),
            media,
            body,
            location: None,
            version: None,
            revision: None,
            replayed: false,
        }
    }

    /// The revision of the write, or the one the read was served at.
    #[must_use]
    pub(crate) fn at(mut self, revision: Revision) -> Self {
        self.revision = Some(revision);
        self
    }

    /// The `Location` of the object.
    #[must_use]
    pub(crate) fn located(mut self, location: String) -> Self {
        self.location = Some(location);
        self
    }

    /// The version of the object, for `ETag`.
    #[must_use]
    pub(crate) fn tagged(mut self, version: u64) -> Self {
        self.version = Some(version);
        self
    }
}
