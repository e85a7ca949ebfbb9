//! The audit log: what staff did, one entry for each command of theirs that was done.
//!
//! Each entry carries the hash of the one before it, so an entry that is changed, removed or put in
//! between breaks the chain. The hash covers what is sealed as it is sealed: erasing a key does not
//! break it. Nothing removes entries.

pub mod command;
pub mod row;
pub(crate) mod rules;

pub use row::{AuditEntry, AuditHead};
