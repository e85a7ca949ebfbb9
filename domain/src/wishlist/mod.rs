//! Wishlists: sales and products that a customer keeps for later.
//!
//! An item is a target with a quantity. It holds no units and stores no price: what it costs and
//! whether it can be had is read when somebody asks, and decided when it is ordered. An order, of
//! the whole list or not, takes what it buys off the list in the same log entry
//! ([`crate::order`]).

pub mod command;
pub mod row;
pub(crate) mod rules;

pub use row::{Wish, WishlistItem};
