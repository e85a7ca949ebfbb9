//! The code that was sent to an e-mail address.

use serde::{Deserialize, Serialize};

use crate::kernel::row::{IndexKind, IndexRows, Row, TableId, indexes};
use crate::kernel::value::{EmailIndex, Millis, RowStamp, same};
use crate::kernel::version::Versioned;

/// How long a code can be used.
pub const CODE_LIFE_MS: i64 = 10 * MINUTE;
/// How long the proof of an address can be used.
pub const PROOF_LIFE_MS: i64 = 30 * MINUTE;
/// Wrong tries after which a code is used up.
pub const ATTEMPTS_MAX: u32 = 5;
/// How long after a code the next one can be sent.
pub const RESEND_AFTER_MS: i64 = MINUTE;
/// Codes that are sent to one address within [`SENDS_WITHIN_MS`].
pub const SENDS_MAX: u32 = 5;
/// See [`SENDS_MAX`].
pub const SENDS_WITHIN_MS: i64 = 60 * MINUTE;

const MINUTE: i64 = 60 * 1000;

/// What a code is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CodePurpose {
    /// Signing up: six digits that a person types.
    SignUp,
    /// A new password: 256 bits in a link.
    PasswordReset,
}

/// Proof that a person reads the mail of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Proof {
    /// SHA-256 of the token that they were given.
    pub hash: [u8; 32],
    /// When it expires.
    pub expires_at: Millis,
}

impl Proof {
    /// Whether a token has this hash.
    pub fn is_of(&self, hash: &[u8; 32]) -> bool {
        same(&self.hash, hash)
    }
}

/// One row per address and purpose.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EmailCode {
    /// What it is for.
    pub purpose: CodePurpose,
    /// Whose address.
    pub email: EmailIndex,
    /// The MAC of the code that was sent last, or SHA-256 of the secret.
    pub mac: [u8; 32],
    /// Wrong tries of that code.
    pub attempts: u32,
    /// When it was sent.
    pub sent_at: Millis,
    /// When it expires; set to the instant of use once it was used.
    pub expires_at: Millis,
    /// Since when `sends` counts.
    pub counted_from: Millis,
    /// Codes sent since then.
    pub sends: u32,
    /// Given for the right code.
    pub proof: Option<Proof>,
    /// Version and stamps.
    pub row: RowStamp,
}

/// Key of an [`EmailCode`]: the place of its purpose in [`CodePurpose`], and its address.
pub type EmailCodeKey = (u8, [u8; 32]);

impl EmailCode {
    /// The key of an address and a purpose.
    pub const fn key_of((purpose, email): (CodePurpose, EmailIndex)) -> EmailCodeKey {
        let place = match purpose {
            CodePurpose::SignUp => 0,
            CodePurpose::PasswordReset => 1,
        };
        (place, email.0)
    }

    /// Whether the code can be tried.
    pub fn is_live(&self, now: Millis) -> bool {
        now < self.expires_at && self.attempts < ATTEMPTS_MAX
    }

    /// Whether this is the code.
    pub fn matches(&self, mac: &[u8; 32]) -> bool {
        same(&self.mac, mac)
    }

    /// When the row can be dropped.
    pub fn over_at(&self) -> Millis {
        let proof = self.proof.map_or(self.expires_at, |proof| proof.expires_at);
        proof.max(self.expires_at).max(self.counted_from.plus(SENDS_WITHIN_MS))
    }
}

indexes! {
    /// Codes by the instant at which their row can be dropped.
    EmailCodesByEnd(1056, "email_codes_by_end", IndexKind::Stored): (Millis, EmailCodeKey);
}

impl Versioned for EmailCode {}

impl Row for EmailCode {
    const TABLE: TableId = TableId(22);
    const NAME: &'static str = "email_codes";
    type Key = EmailCodeKey;

    fn key(&self) -> EmailCodeKey {
        Self::key_of((self.purpose, self.email))
    }

    fn stamp(&self) -> Option<RowStamp> {
        Some(self.row)
    }

    fn set_stamp(&mut self, stamp: RowStamp) {
        self.row = stamp;
    }

    fn index(&self, rows: &mut IndexRows) {
        rows.add::<EmailCodesByEnd>((self.over_at(), self.key()));
    }
}
