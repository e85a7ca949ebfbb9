//! The rules of the domain, tested at their border: a command in, an outcome and rows out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod domain_rules;
mod fields;
mod history;
mod invariants;
mod model;
mod properties;
mod reference;
mod scripts;
mod shop;
