//! A user.

use serde::{Deserialize, Serialize};

use crate::kernel::actor::Role;
use crate::kernel::id::UserId;
use crate::kernel::row::{IndexKind, IndexRows, Row, TableId, indexes};
use crate::kernel::value::{EmailIndex, Language, Millis, Revision, RowStamp, Sealed};
use crate::kernel::version::Versioned;

/// Whether a user may act.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum UserStatus {
    /// May log in and act.
    Active,
    /// Blocked by staff.
    Blocked,
    /// All personal data was removed. The row stays, so that old tokens stay refused.
    Erased,
}

/// What a person signs in with. Everything sealed is sealed under `data_key`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Account {
    /// The user's own key, wrapped by a version of the master key.
    pub data_key: Sealed,
    /// Finds the account; no two users have the same.
    pub email_index: EmailIndex,
    /// The e-mail address.
    pub email: Sealed,
    /// Name and phone number.
    pub profile: Sealed,
    /// The hash of the password.
    pub password: Sealed,
    /// Counts passwords from 1.
    pub password_version: u32,
    /// What mails to the user are written in.
    pub language: Language,
}

/// One user row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// What the user may do.
    pub role: Role,
    /// Whether the user may act.
    pub status: UserStatus,
    /// Sessions of an earlier epoch are closed.
    pub token_epoch: u32,
    /// When the epoch last rose; tokens of a shop's own issuer from before that are refused.
    pub epoch_at: Option<Millis>,
    /// What they sign in with; none for a shop's own users.
    pub account: Option<Account>,
    /// Wrong passwords since the last right one.
    pub login_failures: u32,
    /// Until then, no password is tried.
    pub login_after: Option<Millis>,
    /// Version and stamps.
    pub row: RowStamp,
}

impl User {
    /// A user without a row.
    pub fn unknown(id: UserId) -> Self {
        Self {
            id,
            role: Role::Customer,
            status: UserStatus::Active,
            token_epoch: 0,
            epoch_at: None,
            account: None,
            login_failures: 0,
            login_after: None,
            row: RowStamp::default(),
        }
    }

    /// Whether they may act.
    pub fn is_active(&self) -> bool {
        self.status == UserStatus::Active
    }

    /// Whether they can sign in as an admin.
    pub fn is_active_admin(&self) -> bool {
        self.is_active() && self.role == Role::Admin && self.account.is_some()
    }
}

indexes! {
    /// Users by the first half of the hash of their e-mail address.
    UsersByEmail(1050, "users_by_email", IndexKind::Stored): (u128, UserId);
    /// Users by the entry that created them.
    UsersByTicket(1051, "users_by_ticket", IndexKind::Stored): (Revision, UserId);
    /// Staff by role (its place in [`Role`]) and by the entry that created them.
    StaffByRole(1052, "staff_by_role", IndexKind::Stored): (u8, Revision, UserId);
    /// Admins who can sign in.
    ActiveAdmins(1053, "active_admins", IndexKind::Stored): UserId;
}

impl Versioned for User {}

impl Row for User {
    const TABLE: TableId = TableId(20);
    const NAME: &'static str = "users";
    type Key = UserId;

    fn key(&self) -> UserId {
        self.id
    }

    fn stamp(&self) -> Option<RowStamp> {
        Some(self.row)
    }

    fn set_stamp(&mut self, stamp: RowStamp) {
        self.row = stamp;
    }

    fn index(&self, rows: &mut IndexRows) {
        let ticket = self.row.created.revision;
        rows.add::<UsersByTicket>((ticket, self.id));
        if let Some(account) = &self.account {
            rows.add::<UsersByEmail>((account.email_index.head(), self.id));
        }
        if self.role != Role::Customer {
            rows.add::<StaffByRole>((self.role.place(), ticket, self.id));
        }
        if self.is_active_admin() {
            rows.add::<ActiveAdmins>(self.id);
        }
    }
}
