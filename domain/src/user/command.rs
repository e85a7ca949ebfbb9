//! Commands about users. What they carry of a person is sealed, and passwords are hashed, by the
//! node that took the request.

use serde::{Deserialize, Serialize};

use super::row::Account;
use crate::address::command::AddressAdd;
use crate::kernel::actor::Role;
use crate::kernel::id::{SessionId, UserId};
use crate::kernel::value::Sealed;
use crate::kernel::version::Versioned;

/// `POST /v1/auth/sign-up`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UserSignUp {
    /// Fresh id.
    pub id: UserId,
    /// The new account.
    pub account: Account,
    /// SHA-256 of the token that proves the e-mail address.
    pub proof: [u8; 32],
    /// A first address.
    pub address: Option<AddressAdd>,
}

/// `POST /v1/admin/bootstrap`: the first admin.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AdminBootstrap {
    /// Fresh id.
    pub id: UserId,
    /// The new account.
    pub account: Account,
}

/// `PATCH /v1/me`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UserUpdate {
    /// The version whose profile was changed: another change in between must not be lost.
    pub if_version: u64,
    /// Name and phone number as a whole.
    pub profile: Sealed,
}

/// `POST /v1/me/password`: the node has checked the current password.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PasswordChange {
    /// The password that was checked.
    pub password_version: u32,
    /// The hash of the new one.
    pub password: Sealed,
    /// The session that goes on; all others end.
    pub session: Option<SessionId>,
}

/// `POST /v1/auth/password-resets/confirm`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PasswordReset {
    /// The user whom the link names.
    pub user: UserId,
    /// SHA-256 of the secret in the link.
    pub secret: [u8; 32],
    /// The hash of the new password.
    pub password: Sealed,
}

/// `PATCH /v1/admin/users/{id}`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UserManage {
    /// Who.
    pub id: UserId,
    /// The version the editor saw; 0 for a user without a row.
    pub if_version: u64,
    /// The role from now on.
    pub role: Option<Role>,
    /// Whether the user is blocked from now on.
    pub blocked: Option<bool>,
}

/// `DELETE /v1/me`, `DELETE /v1/admin/users/{id}`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UserErase {
    /// Who.
    pub id: UserId,
    /// The version the editor saw, if it is staff.
    pub if_version: Option<u64>,
}

impl Versioned for UserErase {}
impl Versioned for UserSignUp {}
impl Versioned for AdminBootstrap {}
impl Versioned for UserUpdate {}
impl Versioned for PasswordChange {}
impl Versioned for PasswordReset {}
impl Versioned for UserManage {}
