//! Fuzz targets as plain functions: any bytes in, a promise checked, never a panic.
//!
//! Each target takes what a stranger, a peer, a damaged file or an operator may hand to the
//! program, and asserts more than that it survives: what is decoded is encoded and decoded to the
//! same, limits hold, a second and simpler opinion agrees. It says which side it reached, so that
//! the replay of the corpus (`tests/replay`) can show that both were.
//!
//! The programs under `fuzz_targets/` run these under libFuzzer; `docs/testing.md` has the
//! commands. `examples/seeds.rs` writes the corpus anew when a format changes.

#![cfg(feature = "sim")]

mod command;
mod decide;
mod history;
mod http;
mod idempotency;
mod issuer;
mod log_entry;
mod peer;
mod refresh;
pub mod shop;
mod snapshot;
mod storage;
mod toml;

pub use command::command_bytes;
pub use decide::decide_ops;
pub use history::history_jsonl;
pub use http::http_request;
pub use idempotency::idempotency_header;
pub use issuer::{issuer_token, jwks};
pub use log_entry::log_entry_bytes;
pub use peer::peer_frame;
pub use refresh::refresh_token;
pub use snapshot::{Records, checked_chunks, snapshot_bytes, snapshot_of};
pub use storage::storage_ops;
pub use toml::cluster_toml;

/// Which side of a target an input reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reached {
    /// It was taken for what it claims to be.
    Accepted,
    /// It was refused.
    Refused,
}

/// One target.
pub type Target = fn(&[u8]) -> Reached;

/// All targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("peer_frame", peer_frame),
    ("command_bytes", command_bytes),
    ("log_entry_bytes", log_entry_bytes),
    ("snapshot_bytes", snapshot_bytes),
    ("http_request", http_request),
    ("cluster_toml", cluster_toml),
    ("decide_ops", decide_ops),
    ("storage_ops", storage_ops),
    ("history_jsonl", history_jsonl),
    ("idempotency_header", idempotency_header),
    ("issuer_token", issuer_token),
    ("jwks", jwks),
    ("refresh_token", refresh_token),
];
