//! Saved addresses: where a customer has orders sent.
//!
//! A row holds a sealed body, which only the node that takes a request can open, so rules never see
//! an address. An order copies the body ([`crate::order`]): changing or removing the address later
//! does not change the order. Once a customer has addresses, exactly one of them is the default.

pub mod command;
pub mod row;
pub(crate) mod rules;

pub use row::Address;
