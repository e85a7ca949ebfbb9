//! Settings: replicated values that decisions depend on.

pub mod command;
pub mod row;
pub(crate) mod rules;

pub use row::{OutOfRange, PAY_WITHIN_MS, Settings};
