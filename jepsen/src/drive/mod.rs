//! Doing a run: real nodes, clients that send requests, and a nemesis that breaks things.
//!
//! Reading order: [`workload`] (what clients do, without sockets or clocks), [`http_client`],
//! [`client_loop`] and [`admin_client`] (doing it), [`cluster`] (the nodes), [`nemesis`] (the
//! faults), [`run`] (one run, with its [`final_phase`] and [`inspection`]), [`resume`] (a run on the
//! data of an earlier one), and [`child_run`], [`matrix`] and [`soak`] (many runs in a row).

pub mod workload;

pub mod admin_client;
pub mod client_loop;
pub mod http_client;

pub mod cluster;
pub mod nemesis;

pub mod binary;
pub mod final_phase;
pub mod inspection;
pub mod resume;
pub mod run;

pub mod child_run;
pub mod matrix;
pub mod soak;
