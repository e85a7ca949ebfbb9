//! The rules of the domain, tested at their border: a command in, an outcome and rows out.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod address;
mod audit;
mod commands;
mod domain_rules;
mod fields;
mod history;
mod imports;
mod invariants;
mod keyring;
mod model;
mod people;
mod properties;
mod recording;
mod reference;
mod registry;
mod retention;
mod scripts;
mod shop;
mod users;
mod wishlist;
