//! How sessions are opened, renewed, closed, and used.

use std::sync::Arc;

use super::command::{LoginFail, SessionClose, SessionIssue, SessionOpen, SessionRotate};
use super::row::{LOGINS_MAX, LoginsByUser, ROTATION_GRACE_MS, Session, SessionKind};
use crate::draft::Draft;
use crate::effect::row::Notice;
use crate::effect::rules as effect;
use crate::field;
use crate::journal::event::{Fact, SessionFact};
use crate::kernel::actor::{Actor, Role};
use crate::kernel::id::{SessionId, UserId};
use crate::kernel::row::REVISIONS;
use crate::kernel::value::{Millis, RowStamp};
use crate::outcome::{Done, Kind, Refusal};
use crate::permission::Needs;
use crate::rule::Rule;
use crate::seeded::accounts as seeded;
use crate::user::row::User;
use crate::view::View;

/// Wrong passwords before the next one has to wait.
const FREE_FAILURES: u32 = 5;
/// The first wait; each further failure doubles it.
const FIRST_WAIT_MS: i64 = 1_000;
/// The longest wait.
const LONGEST_WAIT_MS: i64 = 15 * 60 * 1000;
/// The longest life of an issued session.
const ISSUED_LIFE_MAX_MS: i64 = 60 * 60 * 1000;

impl Rule for SessionOpen {
    fn needs(&self) -> Needs {
        Needs::Anyone
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        open(draft, self)
    }
}

impl Rule for LoginFail {
    fn needs(&self) -> Needs {
        Needs::Anyone
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        fail(draft, self.user)
    }
}

impl Rule for SessionRotate {
    fn needs(&self) -> Needs {
        Needs::Anyone
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        rotate(draft, *self)
    }
}

impl Rule for SessionClose {
    fn needs(&self) -> Needs {
        Needs::Anyone
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, actor: Actor) -> Result<Done, Refusal> {
        close(draft, actor, *self)
    }
}

impl Rule for SessionIssue {
    fn needs(&self) -> Needs {
        Needs::Admin
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        issue(draft, self)
    }
}

/// Resolves the actor: a session becomes its user with their current role, capped at the role of
/// the command. Blocked users are refused.
pub(crate) fn resolve<V: View>(draft: &mut Draft<'_, V>, actor: Actor) -> Result<Actor, Refusal> {
    match actor {
        Actor::Node | Actor::Anyone => Ok(actor),
        Actor::User { id, .. } => {
            require_active(draft.get::<User>(id).as_deref())?;
            Ok(actor)
        }
        Actor::Session { user: id, session, role } => {
            let user = draft.get::<User>(id);
            let now = draft.now();
            let session = draft.get::<Session>(session).filter(|session| session.user == id);
            let is_open = session.is_some_and(|session| session.is_open(user.as_deref(), now));
            require_active(user.as_deref())?;
            if !is_open {
                return Err(Refusal::SessionClosed);
            }
            let role = role.min(user.map_or(Role::Customer, |user| user.role));
            Ok(Actor::User { id, role })
        }
    }
}

fn require_active(user: Option<&User>) -> Result<(), Refusal> {
    if user.is_none_or(User::is_active) { Ok(()) } else { Err(Refusal::UserBlocked) }
}

/// Opens a session. The password may have changed, and the user may have been blocked, since the
/// node looked.
fn open<V: View>(draft: &mut Draft<'_, V>, ask: &SessionOpen) -> Result<Done, Refusal> {
    let now = draft.now();
    let user = draft.get::<User>(ask.user).filter(|user| user.is_active());
    let user = user.ok_or(Refusal::LoginRefused)?;
    let checked = user.account.as_ref().map(|account| account.password_version);
    if checked != Some(ask.password_version) {
        return Err(Refusal::LoginRefused);
    }
    if let Some(until) = user.login_after.filter(|until| now < *until) {
        return Err(Refusal::LoginThrottled { until });
    }
    require_fresh(draft, ask.id)?;
    let logins = logins(draft, ask.user);
    let room = LOGINS_MAX.saturating_sub(1);
    for id in logins.iter().take(logins.len().saturating_sub(room)) {
        end(draft, *id, ask.user);
    }
    if user.login_failures > 0 {
        draft.put(User { login_failures: 0, login_after: None, ..(*user).clone() });
    }
    let settings = draft.settings();
    let session = draft.put(Session {
        id: ask.id,
        user: ask.user,
        kind: SessionKind::Login,
        epoch: user.token_epoch,
        refresh_key: ask.refresh_key,
        generation: 0,
        rotated_at: now,
        idle_until: now.plus(settings.refresh_idle_ms),
        expires_at: now.plus(settings.refresh_absolute_ms),
        row: RowStamp::default(), // The draft sets it.
    });
    draft.publish(Fact::Session { session: ask.id, user: ask.user, what: SessionFact::Opened });
    Ok(Done::Session(session))
}

/// Counts a wrong password. From the sixth on, the next try has to wait.
fn fail<V: View>(draft: &mut Draft<'_, V>, id: UserId) -> Result<Done, Refusal> {
    let now = draft.now();
    let user = draft.get::<User>(id).ok_or(Refusal::LoginRefused)?;
    if user.login_after.is_some_and(|until| now < until) {
        return Ok(Done::Accepted);
    }
    let login_failures = user.login_failures.saturating_add(1);
    let login_after = wait_after(login_failures).map(|wait_ms| now.plus(wait_ms));
    draft.put(User { login_failures, login_after, ..(*user).clone() });
    Ok(Done::Accepted)
}

/// How long the next try has to wait after this many wrong ones, in milliseconds.
pub fn wait_after(failures: u32) -> Option<i64> {
    let doublings = failures.checked_sub(FREE_FAILURES.saturating_add(1))?;
    let wait_ms = 1i64.checked_shl(doublings).and_then(|factor| factor.checked_mul(FIRST_WAIT_MS));
    Some(wait_ms.filter(|ms| (0..LONGEST_WAIT_MS).contains(ms)).unwrap_or(LONGEST_WAIT_MS))
}

/// Renews a session. The token before the last one gives the same successor for a while, because
/// two tabs may renew at once. Any other old token was copied: the session ends.
fn rotate<V: View>(draft: &mut Draft<'_, V>, ask: SessionRotate) -> Result<Done, Refusal> {
    let now = draft.now();
    let session = draft.get::<Session>(ask.id).filter(|it| it.kind == SessionKind::Login);
    let session = session.ok_or(Refusal::SessionClosed)?;
    let user = draft.get::<User>(session.user);
    if !user.as_ref().is_some_and(|user| user.is_active()) || !session.is_open(user.as_deref(), now)
    {
        return Err(Refusal::SessionClosed);
    }
    if ask.generation == session.generation {
        let generation = session.generation.checked_add(1).ok_or(Refusal::SessionClosed)?;
        let idle_until = now.plus(draft.settings().refresh_idle_ms);
        let next = Session { generation, rotated_at: now, idle_until, ..(*session).clone() };
        return Ok(Done::Session(draft.put(next)));
    }
    let is_previous = ask.generation.checked_add(1) == Some(session.generation);
    if is_previous && now < session.rotated_at.plus(seeded::grace_ms(ROTATION_GRACE_MS)) {
        return Ok(Done::Session(session));
    }
    draft.delete::<Session>(ask.id);
    let user = session.user;
    draft.publish(Fact::Session { session: ask.id, user, what: SessionFact::ReuseDetected });
    effect::notify(draft, user, Notice::SessionReuse);
    Err(Refusal::SessionReuse)
}

/// Closes a session. Logging out twice is fine; a session that is not the asker's is not found.
fn close<V: View>(
    draft: &mut Draft<'_, V>,
    actor: Actor,
    ask: SessionClose,
) -> Result<Done, Refusal> {
    let session = draft.get::<Session>(ask.id).filter(|session| session.user == ask.user);
    if let Actor::User { id, .. } = actor
        && (id != ask.user || session.is_none())
    {
        return Err(Refusal::NotFound(Kind::Session));
    }
    if session.is_some() {
        end(draft, ask.id, ask.user);
    }
    Ok(Done::Accepted)
}

/// Opens a session for one access token of a shop's server.
fn issue<V: View>(draft: &mut Draft<'_, V>, ask: &SessionIssue) -> Result<Done, Refusal> {
    let life = 1..=ISSUED_LIFE_MAX_MS;
    field::require(life.contains(&ask.life_ms), "/ttl_seconds", "out_of_range")?;
    let user = draft.get::<User>(ask.user);
    field::require(user.as_ref().is_none_or(|user| user.is_active()), "/user_id", "blocked")?;
    // A shop's server must not be able to act as staff.
    let is_customer = user.as_ref().is_none_or(|user| user.role == Role::Customer);
    field::require(is_customer, "/user_id", "not_a_customer")?;
    require_fresh(draft, ask.id)?;
    let now = draft.now();
    let end: Millis = now.plus(ask.life_ms);
    let session = draft.put(Session {
        id: ask.id,
        user: ask.user,
        kind: SessionKind::Issued,
        epoch: user.map_or(0, |user| user.token_epoch),
        refresh_key: 0,
        generation: 0,
        rotated_at: now,
        idle_until: end,
        expires_at: end,
        row: RowStamp::default(), // The draft sets it.
    });
    draft.publish(Fact::Session { session: ask.id, user: ask.user, what: SessionFact::Opened });
    Ok(Done::Session(session))
}

fn require_fresh<V: View>(draft: &mut Draft<'_, V>, id: SessionId) -> Result<(), Refusal> {
    if draft.get::<Session>(id).is_some() { Err(Refusal::IdInUse) } else { Ok(()) }
}

/// Closes every login of a user but one.
pub(crate) fn close_logins<V: View>(
    draft: &mut Draft<'_, V>,
    user: UserId,
    but: Option<SessionId>,
) {
    for id in logins(draft, user).into_iter().filter(|id| Some(*id) != but) {
        end(draft, id, user);
    }
}

fn end<V: View>(draft: &mut Draft<'_, V>, id: SessionId, user: UserId) {
    draft.delete::<Session>(id);
    draft.publish(Fact::Session { session: id, user, what: SessionFact::Closed });
}

/// The logins of a user, oldest first. Nothing that is done ahead of a command changes sessions, so
/// the rows before the decision tell.
fn logins<V: View>(draft: &Draft<'_, V>, user: UserId) -> Vec<SessionId> {
    let first = (user, REVISIONS.0, SessionId::new(0));
    let last = (user, REVISIONS.1, SessionId::new(u128::MAX));
    let keys = draft.base().scan::<LoginsByUser>(first, last, LOGINS_MAX.saturating_mul(2));
    keys.into_iter().map(|(.., id)| id).collect()
}

impl Session {
    /// The session that an access token names, if it is still open.
    pub fn find(view: &impl View, id: SessionId, user: UserId, now: Millis) -> Option<Arc<Self>> {
        let session = view.get::<Self>(id).filter(|session| session.user == user)?;
        let user = view.get::<User>(user);
        session.is_open(user.as_deref(), now).then_some(session)
    }
}
