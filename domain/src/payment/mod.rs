//! Payments: what became of the money of an order.
//!
//! Every report of a provider (browser return, callback, lookup) and every "paid outside" of
//! staff ends in [`settle`], so there is one path and one winner. Money that arrives without
//! units to sell for it is given back, and the payment says so: `refund_pending`. Reports may
//! come twice, late, or in any order; a report that was heard before changes nothing.

pub mod command;
pub mod row;
pub(crate) mod settle;
pub(crate) mod state;

pub use row::{Capture, Payment, PaymentStatus, Refund};
