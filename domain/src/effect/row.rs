//! An effect that is pending or failed.

use serde::{Deserialize, Serialize};

use crate::kernel::id::{EffectId, UserId};
use crate::kernel::row::{IndexKind, IndexRows, Row, TableId, indexes};
use crate::kernel::value::{Millis, Revision, RowStamp, Sealed};
use crate::kernel::version::Versioned;

/// What a mail says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Mail {
    /// Recipient and text, sealed for the effect.
    Letter {
        /// As the mailer reads it.
        sealed: Sealed,
        /// When its code or link expires.
        expires_at: Millis,
    },
    /// To a user, at the address of their account when it is sent.
    Notice {
        /// Who.
        user: UserId,
        /// What.
        notice: Notice,
    },
}

/// What a user is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Notice {
    /// Somebody wanted to sign up with the address of their account.
    AlreadyRegistered,
    /// Their password was changed.
    PasswordChanged,
    /// An old refresh token was used, and the session ended.
    SessionReuse,
}

/// One effect row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Effect {
    /// Its id.
    pub id: EffectId,
    /// What is to be sent.
    pub mail: Mail,
    /// Attempts that failed.
    pub attempts: u32,
    /// When it is tried next; of a failed one, when it is forgotten.
    pub next_at: Millis,
    /// From then on it is not tried again.
    pub give_up_at: Millis,
    /// Why the last attempt failed.
    pub last_code: Option<String>,
    /// Nobody tries again.
    pub failed: bool,
    /// Version and stamps.
    pub row: RowStamp,
}

indexes! {
    /// Effects to be done, by the instant of the next attempt.
    EffectsByNext(1057, "effects_by_next", IndexKind::Live): (Millis, EffectId);
    /// Failed effects, by the instant at which they are forgotten.
    EffectsFailed(1058, "effects_failed", IndexKind::Stored): (Millis, EffectId);
    /// Effects by the entry that asked for them.
    EffectsByTicket(1059, "effects_by_ticket", IndexKind::Stored): (Revision, EffectId);
}

impl Versioned for Effect {}

impl Row for Effect {
    const TABLE: TableId = TableId(23);
    const NAME: &'static str = "effects";
    const LIVE: bool = true;
    type Key = EffectId;

    fn key(&self) -> EffectId {
        self.id
    }

    fn stamp(&self) -> Option<RowStamp> {
        Some(self.row)
    }

    fn set_stamp(&mut self, stamp: RowStamp) {
        self.row = stamp;
    }

    fn index(&self, rows: &mut IndexRows) {
        rows.add::<EffectsByTicket>((self.row.created.revision, self.id));
        if self.failed {
            rows.add::<EffectsFailed>((self.next_at, self.id));
        } else {
            rows.add::<EffectsByNext>((self.next_at, self.id));
        }
    }
}
