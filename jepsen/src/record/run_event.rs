//! Names of the events that the harness itself writes to the history.

/// Every node served again after the last fault.
pub const RECOVERED: &str = "recovered";
/// Not every node served again in time.
pub const NOT_RECOVERED: &str = "not_recovered";
/// A node's process ended although nobody had stopped it.
pub const NODE_EXITED: &str = "fallen";
/// A node did something that no fault explains.
pub const UNEXPECTED: &str = "finding";
/// Some request still had no outcome when the clients of a healed cluster ran out of time.
pub const STILL_OPEN: &str = "still_open";
/// Fresh buyers were refused on every sale: everything is sold.
pub const SOLD_OUT_PHASE: &str = "sell_out";
