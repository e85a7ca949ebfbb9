//! Effects: work with the outside world that a decision asked for and the leader does. Today that
//! is mail.
//!
//! The leader does an effect at least once and reports what became of it; a report of an attempt
//! that is over changes nothing. The id of a mail fixes its `Message-ID`, so a second copy can be
//! told from another mail.

pub mod command;
pub mod row;
pub(crate) mod rules;

pub use row::{Effect, Mail, Notice};
