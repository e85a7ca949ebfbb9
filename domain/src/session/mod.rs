//! Sessions: one login each, renewed by rotation, and refused on every node as soon as the close is applied.
//!
//! A session that is closed has no row. A refresh token is derived from the session and its
//! generation, so nothing secret is stored.

pub mod command;
pub mod row;
pub(crate) mod rules;

pub use row::{Session, SessionKind};
pub use rules::wait_after;
