//! What every aggregate is built from: values, ids, keys, and what a row is.
//!
//! Nothing here knows a product from an order. [`row`] says what a row kind and an index must
//! declare, [`key`] how their keys become bytes; the list of all row kinds is
//! [`crate::registry`].

pub mod actor;
pub mod id;
pub mod key;
pub mod row;
pub mod value;
pub mod version;
