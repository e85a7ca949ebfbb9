//! Commands about e-mail codes.

use serde::{Deserialize, Serialize};

use super::row::CodePurpose;
use crate::kernel::id::EffectId;
use crate::kernel::value::{EmailIndex, Sealed};
use crate::kernel::version::Versioned;

/// `POST /v1/auth/email-verifications` and `/v1/auth/password-resets`. The node does not know
/// whether the address has an account, and its answer does not tell.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EmailCodeRequest {
    /// What for.
    pub purpose: CodePurpose,
    /// Which address.
    pub email: EmailIndex,
    /// The MAC of the code, or SHA-256 of the secret.
    pub mac: [u8; 32],
    /// Fresh id of the mail.
    pub effect: EffectId,
    /// The mail with the code, sealed for that id.
    pub letter: Sealed,
}

/// `POST /v1/auth/email-verifications/confirm`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EmailCodeConfirm {
    /// Which address.
    pub email: EmailIndex,
    /// The MAC of what was typed.
    pub mac: [u8; 32],
    /// SHA-256 of the token that a right code is exchanged for.
    pub proof: [u8; 32],
}

impl Versioned for EmailCodeRequest {}
impl Versioned for EmailCodeConfirm {}
