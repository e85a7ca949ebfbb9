//! The rules of the domain, tested at their border: a command in, an outcome and rows out.

mod domain_rules;
mod invariants;
mod reference;
mod scripts;
mod shop;
