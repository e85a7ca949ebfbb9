//! Signing up, changing, blocking and erasing users.

use std::sync::Arc;

use super::command::{
    AdminBootstrap, PasswordChange, PasswordReset, UserErase, UserManage, UserSignUp, UserUpdate,
};
use super::find::by_email;
use super::row::{Account, ActiveAdmins, User, UserStatus};
use crate::address::rules as address;
use crate::draft::Draft;
use crate::effect::row::Notice;
use crate::effect::rules as effect;
use crate::email_code::row::{CodePurpose, EmailCode};
use crate::field;
use crate::journal::event::{Fact, UserFact};
use crate::kernel::actor::{Actor, Role};
use crate::kernel::id::UserId;
use crate::kernel::value::{SEALED_BYTES_MAX, Sealed};
use crate::order::unpaid;
use crate::outcome::{Done, Kind, Refusal};
use crate::permission::{self, Needs, user};
use crate::rule::Rule;
use crate::seeded::accounts as seeded;
use crate::session::rules as session;
use crate::view::View;
use crate::wishlist::rules as wishlist;

impl Rule for UserSignUp {
    fn needs(&self) -> Needs {
        Needs::Anyone
    }

    fn sealed(&self) -> Option<&Sealed> {
        Some(&self.account.data_key)
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        sign_up(draft, self)
    }
}

impl Rule for AdminBootstrap {
    fn needs(&self) -> Needs {
        Needs::Admin
    }

    fn sealed(&self) -> Option<&Sealed> {
        Some(&self.account.data_key)
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        bootstrap(draft, self)
    }
}

impl Rule for UserUpdate {
    fn needs(&self) -> Needs {
        Needs::AnyUser
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, actor: Actor) -> Result<Done, Refusal> {
        update(draft, user(actor)?, self)
    }
}

impl Rule for PasswordChange {
    fn needs(&self) -> Needs {
        Needs::AnyUser
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, actor: Actor) -> Result<Done, Refusal> {
        change_password(draft, user(actor)?, self)
    }
}

impl Rule for PasswordReset {
    fn needs(&self) -> Needs {
        Needs::Anyone
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        reset_password(draft, self)
    }
}

impl Rule for UserManage {
    fn needs(&self) -> Needs {
        Needs::Admin
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        manage(draft, self)
    }
}

impl Rule for UserErase {
    fn needs(&self) -> Needs {
        Needs::AnyUser
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, actor: Actor) -> Result<Done, Refusal> {
        let is_own = user(actor)? == self.id;
        if !is_own && !permission::allows(actor, Needs::Admin) {
            return Err(Refusal::NotFound(Kind::User));
        }
        erase(draft, *self)
    }
}

/// Creates a customer, if their proof of the e-mail address is still good and nobody has it.
fn sign_up<V: View>(draft: &mut Draft<'_, V>, ask: &UserSignUp) -> Result<Done, Refusal> {
    require_fits(&ask.account)?;
    let now = draft.now();
    let code = (CodePurpose::SignUp, ask.account.email_index);
    let proof = draft.get::<EmailCode>(EmailCode::key_of(code)).and_then(|row| row.proof);
    let is_proven = proof.is_some_and(|proof| now < proof.expires_at && proof.is_of(&ask.proof));
    if !is_proven && !seeded::trusts_the_node() {
        return Err(Refusal::EmailUnverified);
    }
    require_new(draft, ask.id, &ask.account)?;
    if let Some(first) = &ask.address {
        address::add(draft, ask.id, first)?;
    }
    draft.delete::<EmailCode>(EmailCode::key_of(code));
    Ok(create(draft, ask.id, Role::Customer, &ask.account))
}

/// Creates the first admin. The caller has an admin token made with the master key.
fn bootstrap<V: View>(draft: &mut Draft<'_, V>, ask: &AdminBootstrap) -> Result<Done, Refusal> {
    require_fits(&ask.account)?;
    if !active_admins(draft).is_empty() {
        return Err(Refusal::AdminExists);
    }
    require_new(draft, ask.id, &ask.account)?;
    Ok(create(draft, ask.id, Role::Admin, &ask.account))
}

fn require_new<V: View>(
    draft: &mut Draft<'_, V>,
    id: UserId,
    account: &Account,
) -> Result<(), Refusal> {
    if by_email(draft.base(), account.email_index).is_some() && !seeded::trusts_the_node() {
        return Err(Refusal::EmailTaken);
    }
    if draft.get::<User>(id).is_some() {
        return Err(Refusal::IdInUse);
    }
    Ok(())
}

fn create<V: View>(draft: &mut Draft<'_, V>, id: UserId, role: Role, account: &Account) -> Done {
    let account = Some(Account { password_version: 1, ..account.clone() });
    let user = draft.put(User { role, account, ..User::unknown(id) });
    draft.publish(Fact::User { user: id, what: UserFact::SignedUp });
    Done::User(user)
}

fn update<V: View>(
    draft: &mut Draft<'_, V>,
    id: UserId,
    ask: &UserUpdate,
) -> Result<Done, Refusal> {
    require_sealed(&ask.profile)?;
    let (user, account) = with_account(draft, id)?;
    field::version(user.row, Some(ask.if_version))?;
    let account = Some(Account { profile: ask.profile.clone(), ..account });
    let user = draft.put(User { account, ..(*user).clone() });
    draft.publish(Fact::User { user: id, what: UserFact::Updated });
    Ok(Done::User(user))
}

/// Sets a new password. Every other session ends, because it may have been opened by someone
/// who knows the old password.
fn change_password<V: View>(
    draft: &mut Draft<'_, V>,
    id: UserId,
    ask: &PasswordChange,
) -> Result<Done, Refusal> {
    require_sealed(&ask.password)?;
    let (user, account) = with_account(draft, id)?;
    if account.password_version != ask.password_version {
        return Err(Refusal::VersionMismatch { current: user.row.version });
    }
    session::close_logins(draft, id, ask.session);
    let user = draft.put(User {
        account: Some(with_password(&account, &ask.password)),
        login_failures: 0,
        login_after: None,
        ..(*user).clone()
    });
    password_changed(draft, id);
    Ok(Done::User(user))
}

/// Sets a new password with the token from the mail. Every session ends.
fn reset_password<V: View>(draft: &mut Draft<'_, V>, ask: &PasswordReset) -> Result<Done, Refusal> {
    require_sealed(&ask.password)?;
    let now = draft.now();
    let (user, account) = with_account(draft, ask.user).map_err(|_| Refusal::CodeInvalid)?;
    let key = EmailCode::key_of((CodePurpose::PasswordReset, account.email_index));
    let code = draft.get::<EmailCode>(key);
    let is_right = code.is_some_and(|row| row.is_live(now) && row.matches(&ask.secret));
    if !is_right || !user.is_active() {
        return Err(Refusal::CodeInvalid);
    }
    draft.delete::<EmailCode>(key);
    session::close_logins(draft, ask.user, None);
    let user = draft.put(User {
        account: Some(with_password(&account, &ask.password)),
        login_failures: 0,
        login_after: None,
        ..seeded::after_reset(&user, next_epoch(&user, draft))
    });
    password_changed(draft, ask.user);
    Ok(Done::User(user))
}

fn with_password(account: &Account, password: &Sealed) -> Account {
    let password_version = account.password_version.saturating_add(1);
    Account { password: password.clone(), password_version, ..account.clone() }
}

fn password_changed<V: View>(draft: &mut Draft<'_, V>, user: UserId) {
    draft.publish(Fact::User { user, what: UserFact::PasswordChanged });
    effect::notify(draft, user, Notice::PasswordChanged);
}

/// Changes a user's role, or blocks or unblocks them. At least one admin who can log in must remain.
fn manage<V: View>(draft: &mut Draft<'_, V>, ask: &UserManage) -> Result<Done, Refusal> {
    let changes = ask.role.is_some() || ask.blocked.is_some();
    field::require(changes, "", "required")?;
    let user = draft.get::<User>(ask.id).unwrap_or_else(|| Arc::new(User::unknown(ask.id)));
    if user.status == UserStatus::Erased {
        return Err(Refusal::NotFound(Kind::User));
    }
    field::version(user.row, Some(ask.if_version))?;
    let role = ask.role.unwrap_or(user.role);
    // Staff log in with a password, so they need an account.
    let is_staff = role != Role::Customer;
    field::require(!is_staff || user.account.is_some(), "/role", "account_required")?;
    let status = match ask.blocked {
        Some(true) => UserStatus::Blocked,
        Some(false) => UserStatus::Active,
        None => user.status,
    };
    let is_blocked_now = user.is_active() && status == UserStatus::Blocked;
    let next = User { role, status, ..(*user).clone() };
    if user.is_active_admin() && !next.is_active_admin() && active_admins(draft).len() < 2 {
        return Err(Refusal::LastAdmin);
    }
    let next = if is_blocked_now {
        session::close_logins(draft, ask.id, None);
        User { role, status, ..next_epoch(&user, draft) }
    } else {
        next
    };
    if role != user.role {
        draft.publish(Fact::User { user: ask.id, what: UserFact::RoleChanged });
    }
    if status != user.status {
        let what = if is_blocked_now { UserFact::Blocked } else { UserFact::Unblocked };
        draft.publish(Fact::User { user: ask.id, what });
    }
    Ok(Done::User(draft.put(next)))
}

/// Removes everything that identifies a person: without the key, what was sealed under it stays
/// unreadable wherever a copy is left. The facts of their orders stay.
fn erase<V: View>(draft: &mut Draft<'_, V>, ask: UserErase) -> Result<Done, Refusal> {
    let user = draft.get::<User>(ask.id).filter(|user| user.status != UserStatus::Erased);
    let user = user.ok_or(Refusal::NotFound(Kind::User))?;
    field::version(user.row, ask.if_version)?;
    if user.is_active_admin() && active_admins(draft).len() < 2 {
        return Err(Refusal::LastAdmin);
    }
    if unpaid::has_open(draft, ask.id) {
        return Err(Refusal::OrdersOpen);
    }
    session::close_logins(draft, ask.id, None);
    address::clear(draft, ask.id);
    wishlist::clear(draft, ask.id);
    let user = draft.put(User {
        role: Role::Customer,
        status: UserStatus::Erased,
        account: None,
        login_failures: 0,
        login_after: None,
        ..next_epoch(&user, draft)
    });
    draft.publish(Fact::User { user: ask.id, what: UserFact::Erased });
    Ok(Done::User(user))
}

/// The same user in the next epoch: no session and no token from before counts.
fn next_epoch<V: View>(user: &User, draft: &Draft<'_, V>) -> User {
    let token_epoch = user.token_epoch.saturating_add(1);
    User { token_epoch, epoch_at: Some(draft.now()), ..user.clone() }
}

/// The first two admins who can sign in. Nothing that is done ahead of a command changes users, so
/// the rows before the decision tell.
fn active_admins<V: View>(draft: &Draft<'_, V>) -> Vec<UserId> {
    draft.base().scan::<ActiveAdmins>(UserId::new(0), UserId::new(u128::MAX), 2)
}

fn with_account<V: View>(
    draft: &mut Draft<'_, V>,
    id: UserId,
) -> Result<(Arc<User>, Account), Refusal> {
    let user = draft.get::<User>(id).ok_or(Refusal::NotFound(Kind::User))?;
    let account = user.account.clone().ok_or(Refusal::NotFound(Kind::User))?;
    Ok((user, account))
}

fn require_fits(account: &Account) -> Result<(), Refusal> {
    let Account { data_key, email, profile, password, .. } = account;
    [data_key, email, profile, password].into_iter().try_for_each(require_sealed)
}

fn require_sealed(value: &Sealed) -> Result<(), Refusal> {
    field::require(value.0.len() <= SEALED_BYTES_MAX, "", "too_long")
}
