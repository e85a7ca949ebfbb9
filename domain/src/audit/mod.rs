//! The audit log: what staff did, one entry for each command of theirs that was done.
//!
//! Each entry carries the hash of the one before it, so changing, removing or inserting an
//! entry breaks the chain. The hash covers the sealed bytes, so erasing a key does not break it.
//! Entries are never removed.

pub mod command;
pub mod row;
pub(crate) mod rules;

pub use row::{AuditEntry, AuditHead};
