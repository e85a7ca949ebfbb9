//! The wrong code of the seeded bugs of this crate. None of it runs unless a test arms its bug.
//!
//! Each function stands where the right code calls it, and does nothing otherwise. They are in
//! several files, because a single one would make an import cycle.

pub(crate) mod accounts;
pub(crate) mod orders;
pub(crate) mod receipts;
pub(crate) mod values;
