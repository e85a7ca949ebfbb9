//! Real nodes: processes of the product's binary, observed and broken only from outside.

pub mod control;
pub mod netns;
pub mod network;
pub mod process;
pub mod proxy;
pub mod tmpfs;
pub mod watch;
