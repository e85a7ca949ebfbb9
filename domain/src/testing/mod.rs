//! For tests: rows in memory, and scripts that run against any store of rows.

pub mod memory;
pub mod script;
