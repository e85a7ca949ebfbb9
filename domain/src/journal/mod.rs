//! The journal: what each decision left behind, in the order of the log.
//!
//! One row per deciding log entry holds the units that moved, the facts to publish and the receipt
//! of the request. Rows are appended. Receipts and facts are dropped when their time is over, and
//! movements stay, because they explain every account (S2).

pub mod event;
pub mod receipt;
pub mod retention;
pub mod row;

pub use row::{Journal, LedgerEntry, LedgerKey, LedgerRow};
