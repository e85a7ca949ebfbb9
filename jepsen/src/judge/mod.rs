//! The verdict on a run: a pure function of its directory.
//!
//! Reading order: [`model`] (what should have happened, written independently of the product),
//! [`operation`] (requests that share a key, as one), [`check`] (the checkers and the verdict).

pub mod model;

pub mod operation;

pub mod check;
