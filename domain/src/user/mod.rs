//! Users: accounts, roles, blocking and erasure.
//!
//! A user without a row is an active customer without an account: a shop's own user, or one whose
//! token a tool made. What identifies a person is sealed under the user's own data key, so rules
//! never see it; an e-mail address is found by its keyed hash.

pub mod command;
pub(crate) mod find;
pub mod row;
pub(crate) mod rules;

pub use find::by_email;
pub use row::{Account, User, UserStatus};
