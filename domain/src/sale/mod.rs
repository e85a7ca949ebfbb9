//! Sales: a limited offer on one product, with its own units, window and limit.

pub mod command;
pub mod row;
pub(crate) mod rules;

pub use row::{Disclosure, Phase, Sale};
