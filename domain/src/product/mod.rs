//! Products: a thing with a price and general stock.

pub mod command;
pub mod row;
pub(crate) mod rules;

pub use row::Product;
