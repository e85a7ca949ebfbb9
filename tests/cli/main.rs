//! The program from outside: arguments in, text and exit codes out.

mod command_line;
mod node;
mod process;
mod settings;
