//! The wrong code of the seeded bugs of this crate. None of it runs unless a test arms its bug.
//!
//! Each function stands where the right code calls it, and does nothing otherwise. There are three
//! files because nothing in this crate imports in a circle.

pub(crate) mod orders;
pub(crate) mod receipts;
pub(crate) mod values;
