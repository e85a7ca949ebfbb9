//! Users, e-mail codes, sessions and mails.

use firstcome_domain::command::*;
use firstcome_domain::effect::{Effect, Mail, Notice};
use firstcome_domain::email_code::{CodePurpose, EmailCode};
use firstcome_domain::outcome::{Done, Kind};
use firstcome_domain::session::Session;
use firstcome_domain::user::{User, UserStatus};
use firstcome_domain::value::{SEALED_BYTES_MAX, Sealed};
use firstcome_domain::{
    AddressId, EffectId, Millis, Outcome, Refusal, SessionId, UserId, View as _,
};

use crate::shop::*;

const SECOND: i64 = 1_000;
const HOUR: i64 = 60 * MINUTE;

fn uid(number: u8) -> UserId {
    UserId::new(number.into())
}

fn sid(number: u8) -> SessionId {
    SessionId::new(number.into())
}

fn sign_up(number: u8, proof: u8) -> Action {
    let account = account(number);
    let proof = [proof; 32];
    Action::UserSignUp(UserSignUp { id: uid(number), account, proof, address: None })
}

fn log_in(session: u8, number: u8) -> Action {
    open_session(session, number, 1)
}

fn rotate(session: u8, generation: u32) -> Action {
    Action::SessionRotate(SessionRotate { id: sid(session), generation })
}

fn log_out(session: u8, number: u8) -> Action {
    Action::SessionClose(SessionClose { id: sid(session), user: uid(number) })
}

fn manage(number: u8, if_version: u64, role: Option<Role>, blocked: Option<bool>) -> Action {
    Action::UserManage(UserManage { id: uid(number), if_version, role, blocked })
}

fn new_password(version: u32, session: Option<u8>) -> Action {
    Action::PasswordChange(PasswordChange {
        password_version: version,
        password: Sealed(vec![9; 66]),
        session: session.map(sid),
    })
}

fn reset(number: u8, secret: u8) -> Action {
    let password = Sealed(vec![8; 66]);
    Action::PasswordReset(PasswordReset { user: uid(number), secret: [secret; 32], password })
}

/// The user who logged in with this session.
fn in_session(session: u8, number: u8) -> Actor {
    Actor::Session { user: uid(number), session: sid(session), role: Role::Admin }
}

/// A shop with user 1, who has an account, and their session 1.
fn with_user() -> Shop {
    let mut shop = Shop::with_product();
    join(&mut shop, 1);
    shop.done(Actor::Anyone, log_in(1, 1));
    shop
}

fn join(shop: &mut Shop, number: u8) {
    shop.done(Actor::Anyone, send_code(CodePurpose::SignUp, number, number));
    shop.done(Actor::Anyone, confirm_code(number, number, number));
    shop.done(Actor::Anyone, sign_up(number, number));
}

fn user(shop: &Shop, number: u8) -> User {
    (*shop.memory.get::<User>(uid(number)).unwrap()).clone()
}

fn sessions(shop: &Shop) -> Vec<u128> {
    shop.memory.all::<Session>().map(|session| session.id.get()).collect()
}

fn mails(shop: &Shop) -> Vec<Mail> {
    shop.memory.all::<Effect>().map(|effect| effect.mail.clone()).collect()
}

fn generation(done: Done) -> u32 {
    match done {
        Done::Session(session) => session.generation,
        other => panic!("not a session: {other:?}"),
    }
}

#[test]
fn ref47_sign_up_needs_confirmed_code() {
    let mut shop = Shop::empty();
    assert_eq!(shop.refused(Actor::Anyone, sign_up(1, 0)), Refusal::EmailUnverified);
    shop.done(Actor::Anyone, send_code(CodePurpose::SignUp, 1, 5));
    assert_eq!(shop.refused(Actor::Anyone, sign_up(1, 0)), Refusal::EmailUnverified);
    shop.done(Actor::Anyone, confirm_code(1, 5, 6));
    for (number, proof) in [(1, 7), (2, 6)] {
        let refusal = shop.refused(Actor::Anyone, sign_up(number, proof));
        assert_eq!(refusal, Refusal::EmailUnverified, "{number} {proof}");
    }
    let step = shop.ask(Actor::Anyone, sign_up(1, 6));
    assert_eq!(facts(&step), ["user.signed_up"]);
    let row = user(&shop, 1);
    assert_eq!((row.role, row.status, row.token_epoch), (Role::Customer, UserStatus::Active, 0));
    assert_eq!(row.account, Some(account(1)));
    assert_eq!(shop.refused(Actor::Anyone, sign_up(1, 6)), Refusal::EmailUnverified, "used");
}

#[test]
fn a_proof_lasts_half_an_hour() {
    let mut shop = Shop::empty();
    shop.done(Actor::Anyone, send_code(CodePurpose::SignUp, 1, 5));
    shop.done(Actor::Anyone, confirm_code(1, 5, 6));
    shop.now = 30 * MINUTE;
    assert_eq!(shop.refused(Actor::Anyone, sign_up(1, 6)), Refusal::EmailUnverified);
    shop.now = 0;
    let mut shop = Shop::empty();
    shop.done(Actor::Anyone, send_code(CodePurpose::SignUp, 1, 5));
    shop.done(Actor::Anyone, confirm_code(1, 5, 6));
    shop.now = 30 * MINUTE - 1;
    shop.done(Actor::Anyone, sign_up(1, 6));
}

#[test]
fn ref49_code_expires_counts_and_survives() {
    let mut shop = Shop::empty();
    shop.done(Actor::Anyone, send_code(CodePurpose::SignUp, 1, 5));
    shop.now = 10 * MINUTE - 1;
    for _ in 0..4 {
        assert_eq!(shop.refused(Actor::Anyone, confirm_code(1, 4, 6)), Refusal::CodeInvalid);
    }
    let mut in_time = Shop { memory: shop.memory.clone(), now: shop.now };
    in_time.done(Actor::Anyone, confirm_code(1, 5, 6));
    assert_eq!(in_time.refused(Actor::Anyone, confirm_code(1, 5, 7)), Refusal::CodeInvalid, "used");
    let mut late = Shop { memory: shop.memory.clone(), now: 10 * MINUTE };
    assert_eq!(late.refused(Actor::Anyone, confirm_code(1, 5, 6)), Refusal::CodeInvalid, "over");
    assert_eq!(shop.refused(Actor::Anyone, confirm_code(1, 4, 6)), Refusal::CodeInvalid);
    assert_eq!(
        shop.refused(Actor::Anyone, confirm_code(1, 5, 6)),
        Refusal::CodeInvalid,
        "five tries"
    );
    assert_eq!(
        shop.refused(Actor::Anyone, confirm_code(2, 5, 6)),
        Refusal::CodeInvalid,
        "not sent"
    );
    // A new code starts anew, and makes the one before useless.
    shop.done(Actor::Anyone, send_code(CodePurpose::SignUp, 1, 6));
    assert_eq!(shop.refused(Actor::Anyone, confirm_code(1, 5, 6)), Refusal::CodeInvalid);
    shop.done(Actor::Anyone, confirm_code(1, 6, 6));
}

#[test]
fn codes_are_sent_once_a_minute_and_five_times_an_hour() {
    let mut shop = Shop::empty();
    for mac in 1..=5 {
        shop.done(Actor::Anyone, send_code(CodePurpose::SignUp, 1, mac));
        let until = Millis::new(shop.now + MINUTE);
        shop.now += MINUTE - 1;
        let refusal = shop.refused(Actor::Anyone, send_code(CodePurpose::SignUp, 1, 9));
        assert_eq!(refusal, Refusal::CodeTooSoon { until });
        shop.now += 1;
    }
    let until = Millis::new(HOUR);
    let refusal = shop.refused(Actor::Anyone, send_code(CodePurpose::SignUp, 1, 9));
    assert_eq!(refusal, Refusal::CodeTooMany { until });
    shop.done(Actor::Anyone, send_code(CodePurpose::SignUp, 2, 9));
    shop.now = HOUR;
    shop.done(Actor::Anyone, send_code(CodePurpose::SignUp, 1, 9));
    // Confirming does not start the count anew.
    shop.done(Actor::Anyone, confirm_code(1, 9, 1));
    let until = Millis::new(HOUR + MINUTE);
    let refusal = shop.refused(Actor::Anyone, send_code(CodePurpose::SignUp, 1, 9));
    assert_eq!(refusal, Refusal::CodeTooSoon { until });
}

#[test]
fn an_address_with_an_account_is_told_by_mail_and_the_asker_is_not() {
    let mut shop = with_user();
    shop.now = HOUR;
    let known = shop.ask(Actor::Anyone, send_code(CodePurpose::SignUp, 1, 5)).outcome;
    let unknown = shop.ask(Actor::Anyone, send_code(CodePurpose::SignUp, 2, 6)).outcome;
    assert_eq!(known, unknown);
    let notice = Mail::Notice { user: uid(1), notice: Notice::AlreadyRegistered };
    assert!(mails(&shop).contains(&notice));
    let sealed = |mac: u8| Sealed(vec![mac; 40]);
    let letters = mails(&shop).into_iter().filter_map(|mail| match mail {
        Mail::Letter { sealed, .. } => Some(sealed),
        Mail::Notice { .. } => None,
    });
    assert_eq!(letters.collect::<Vec<_>>(), [sealed(1), sealed(6)], "no code for a known address");
    assert_eq!(shop.refused(Actor::Anyone, confirm_code(1, 5, 5)), Refusal::CodeInvalid);
}

#[test]
fn an_address_has_one_account() {
    let mut shop = Shop::empty();
    shop.done(Actor::Anyone, send_code(CodePurpose::SignUp, 1, 5));
    shop.done(Actor::Anyone, confirm_code(1, 5, 6));
    shop.done(ADMIN, Action::AdminBootstrap(AdminBootstrap { id: uid(9), account: account(1) }));
    assert_eq!(shop.refused(Actor::Anyone, sign_up(1, 6)), Refusal::EmailTaken);
    // The same half of a hash is not the same address.
    let mut other = account(1);
    other.email_index.0[31] = 77;
    shop.done(Actor::Anyone, {
        let Action::EmailCodeRequest(ask) = send_code(CodePurpose::SignUp, 1, 7) else {
            unreachable!()
        };
        Action::EmailCodeRequest(EmailCodeRequest { email: other.email_index, ..ask })
    });
    let Action::EmailCodeConfirm(ask) = confirm_code(1, 7, 8) else { unreachable!() };
    let ask = EmailCodeConfirm { email: other.email_index, ..ask };
    shop.done(Actor::Anyone, Action::EmailCodeConfirm(ask));
    let ask = UserSignUp { id: uid(2), account: other, proof: [8; 32], address: None };
    shop.done(Actor::Anyone, Action::UserSignUp(ask));
    assert_eq!(shop.memory.all::<User>().count(), 2);
}

#[test]
fn a_first_address_comes_with_the_account() {
    let mut shop = Shop::empty();
    shop.done(Actor::Anyone, send_code(CodePurpose::SignUp, 1, 5));
    shop.done(Actor::Anyone, confirm_code(1, 5, 6));
    let sign_up = |bytes: usize| {
        let address = AddressAdd { id: AddressId::new(3), body: Sealed(vec![7; bytes]) };
        let (account, address) = (account(1), Some(address));
        Action::UserSignUp(UserSignUp { id: uid(1), account, proof: [6; 32], address })
    };
    let refusal = shop.refused(Actor::Anyone, sign_up(SEALED_BYTES_MAX + 1));
    assert!(matches!(refusal, Refusal::InvalidField { .. }), "{refusal:?}");
    shop.done(Actor::Anyone, sign_up(40));
    let addresses = shop.memory.all::<firstcome_domain::address::Address>();
    assert_eq!(
        addresses.map(|row| (row.customer, row.is_default)).collect::<Vec<_>>(),
        [(uid(1), true)]
    );
}

#[test]
fn a_repeat_of_a_sign_up_with_its_key_is_the_same_account() {
    let mut shop = Shop::empty();
    shop.done(Actor::Anyone, send_code(CodePurpose::SignUp, 1, 5));
    let early = shop.ask_with_key(Actor::Anyone, key(1, 1), sign_up(1, 6));
    assert_eq!(early.outcome, Outcome::Refused(Refusal::EmailUnverified));
    shop.done(Actor::Anyone, confirm_code(1, 5, 6));
    let first = shop.ask_with_key(Actor::Anyone, key(1, 1), sign_up(1, 6));
    assert!(!first.replayed, "a refusal that may change is not remembered");
    let again = shop.ask_with_key(Actor::Anyone, key(1, 1), sign_up(1, 6));
    assert!(again.replayed && again.outcome == first.outcome);
}

#[test]
fn ref06_role_comes_from_the_user_row() {
    let mut shop = with_user();
    let create = || Action::ProductCreate(product_of(firstcome_domain::ProductId::new(2), 1));
    assert_eq!(shop.refused(in_session(1, 1), create()), Refusal::PermissionDenied);
    shop.done(ADMIN, manage(1, 1, Some(Role::Operator), None));
    shop.done(in_session(1, 1), create());
    // On a route for customers, staff act as customers.
    let as_customer = Actor::Session { user: uid(1), session: sid(1), role: Role::Customer };
    shop.done(customer(7), order_of(1, &[(P, 1)]));
    let cancel = || Action::OrderCancel(OrderCancel { id: oid(1) });
    assert_eq!(shop.refused(as_customer, cancel()), Refusal::NotFound(Kind::Order));
    shop.done(in_session(1, 1), cancel());
}

#[test]
fn a_session_acts_for_its_user_until_it_is_over() {
    let mut shop = with_user();
    let order = |id| order_of(id, &[(P, 1)]);
    shop.done(in_session(1, 1), order(1));
    assert_eq!(shop.row(1).customer, uid(1));
    assert_eq!(shop.refused(in_session(2, 1), order(2)), Refusal::SessionClosed, "none");
    assert_eq!(shop.refused(in_session(1, 2), order(2)), Refusal::SessionClosed, "another's");
    shop.now = 7 * DAY - 1;
    shop.done(in_session(1, 1), order(2));
    shop.now = 7 * DAY;
    assert_eq!(shop.refused(in_session(1, 1), order(3)), Refusal::SessionClosed, "idle");
    assert_eq!(shop.refused(Actor::Anyone, rotate(1, 0)), Refusal::SessionClosed);
}

#[test]
fn a_session_that_is_renewed_ends_after_thirty_days() {
    let mut shop = with_user();
    for (generation, day) in [6, 12, 18, 24].into_iter().enumerate() {
        shop.now = day * DAY;
        shop.done(Actor::Anyone, rotate(1, u32::try_from(generation).unwrap()));
    }
    shop.now = 30 * DAY;
    assert_eq!(shop.refused(Actor::Anyone, rotate(1, 4)), Refusal::SessionClosed);
}

#[test]
fn ref50_refresh_lifetime() {
    let settings = firstcome_domain::settings::Settings::default();
    assert_eq!(settings.refresh_idle_ms, 7 * DAY);
    assert_eq!(settings.refresh_absolute_ms, 30 * DAY);
    assert_eq!(settings.access_token_ms, 10 * MINUTE);
}

#[test]
fn tabs_that_renew_at_once_get_the_same_successor() {
    let mut shop = with_user();
    shop.now = MINUTE;
    assert_eq!(generation(shop.done(Actor::Anyone, rotate(1, 0))), 1);
    shop.now = MINUTE + 30 * SECOND - 1;
    let step = shop.ask(Actor::Anyone, rotate(1, 0));
    assert!(matches!(&step.outcome, Outcome::Done(Done::Session(row)) if row.generation == 1));
    assert_eq!(step.changes.len(), 0, "the session is as it was");
    assert_eq!(generation(shop.done(Actor::Anyone, rotate(1, 1))), 2);
}

#[test]
fn ref51_refresh_reuse_closes_session() {
    for (generation, after) in [(0, 30 * SECOND), (7, 0), (u32::MAX, 0)] {
        let mut shop = with_user();
        shop.done(Actor::Anyone, rotate(1, 0));
        shop.now = after;
        let step = shop.ask(Actor::Anyone, rotate(1, generation));
        assert_eq!(step.outcome, Outcome::Refused(Refusal::SessionReuse), "{generation}");
        assert_eq!(facts(&step), ["session.reuse_detected"]);
        assert_eq!(sessions(&shop), []);
        let notice = Mail::Notice { user: uid(1), notice: Notice::SessionReuse };
        assert!(mails(&shop).contains(&notice));
        // The newest token is of no use either.
        assert_eq!(shop.refused(Actor::Anyone, rotate(1, 1)), Refusal::SessionClosed);
        let order = order_of(1, &[(P, 1)]);
        assert_eq!(shop.refused(in_session(1, 1), order), Refusal::SessionClosed);
    }
}

#[test]
fn ref52_logout_verified_and_repeatable() {
    let mut shop = with_user();
    shop.done(Actor::Anyone, log_in(2, 1));
    shop.done(Actor::Anyone, log_out(1, 2));
    assert_eq!(sessions(&shop), [1, 2], "not that user's");
    let step = shop.ask(Actor::Anyone, log_out(1, 1));
    assert_eq!(facts(&step), ["session.closed"]);
    let step = shop.ask(Actor::Anyone, log_out(1, 1));
    assert_eq!((step.outcome, step.changes.len()), (Outcome::Done(Done::Accepted), 0));
    assert_eq!(sessions(&shop), [2]);
}

#[test]
fn users_end_their_own_sessions_only() {
    let mut shop = with_user();
    join(&mut shop, 2);
    shop.done(Actor::Anyone, log_in(2, 2));
    let not_found = Refusal::NotFound(Kind::Session);
    assert_eq!(shop.refused(in_session(1, 1), log_out(2, 2)), not_found);
    assert_eq!(shop.refused(in_session(1, 1), log_out(2, 1)), not_found);
    assert_eq!(shop.refused(in_session(1, 1), log_out(3, 1)), not_found);
    shop.done(Actor::Anyone, log_in(3, 1));
    shop.done(in_session(1, 1), log_out(3, 1));
    assert_eq!(sessions(&shop), [1, 2]);
}

#[test]
fn the_eleventh_login_ends_the_oldest() {
    let mut shop = with_user();
    for session in 2..=12 {
        shop.done(Actor::Anyone, log_in(session, 1));
    }
    assert_eq!(sessions(&shop), (3..=12).collect::<Vec<_>>());
    assert_eq!(shop.refused(Actor::Anyone, log_in(12, 1)), Refusal::IdInUse);
}

#[test]
fn wrong_passwords_have_to_wait_from_the_sixth_on() {
    let mut shop = with_user();
    let fail = || Action::LoginFail(LoginFail { user: uid(1) });
    for _ in 0..5 {
        shop.done(Actor::Anyone, fail());
    }
    shop.done(Actor::Anyone, log_in(2, 1));
    assert_eq!(user(&shop, 1).login_failures, 0, "a right one starts anew");
    let mut wait = SECOND;
    for failures in 1..=20_u32 {
        shop.done(Actor::Anyone, fail());
        let row = user(&shop, 1);
        assert_eq!(row.login_failures, failures);
        if failures <= 5 {
            assert_eq!(row.login_after, None);
            continue;
        }
        let until = Millis::new(shop.now + wait);
        assert_eq!(row.login_after, Some(until), "{failures}");
        assert_eq!(
            shop.refused(Actor::Anyone, log_in(3, 1)),
            Refusal::LoginThrottled { until },
            "the right one has to wait, too"
        );
        let step = shop.ask(Actor::Anyone, fail());
        assert_eq!(step.changes.len(), 0, "one that was tried meanwhile does not count");
        shop.now += wait;
        wait = (wait * 2).min(15 * MINUTE);
    }
    shop.done(Actor::Anyone, log_in(3, 1));
    let unknown = Action::LoginFail(LoginFail { user: uid(2) });
    assert_eq!(shop.refused(Actor::Anyone, unknown), Refusal::LoginRefused);
}

#[test]
fn a_login_needs_the_password_that_was_checked() {
    let mut shop = with_user();
    assert_eq!(shop.refused(Actor::Anyone, open_session(2, 1, 2)), Refusal::LoginRefused);
    assert_eq!(
        shop.refused(Actor::Anyone, open_session(2, 2, 1)),
        Refusal::LoginRefused,
        "no such user"
    );
    shop.done(in_session(1, 1), new_password(1, Some(1)));
    assert_eq!(shop.refused(Actor::Anyone, open_session(2, 1, 1)), Refusal::LoginRefused);
    shop.done(Actor::Anyone, open_session(2, 1, 2));
}

#[test]
fn a_new_password_ends_the_other_sessions() {
    let mut shop = with_user();
    shop.done(Actor::Anyone, log_in(2, 1));
    let refusal = shop.refused(in_session(2, 1), new_password(2, Some(2)));
    assert!(matches!(refusal, Refusal::VersionMismatch { .. }), "{refusal:?}");
    let step = shop.ask(in_session(2, 1), new_password(1, Some(2)));
    assert_eq!(facts(&step), ["session.closed", "user.password_changed"]);
    assert_eq!(sessions(&shop), [2]);
    assert_eq!(user(&shop, 1).account.unwrap().password, Sealed(vec![9; 66]));
    let notice = Mail::Notice { user: uid(1), notice: Notice::PasswordChanged };
    assert!(mails(&shop).contains(&notice));
    let refusal = shop.refused(customer(7), new_password(1, None));
    assert_eq!(refusal, Refusal::NotFound(Kind::User), "a user without an account");
}

#[test]
fn a_reset_needs_the_link_and_ends_every_session() {
    let mut shop = with_user();
    assert_eq!(shop.refused(Actor::Anyone, reset(1, 5)), Refusal::CodeInvalid);
    shop.done(Actor::Anyone, send_code(CodePurpose::PasswordReset, 1, 5));
    assert_eq!(shop.refused(Actor::Anyone, reset(1, 6)), Refusal::CodeInvalid);
    assert_eq!(shop.refused(Actor::Anyone, reset(2, 5)), Refusal::CodeInvalid);
    assert_eq!(
        shop.refused(Actor::Anyone, confirm_code(1, 5, 1)),
        Refusal::CodeInvalid,
        "no sign-up"
    );
    let mut late = Shop { memory: shop.memory.clone(), now: 10 * MINUTE };
    assert_eq!(late.refused(Actor::Anyone, reset(1, 5)), Refusal::CodeInvalid);
    shop.done(Actor::Anyone, reset(1, 5));
    let row = user(&shop, 1);
    assert_eq!((row.token_epoch, sessions(&shop)), (1, vec![]));
    assert_eq!(row.account.unwrap().password_version, 2);
    assert_eq!(shop.refused(Actor::Anyone, reset(1, 5)), Refusal::CodeInvalid, "used");
    shop.done(Actor::Anyone, open_session(2, 1, 2));
    shop.done(in_session(2, 1), order_of(1, &[(P, 1)]));
}

#[test]
fn a_reset_for_an_unknown_address_leaves_no_trace() {
    let mut shop = with_user();
    let step = shop.ask(Actor::Anyone, send_code(CodePurpose::PasswordReset, 2, 5));
    assert_eq!((step.outcome, step.changes.len()), (Outcome::Done(Done::Accepted), 0));
    let known = shop.done(Actor::Anyone, send_code(CodePurpose::PasswordReset, 1, 5));
    assert_eq!(known, Done::Accepted);
}

#[test]
fn a_blocked_user_is_kept_out_at_once() {
    let mut shop = with_user();
    let order = || order_of(1, &[(P, 1)]);
    let step = shop.ask(ADMIN, manage(1, 1, None, Some(true)));
    assert_eq!(facts(&step), ["session.closed", "user.blocked"]);
    assert_eq!(shop.refused(in_session(1, 1), order()), Refusal::UserBlocked);
    assert_eq!(shop.refused(customer(1), order()), Refusal::UserBlocked);
    assert_eq!(shop.refused(Actor::Anyone, log_in(2, 1)), Refusal::LoginRefused);
    assert_eq!(shop.refused(Actor::Anyone, rotate(1, 0)), Refusal::SessionClosed);
    shop.done(Actor::Anyone, send_code(CodePurpose::PasswordReset, 1, 5));
    assert_eq!(shop.refused(Actor::Anyone, reset(1, 5)), Refusal::CodeInvalid);
    assert_eq!(
        shop.refused(ADMIN, manage(1, 1, None, Some(false))),
        Refusal::VersionMismatch { current: 2 }
    );
    let step = shop.ask(ADMIN, manage(1, 2, None, Some(false)));
    assert_eq!(facts(&step), ["user.unblocked"]);
    assert_eq!(shop.refused(in_session(1, 1), order()), Refusal::SessionClosed);
    shop.done(Actor::Anyone, log_in(2, 1));
    shop.done(in_session(2, 1), order());
}

#[test]
fn a_user_without_a_row_can_be_blocked() {
    let mut shop = Shop::with_product();
    shop.done(ADMIN, manage(7, 0, None, Some(true)));
    let refusal = shop.refused(customer(7), order_of(1, &[(P, 1)]));
    assert_eq!(refusal, Refusal::UserBlocked);
    let row = user(&shop, 7);
    assert!(row.epoch_at.is_some() && row.account.is_none());
    let refusal = shop.refused(ADMIN, manage(8, 0, Some(Role::Support), None));
    assert!(matches!(refusal, Refusal::InvalidField { .. }), "{refusal:?}: nothing to log in with");
}

#[test]
fn last_admin_kept() {
    let mut shop = Shop::empty();
    let bootstrap = |number| {
        let (id, account) = (uid(number), account(number));
        Action::AdminBootstrap(AdminBootstrap { id, account })
    };
    assert_eq!(shop.refused(STAFF, bootstrap(1)), Refusal::PermissionDenied);
    shop.done(ADMIN, bootstrap(1));
    assert_eq!(shop.refused(ADMIN, bootstrap(2)), Refusal::AdminExists);
    for (role, blocked) in [(Some(Role::Operator), None), (None, Some(true))] {
        assert_eq!(shop.refused(ADMIN, manage(1, 1, role, blocked)), Refusal::LastAdmin);
    }
    join(&mut shop, 2);
    shop.done(ADMIN, manage(2, 1, Some(Role::Admin), None));
    shop.done(ADMIN, manage(1, 1, Some(Role::Customer), None));
    assert_eq!(shop.refused(ADMIN, manage(2, 2, None, Some(true))), Refusal::LastAdmin);
    assert_eq!(shop.refused(STAFF, manage(2, 2, None, None)), Refusal::PermissionDenied);
    assert_eq!(shop.code(ADMIN, manage(7, 0, None, None)), "invalid_field", "nothing to do");
}

#[test]
fn an_issued_session_is_for_a_customer_and_short() {
    let mut shop = with_user();
    let issue = |session, number, life_ms| {
        Action::SessionIssue(SessionIssue { id: sid(session), user: uid(number), life_ms })
    };
    for life_ms in [0, -1, HOUR + 1] {
        let refusal = shop.refused(ADMIN, issue(5, 7, life_ms));
        assert!(matches!(refusal, Refusal::InvalidField { .. }), "{life_ms}: {refusal:?}");
    }
    assert_eq!(shop.refused(STAFF, issue(5, 7, HOUR)), Refusal::PermissionDenied);
    shop.done(ADMIN, issue(5, 7, HOUR));
    shop.done(in_session(5, 7), order_of(1, &[(P, 1)]));
    assert_eq!(shop.refused(Actor::Anyone, rotate(5, 0)), Refusal::SessionClosed, "no renewal");
    let create = Action::ProductCreate(product_of(firstcome_domain::ProductId::new(2), 1));
    assert_eq!(shop.refused(in_session(5, 7), create), Refusal::PermissionDenied);
    shop.done(ADMIN, manage(1, 1, Some(Role::Support), None));
    assert_eq!(shop.code(ADMIN, issue(6, 1, HOUR)), "invalid_field", "staff");
    shop.done(ADMIN, manage(7, 0, None, Some(true)));
    assert_eq!(shop.code(ADMIN, issue(6, 7, HOUR)), "invalid_field", "blocked");
    shop.done(ADMIN, manage(7, 1, None, Some(false)));
    assert_eq!(shop.refused(in_session(5, 7), order_of(2, &[(P, 1)])), Refusal::SessionClosed);
}

#[test]
fn what_is_over_is_dropped_by_a_tick() {
    let mut shop = with_user();
    shop.done(Actor::Anyone, send_code(CodePurpose::SignUp, 2, 5));
    shop.now = 8 * DAY;
    let over = |shop: &Shop| {
        let now = Millis::new(shop.now);
        firstcome_domain::expiry::is_due(&shop.memory, now)
    };
    assert!(over(&shop));
    shop.tick();
    assert!(!over(&shop));
    assert_eq!(sessions(&shop), []);
    assert_eq!(shop.memory.all::<EmailCode>().count(), 0);
    assert_eq!(shop.memory.all::<User>().count(), 1);
}

#[test]
fn a_mail_is_tried_until_it_is_sent_or_its_time_is_over() {
    let mut shop = Shop::empty();
    shop.done(Actor::Anyone, send_code(CodePurpose::SignUp, 1, 5));
    let report = |attempts, attempt| {
        Action::EffectReport(EffectReport { id: EffectId::new(5), attempts, attempt })
    };
    let retry = |wait_ms| Attempt::Retry { wait_ms, code: "smtp_timeout".into() };
    let effect = |shop: &Shop| shop.memory.get::<Effect>(EffectId::new(5));
    assert_eq!(
        shop.refused(Actor::Anyone, report(0, Attempt::Done)),
        Refusal::PermissionDenied,
        "only the leader reports"
    );
    for wait_ms in [-1, HOUR + 1] {
        let refusal = shop.refused(Actor::Node, report(0, retry(wait_ms)));
        assert!(matches!(refusal, Refusal::InvalidField { .. }), "{wait_ms}: {refusal:?}");
    }
    shop.done(Actor::Node, report(0, retry(SECOND)));
    let row = effect(&shop).unwrap();
    assert_eq!((row.attempts, row.next_at.get(), row.failed), (1, SECOND, false));
    assert_eq!(row.last_code.as_deref(), Some("smtp_timeout"));
    let step = shop.ask(Actor::Node, report(0, Attempt::Done));
    assert_eq!(step.changes.len(), 0, "an attempt that was reported");
    let mut sent = Shop { memory: shop.memory.clone(), now: shop.now };
    sent.done(Actor::Node, report(1, Attempt::Done));
    assert_eq!(effect(&sent), None);
    // A code is of no use after ten minutes, so neither is another attempt.
    shop.done(Actor::Node, report(1, retry(10 * MINUTE)));
    let row = effect(&shop).unwrap();
    assert!(row.failed);
    let kept = matches!(&row.mail, Mail::Letter { sealed, .. } if sealed.0.is_empty());
    assert!(kept, "a letter that nobody sends is not kept");
    shop.now = 7 * DAY;
    shop.tick();
    assert_eq!(effect(&shop), None);
}

#[test]
fn a_mail_that_cannot_be_sent_fails_at_once() {
    let mut shop = with_user();
    shop.done(in_session(1, 1), new_password(1, None));
    let id = shop.memory.all::<Effect>().map(|row| row.id).find(|id| id.get() > 255).unwrap();
    let failed = |code: &str| {
        let attempt = Attempt::Failed { code: code.into() };
        Action::EffectReport(EffectReport { id, attempts: 0, attempt })
    };
    let refusal = shop.refused(Actor::Node, failed(&"x".repeat(65)));
    assert!(matches!(refusal, Refusal::InvalidField { .. }), "{refusal:?}");
    shop.done(Actor::Node, failed("smtp_refused"));
    let row = shop.memory.get::<Effect>(id).unwrap();
    assert_eq!((row.failed, row.attempts), (true, 1));
}

#[test]
fn a_profile_is_changed_as_a_whole_and_nothing_is_lost() {
    let mut shop = with_user();
    let update = |if_version, bytes| {
        Action::UserUpdate(UserUpdate { if_version, profile: Sealed(vec![6; bytes]) })
    };
    let refusal = shop.refused(in_session(1, 1), update(1, SEALED_BYTES_MAX + 1));
    assert!(matches!(refusal, Refusal::InvalidField { .. }), "{refusal:?}");
    shop.done(in_session(1, 1), update(1, 30));
    let stale = Refusal::VersionMismatch { current: 2 };
    assert_eq!(shop.refused(in_session(1, 1), update(1, 30)), stale);
    assert_eq!(user(&shop, 1).account.unwrap().profile, Sealed(vec![6; 30]));
    assert_eq!(shop.refused(customer(7), update(0, 30)), Refusal::NotFound(Kind::User));
}

#[test]
fn an_effect_keeps_its_id() {
    let mut shop = Shop::empty();
    shop.done(Actor::Anyone, send_code(CodePurpose::SignUp, 1, 5));
    assert_eq!(shop.refused(Actor::Anyone, send_code(CodePurpose::SignUp, 2, 5)), Refusal::IdInUse);
}

#[test]
fn a_blocked_user_is_told_so_and_not_that_a_sale_is_sold_out() {
    let mut shop = Shop::with_sale(1);
    shop.order(1, S, 1);
    let late = Command { actor: customer(7), receipt: None, action: order_of(2, &[(S, 1)]) };
    let early = |shop: &Shop| {
        let now = Millis::new(shop.now);
        firstcome_domain::early_refusal(&shop.memory, &late, now, Some(now))
    };
    assert!(matches!(early(&shop), Some(Refusal::SoldOut { .. })));
    shop.done(ADMIN, manage(7, 0, None, Some(true)));
    assert_eq!(early(&shop), None);
}
