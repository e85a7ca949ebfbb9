//! `firstcome`: sells limited stock to whoever comes first, and proves that it did.

use std::process::ExitCode;

fn main() -> ExitCode {
    firstcome_cli::main()
}
