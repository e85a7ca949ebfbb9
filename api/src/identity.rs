//! The caller: a verified token, checked against the session and user rows of this node.
//!
//! Closed sessions, blocked users and changed roles take effect as soon as this node has applied
//! them. `decide` looks at the same rows again for every change of state.

use std::time::Duration;

use firstcome_domain::session::Session;
use firstcome_domain::user::User;
use firstcome_domain::{Role, SessionId, UserId, View as _};

use crate::access::Caller;
use crate::app::App;
use crate::issuer::External;
use crate::problem::{Code, Problem};
use crate::seeded;
use crate::spec::Spec;
use crate::token::{Bearer, SessionClaim};

/// How long the token of a session waits for the log entry that opened it.
const OPENED_WAIT: Duration = Duration::from_millis(500);
/// After this long without a leader, a node no longer knows which sessions are open.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// The caller, if their role has the permission of the route.
pub(crate) fn permitted(route: &Spec, caller: Caller) -> Result<Caller, Problem> {
    if route.permission.allows(caller.role) {
        Ok(caller)
    } else {
        let needed = format!("This route needs the permission {}.", route.permission.as_str());
        Err(Problem::new(Code::PermissionDenied).detail(needed))
    }
}

/// The caller that a token stands for.
pub(crate) async fn caller(app: &App, bearer: Bearer) -> Result<Caller, Problem> {
    match bearer {
        Bearer::Tool { id, role } => {
            user(app, id)?;
            Ok(Caller { id, role, session: None })
        }
        Bearer::External(external) => of_issuer(app, external),
        Bearer::Session(claim) => of_session(app, claim).await,
    }
}

/// A user of a shop's own issuer. Blocking one ends the tokens from before.
fn of_issuer(app: &App, External { id, issued_at }: External) -> Result<Caller, Problem> {
    let since = user(app, id)?.and_then(|user| user.epoch_at);
    let issued_ms = i64::try_from(issued_at).unwrap_or(i64::MAX).saturating_mul(1_000);
    if since.is_some_and(|since| issued_ms < since.get()) {
        return Err(Problem::new(Code::TokenRevoked));
    }
    Ok(Caller { id, role: Role::Customer, session: None })
}

async fn of_session(app: &App, claim: SessionClaim) -> Result<Caller, Problem> {
    if !app.node.heard_leader_within(SILENCE_MAX) {
        return Err(Problem::new(Code::StaleNode));
    }
    if app.node.applied().revision < claim.revision {
        app.node.wait_applied(claim.revision, OPENED_WAIT).await?;
    }
    let (caller, epoch) = in_session(app, claim.user, claim.session)?;
    if epoch == claim.epoch { Ok(caller) } else { Err(Problem::new(Code::TokenRevoked)) }
}

/// The user of an open session with the role that they have now, and the epoch of the session.
fn in_session(app: &App, id: UserId, session: SessionId) -> Result<(Caller, u32), Problem> {
    let now = app.node.log_time();
    let rows = app.node.read(|rows| {
        let session = rows.get::<Session>(session);
        (session.filter(|session| session.user == id), rows.get::<User>(id))
    });
    let (row, user) = rows?;
    let user = user.as_deref();
    if user.is_some_and(|user| !user.is_active()) {
        return Err(Problem::new(Code::UserBlocked));
    }
    let row = row.filter(|row| row.is_open(user, now) && !seeded::is_closed_here(row.id));
    let row = row.ok_or_else(|| Problem::new(Code::TokenRevoked))?;
    let role = user.map_or(Role::Customer, |user| user.role);
    Ok((Caller { id, role, session: Some(session) }, row.epoch))
}

/// A caller once more, after this node has applied what it had not when the request came in.
pub(crate) fn again(app: &App, caller: Caller) -> Result<Caller, Problem> {
    match caller.session {
        Some(session) => Ok(in_session(app, caller.id, session)?.0),
        None => user(app, caller.id).map(|_| caller),
    }
}

/// The user's row, if they have one; blocked ones are refused.
fn user(app: &App, id: UserId) -> Result<Option<std::sync::Arc<User>>, Problem> {
    let user = app.node.read(|rows| rows.get::<User>(id))?;
    if user.as_ref().is_some_and(|user| !user.is_active()) {
        return Err(Problem::new(Code::UserBlocked));
    }
    Ok(user)
}

#[cfg(test)]
mod tests {
    use firstcome_domain::{Revision, SessionId};
    use firstcome_raft::{Node, Options};

    use super::*;
    use crate::keys::{Keys, MasterKey};
    use crate::options::ApiOptions;
    use crate::shop::Shop;

    #[tokio::test]
    async fn token_ahead_of_node_waits_then_503() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new("n1", dir.path().to_owned());
        options.bootstrap = true;
        let node = Node::start(options, Shop).await.unwrap();
        let led = async {
            while node.linearize().await.is_err() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), led).await.unwrap();
        let keys = Keys::new(&MasterKey::generate().unwrap()).unwrap();
        let app = App::new(node.clone(), &keys, ApiOptions::default(), Vec::new());
        let claim = |revision: u64| {
            let (user, session) = (UserId::new(1), SessionId::new(2));
            SessionClaim { user, session, epoch: 0, revision: Revision::new(revision) }
        };
        let applied = app.node.applied().revision.get();
        let since = std::time::Instant::now();
        let ahead = of_session(&app, claim(applied + 1_000)).await.unwrap_err();
        assert_eq!((ahead.code(), ahead.status().as_u16()), (Code::RevisionNotReached, 503));
        assert!(since.elapsed() >= OPENED_WAIT);
        // The entry comes while the request waits: then the rows tell.
        let keyring = crate::keyring::Keyring::new(node.clone(), &keys);
        let (decided, _) = tokio::join!(of_session(&app, claim(applied + 1)), keyring.ensure());
        assert_eq!(decided.unwrap_err().code(), Code::TokenRevoked);
        node.shutdown().await;
    }
}
