//! Commands about sessions. Passwords and refresh tokens are checked by the node that took the
//! request.

use serde::{Deserialize, Serialize};

use crate::kernel::id::{SessionId, UserId};
use crate::kernel::version::Versioned;

/// `POST /v1/auth/login`, after the password was right.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SessionOpen {
    /// Fresh id.
    pub id: SessionId,
    /// Who logs in.
    pub user: UserId,
    /// The password that was checked.
    pub password_version: u32,
    /// The number of the key that refresh tokens are made with.
    pub refresh_key: u32,
}

/// `POST /v1/auth/login`, after the password was wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LoginFail {
    /// Whose password was tried.
    pub user: UserId,
}

/// `POST /v1/auth/refresh`, after the MAC of the token was right.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SessionRotate {
    /// Which session.
    pub id: SessionId,
    /// The generation that the token names.
    pub generation: u32,
}

/// `POST /v1/auth/logout`, after the token was verified, and `DELETE /v1/me/sessions/{id}`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SessionClose {
    /// Which session.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
}

/// `POST /v1/admin/tokens`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SessionIssue {
    /// Fresh id.
    pub id: SessionId,
    /// For which customer.
    pub user: UserId,
    /// How long it lasts.
    pub life_ms: i64,
}

impl Versioned for SessionOpen {}
impl Versioned for LoginFail {}
impl Versioned for SessionRotate {}
impl Versioned for SessionClose {}
impl Versioned for SessionIssue {}
