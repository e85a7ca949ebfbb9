//! Starts real nodes, breaks them, and judges what their clients saw.
//!
//! Nothing here is built from the product. The rules are written a second time, as an independent
//! sequential model ([`judge::model`]); the nodes run as processes and are spoken to only over HTTP.
//! A run writes a directory (`test.json`, `plan.json`, `history.jsonl`, `dump/*.json`, node logs).
//! The verdict is a pure function of that directory, so `jepsen check DIR` always gives the same
//! one.
//!
//! The folders depend on each other in one direction:
//! - [`record`]: what is written down, and how it is read back;
//! - [`judge`]: the model and the checkers, which read records;
//! - [`report`]: the verdict as a page for people;
//! - [`drive`]: workloads, faults and nodes; runs them, records them, and has them judged;
//! - [`prove`]: arms seeded bugs and checks that the tests and checkers notice;
//! - [`command`]: the command line.

pub mod seed;

pub mod record;

pub mod judge;

pub mod report;

pub mod drive;

pub mod prove;

pub mod command;
