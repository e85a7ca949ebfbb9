//! Agreement: one log for all nodes, and who may append to it.

pub mod node;
pub mod options;
pub mod status;

pub use node::{Executed, Failure, FailureReason, Node, Reply, StartError};
pub use options::{Options, Peer};
pub use status::{ClusterStatus, Member, MemberRole, NodeHash};
