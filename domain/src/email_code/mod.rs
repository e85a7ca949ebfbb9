//! E-mail codes: a person proves that they read the mail of an address, before they sign up or when
//! they forgot their password.
//!
//! A code is compared by its MAC, so the log never has it. Wrong tries are counted in the log: there
//! is one count, whatever node is asked.

pub mod command;
pub mod row;
mod rules;

pub use row::{CodePurpose, EmailCode};
