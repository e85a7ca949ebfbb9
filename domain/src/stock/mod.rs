//! Stock: where every unit of a pool stands, and the ledger of how it came there.
//!
//! Each product has one pool, each sale has one. Every change of an account is a movement with a
//! reason in the ledger, which is never edited, so that any account can be rebuilt from it
//! (invariants S1 and S2). Corrections are new movements.

pub(crate) mod adjust;
pub mod command;
pub(crate) mod moves;
pub mod row;

pub use crate::journal::row::{LedgerKey, LedgerRow};
pub use row::{Account, Accounts, Movement, Pool, PoolId, Reason, Usage};
