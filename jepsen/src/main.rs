//! `jepsen`: runs a cluster of real nodes under faults, or judges a recorded run again.

use std::process::ExitCode;

fn main() -> ExitCode {
    firstcome_jepsen::command::main()
}
