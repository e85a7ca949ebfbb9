//! The program from outside: arguments in, text and exit codes out.

mod cluster;
mod command_line;
mod documents;
mod faults;
mod http;
mod node;
mod process;
mod settings;
