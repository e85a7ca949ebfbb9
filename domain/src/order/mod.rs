//! Orders: units set aside for one customer until paid for or run out of time.
//!
//! An unpaid order *is* the hold: there is no hold object. It leaves `payment_pending` exactly
//! once and releases its units at most once (S9). Times are log time, so every node ends it at
//! the same log entry.

pub mod command;
pub(crate) mod create;
pub(crate) mod life;
pub mod row;
pub(crate) mod steps;
pub(crate) mod unpaid;

pub use crate::payment::row::{Capture, Payment, PaymentStatus, Refund};
pub use row::{EndReason, Line, Order, Source, Status};
