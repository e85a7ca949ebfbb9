//! Random deeds about accounts. There are few users, codes and sessions, so that what is wrong, used
//! or over is as common as what succeeds.

use firstcome_domain::command::*;
use firstcome_domain::effect::Effect;
use firstcome_domain::email_code::{CodePurpose, EmailCode};
use firstcome_domain::session::Session;
use firstcome_domain::testing::memory::Memory;
use firstcome_domain::user::{User, UserStatus};
use firstcome_domain::value::Sealed;
use firstcome_domain::{EffectId, SessionId, UserId, View as _};
use proptest::prelude::*;

use crate::shop::*;

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    Send,
    SendReset,
    Confirm,
    SignUp,
    Bootstrap,
    Update,
    ChangePassword,
    ResetPassword,
    Manage,
    LogIn,
    Fail,
    Rotate,
    LogOut,
    Issue,
    Report,
    /// Whatever comes next for a user, up to a session that is renewed.
    Next,
}

/// What somebody does about an account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Personal {
    what: What,
    user: u8,
    /// Which of their three sessions, and how far off the mark: 0 is right.
    pick: u8,
}

pub(crate) fn personal() -> impl Strategy<Value = Personal> {
    let what = prop_oneof![
        2 => Just(What::Send),
        1 => Just(What::SendReset),
        1 => Just(What::Confirm),
        1 => Just(What::SignUp),
        1 => Just(What::Bootstrap),
        1 => Just(What::Update),
        1 => Just(What::ChangePassword),
        1 => Just(What::ResetPassword),
        1 => Just(What::Manage),
        3 => Just(What::LogIn),
        1 => Just(What::Fail),
        6 => Just(What::Rotate),
        1 => Just(What::LogOut),
        1 => Just(What::Issue),
        1 => Just(What::Report),
        20 => Just(What::Next),
    ];
    let pick = prop_oneof![3 => Just(0), 1 => Just(1), 2 => Just(2)];
    (what, 1..=3u8, pick).prop_map(|(what, user, pick)| Personal { what, user, pick })
}

fn sid(user: u8, pick: u8) -> SessionId {
    SessionId::new((10 * user + pick).into())
}

/// The customer, in one of their sessions if they have any.
pub(crate) fn acting(memory: &Memory, number: u128) -> Actor {
    let user = UserId::new(number);
    let own = memory.all::<Session>().find(|session| session.user == user);
    own.map_or(customer(number), |own| Actor::Session {
        user,
        session: own.id,
        role: Role::Customer,
    })
}

pub(crate) fn asked(memory: &Memory, deed: Personal, fresh: u128) -> (Actor, Action) {
    let Personal { user, pick, .. } = deed;
    let (id, session) = (UserId::new(user.into()), sid(user, pick));
    let row = memory.get::<User>(id);
    let if_version = row.as_ref().map_or(0, |row| row.row.version) + u64::from(pick == 2);
    let password_version = row.as_ref().and_then(|row| row.account.as_ref());
    let password_version =
        password_version.map_or(1, |account| account.password_version) + u32::from(pick == 2);
    let secret = if pick == 2 { 99 } else { user };
    let password = Sealed(vec![6; 66]);
    let in_session = Actor::Session { user: id, session, role: Role::Customer };
    let what = match deed.what {
        What::Next => next(memory, user),
        what => what,
    };
    match what {
        What::Send | What::SendReset => {
            let purpose = match what {
                What::Send => CodePurpose::SignUp,
                _ => CodePurpose::PasswordReset,
            };
            let (email, mac, effect) = (email(user), [user; 32], EffectId::new(fresh));
            let letter = Sealed(vec![user; 40]);
            let ask = EmailCodeRequest { purpose, email, mac, effect, letter };
            (Actor::Anyone, Action::EmailCodeRequest(ask))
        }
        What::Confirm => (Actor::Anyone, confirm_code(user, secret, user)),
        What::SignUp => {
            let (account, proof) = (account(user), [secret; 32]);
            let ask = UserSignUp { id, account, proof, address: None };
            (Actor::Anyone, Action::UserSignUp(ask))
        }
        What::Bootstrap => {
            let ask = AdminBootstrap { id: UserId::new(9), account: account(user) };
            (ADMIN, Action::AdminBootstrap(ask))
        }
        What::Update => {
            let profile = Sealed(vec![5; 50]);
            (in_session, Action::UserUpdate(UserUpdate { if_version, profile }))
        }
        What::ChangePassword => {
            let session = Some(session);
            let ask = PasswordChange { password_version, password, session };
            (in_session, Action::PasswordChange(ask))
        }
        What::ResetPassword => {
            let ask = PasswordReset { user: id, secret: [secret; 32], password };
            (Actor::Anyone, Action::PasswordReset(ask))
        }
        What::Manage => {
            let is_blocked = row.is_some_and(|row| row.status == UserStatus::Blocked);
            let role = (pick == 1).then_some(Role::Support);
            let blocked = (pick != 1).then_some(!is_blocked);
            (ADMIN, Action::UserManage(UserManage { id, if_version, role, blocked }))
        }
        What::LogIn => {
            let ask = SessionOpen { id: session, user: id, password_version, refresh_key: 1 };
            (Actor::Anyone, Action::SessionOpen(ask))
        }
        What::Fail => (Actor::Anyone, Action::LoginFail(LoginFail { user: id })),
        What::Rotate | What::Next => {
            let session = memory.all::<Session>().find(|session| session.user == id);
            let id = session.map_or(sid(user, 0), |session| session.id);
            let generation = session.map_or(0, |session| session.generation);
            let generation = generation.saturating_sub(pick.into());
            (Actor::Anyone, Action::SessionRotate(SessionRotate { id, generation }))
        }
        What::LogOut => {
            let ask = SessionClose { id: sid(user, pick / 2), user: id };
            (in_session, Action::SessionClose(ask))
        }
        What::Issue => {
            let ask = SessionIssue { id: session, user: id, life_ms: MINUTE };
            (ADMIN, Action::SessionIssue(ask))
        }
        What::Report => {
            let effect = memory.all::<Effect>().nth(user.into());
            let id = effect.map_or(EffectId::new(0), |effect| effect.id);
            let attempts = effect.map_or(0, |effect| effect.attempts);
            let code = "mail_refused".to_owned();
            let attempt = match pick {
                0 => Attempt::Retry { wait_ms: MINUTE, code },
                1 => Attempt::Failed { code },
                _ => Attempt::Done,
            };
            (Actor::Node, Action::EffectReport(EffectReport { id, attempts, attempt }))
        }
    }
}

fn next(memory: &Memory, user: u8) -> What {
    let id = UserId::new(user.into());
    let code = memory.get::<EmailCode>(EmailCode::key_of((CodePurpose::SignUp, email(user))));
    let is_known = memory.get::<User>(id).is_some();
    match code {
        _ if is_known && memory.all::<Session>().any(|session| session.user == id) => What::Rotate,
        _ if is_known => What::LogIn,
        Some(code) if code.proof.is_some() => What::SignUp,
        Some(code) if code.is_live(code.sent_at) => What::Confirm,
        _ => What::Send,
    }
}
