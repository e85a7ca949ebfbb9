//! The program as its users see it: arguments in, text and exit codes out.

mod accounts;
mod cluster;
mod command_line;
mod documents;
mod extending;
mod fault_build;
mod faults;
mod http;
mod keys;
#[path = "../fault/markers.rs"]
mod markers;
mod node;
mod process;
mod reads;
mod sessions;
mod settings;
mod tokens;
