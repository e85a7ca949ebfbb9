//! Nodes in one process, over real sockets and files: forming, failing, catching up.

mod cluster;
mod due;
mod early;
mod encoding;
mod level;
mod membership;
mod sale;
mod shop;
mod time;
