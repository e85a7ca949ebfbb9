//! The outsider: starts real nodes, breaks them, and judges what clients saw.
//!
//! Nothing here is built from the product. The rules are written a second time, as an independent
//! sequential model ([`model`]); the nodes are started as processes and spoken to over HTTP alone.
//! A run writes a directory (`test.json`, `plan.json`, `history.jsonl`, `dump/*.json`, node logs),
//! and everything that is said about the run is a pure function of that directory ([`check`]), so
//! any verdict can be taken again: `jepsen check DIR`.
//!
//! Reading order: [`history`] (what is written down), [`client`] (how an answer becomes an event),
//! [`operation`] and [`dump`] (what the checkers read), [`model`], [`check`], then [`run`] with its
//! workload, nemesis and cluster.

pub mod check;
pub mod client;
pub mod cluster;
pub mod command;
pub mod dump;
pub mod history;
pub mod model;
pub mod nemesis;
pub mod operation;
pub mod prove;
pub mod run;
pub mod seed;
pub mod workload;
