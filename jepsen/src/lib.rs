//! The outsider: starts real nodes, breaks them, and judges what clients saw.
//!
//! Nothing here is built from the product. The rules are written a second time, as an independent
//! sequential model ([`model`]); the nodes are started as processes and spoken to over HTTP alone.
//! A run writes a directory (`test.json`, `plan.json`, `history.jsonl`, `dump/*.json`, node logs),
//! and everything that is said about the run is a pure function of that directory ([`check`]), so
//! any verdict can be taken again: `jepsen check DIR`.
//!
//! Reading order: [`history`] (what is written down), [`client`] (how an answer becomes an event),
//! [`operation`], [`dump`], [`nodelog`] and [`inspect`] (what the checkers read), [`model`],
//! [`check`], [`report`] (the same for people); then [`ask`] and [`workload`] (what clients do,
//! without sockets or clocks), [`recorder`] and [`teller`] (doing it), [`nemesis`], [`cluster`],
//! [`run`], which brings them together, and [`matrix`] and [`soak`], many runs after another.

pub mod ask;
pub mod check;
pub mod child;
pub mod client;
pub mod closing;
pub mod cluster;
mod codes;
pub mod command;
pub mod desk;
pub mod dump;
pub mod edn;
pub mod history;
pub mod inspect;
pub mod matrix;
pub mod model;
pub mod nemesis;
pub mod nodelog;
pub mod operation;
pub mod origin;
pub mod prove;
pub mod recorder;
pub mod report;
pub mod run;
pub mod seed;
pub mod segment;
pub mod soak;
pub mod teller;
pub mod workload;
