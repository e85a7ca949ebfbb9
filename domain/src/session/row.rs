//! An open session.

use serde::{Deserialize, Serialize};

use crate::kernel::id::{SessionId, UserId};
use crate::kernel::row::{IndexKind, IndexRows, Row, TableId, indexes};
use crate::kernel::value::{Millis, Revision, RowStamp};
use crate::kernel::version::Versioned;
use crate::user::row::User;

/// How long the token before the last one still gives the same successor.
pub const ROTATION_GRACE_MS: i64 = 30 * 1000;
/// Logins that one user may have open.
pub const LOGINS_MAX: usize = 10;

/// How a session came to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SessionKind {
    /// With a password; renewed by its refresh token.
    Login,
    /// By a shop's server, for one access token.
    Issued,
}

/// One session row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Whose it is.
    pub user: UserId,
    /// How it came to be.
    pub kind: SessionKind,
    /// The epoch of the user in which it was opened.
    pub epoch: u32,
    /// The number of the key that its refresh tokens are made with.
    pub refresh_key: u32,
    /// How often it was renewed; the refresh token names it.
    pub generation: u32,
    /// When it was renewed last.
    pub rotated_at: Millis,
    /// When it ends unless it is renewed.
    pub idle_until: Millis,
    /// When it ends even if it is renewed.
    pub expires_at: Millis,
    /// Version and stamps.
    pub row: RowStamp,
}

impl Session {
    /// When it ends by itself.
    pub fn ends_at(&self) -> Millis {
        self.idle_until.min(self.expires_at)
    }

    /// Whether it is open. Its user may have no row.
    pub fn is_open(&self, user: Option<&User>, now: Millis) -> bool {
        self.epoch == user.map_or(0, |user| user.token_epoch) && now < self.ends_at()
    }
}

indexes! {
    /// Logins of a user, by the entry that opened them.
    LoginsByUser(1054, "logins_by_user", IndexKind::Stored): (UserId, Revision, SessionId);
    /// Sessions by the instant at which they end.
    SessionsByEnd(1055, "sessions_by_end", IndexKind::Stored): (Millis, SessionId);
}

impl Versioned for Session {}

impl Row for Session {
    const TABLE: TableId = TableId(21);
    const NAME: &'static str = "sessions";
    type Key = SessionId;

    fn key(&self) -> SessionId {
        self.id
    }

    fn stamp(&self) -> Option<RowStamp> {
        Some(self.row)
    }

    fn set_stamp(&mut self, stamp: RowStamp) {
        self.row = stamp;
    }

    fn index(&self, rows: &mut IndexRows) {
        rows.add::<SessionsByEnd>((self.ends_at(), self.id));
        if self.kind == SessionKind::Login {
            rows.add::<LoginsByUser>((self.user, self.row.created.revision, self.id));
        }
    }
}
