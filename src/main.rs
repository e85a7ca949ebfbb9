//! `firstcome`: sells limited stock first come, first served, and proves it.

use std::process::ExitCode;

/// The system allocator took a fifth of a node's CPU time; see `docs/performance.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    firstcome_cli::main()
}
