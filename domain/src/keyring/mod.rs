//! The keyring: which versions of the master key there are, and the cluster's own keys, wrapped.
//!
//! The master key itself is in files and never here. A version is known as soon as a node reports
//! that its file has it, and active once all voters have it: then it signs and seals on every
//! node. Of a version the row keeps a check value, so that a node with another key is noticed.

pub mod command;
pub mod row;
pub(crate) mod rules;

pub use row::{ClusterKey, Keyring, MasterState, MasterVersion, Purpose};
