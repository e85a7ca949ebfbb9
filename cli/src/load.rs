//! `demo` and `bench`: real nodes on loopback, and the traffic that is sent to them.
//!
//! - `local_cluster`: node processes that end with the command that started them
//! - `connection`: raw HTTP/1.1 over keep-alive connections, cheap enough that the load generator
//!   does not compete for the CPU with the nodes it measures
//! - `retry_client`: retries a request on other nodes until the response is definite
//! - `demo`: one sale, a killed leader, and a verdict on every unit
//! - `bench`: purchases per second, and an audit afterwards

pub(crate) mod bench;
pub(crate) mod demo;

mod connection;
mod latency;
mod local_cluster;
mod retry_client;
