//! Effects: what a decision asks of the outside world, performed by the leader. Today the only kind
//! is mail.
//!
//! The leader does an effect at least once and reports what became of it; a second report of
//! the same attempt changes nothing. The id of a mail fixes its `Message-ID`, so a duplicate can be
//! recognised.

pub mod command;
pub mod row;
pub(crate) mod rules;

pub use row::{Effect, Mail, Notice};
