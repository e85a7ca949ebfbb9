//! Agreement: one log for all nodes, and who may append to it.
//!
//! A [`Node`] takes a command on any node, forwards it to the leader over a standing connection,
//! and answers when a majority has it on disk and the leader has applied it. Reads are
//! linearizable on any node, at the cost of one question to the leader. openraft runs the
//! protocol: what it stores goes through `log_store` and `state_machine`, what it sends goes
//! through `network`, and none of its types leave this crate. What a command means is up to the
//! [`Application`].
//!
//! Reading order: [`node`] (the surface), `propose` (the path of one command), `read_index`,
//! `timers`, `admin`, `bootstrap`, then the formats (`entry`, `log_format`, `protocol`) and the
//! adaptors for openraft.

mod admin;
mod admission;
mod answer;
mod application;
mod bootstrap;
mod clock;
mod command;
mod config;
mod core;
mod counters;
mod describe;
mod entry;
mod failure;
mod files;
#[doc(hidden)]
pub mod fuzz;
mod in_flight;
mod leadership;
mod log_format;
mod log_store;
mod members;
mod metrics;
mod network;
pub mod node;
#[cfg(simulation)]
pub mod observe;
pub mod options;
mod propose;
mod protocol;
mod read_index;
mod readers;
mod seeded;
#[cfg(simulation)]
pub mod simulation;
mod state_machine;
pub mod status;
#[cfg(test)]
mod suite;
mod timers;
mod transfers;
mod types;

pub use answer::{Executed, Failure, FailureReason, Reply, StartError};
pub use application::{Application, EarlyAnswer};
pub use describe::{EntrySummary, describe_entry};
pub use failure::storage_exit_code;
pub use node::Node;
pub use options::{Options, Peer};
pub use status::{ClusterStatus, Member, MemberRole, NodeHash};
