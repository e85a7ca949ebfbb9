//! `firstcome`: sells limited stock to whoever comes first, and proves that it did.

use std::process::ExitCode;

/// A fifth of a node's time went into the system's allocator; see `docs/performance.md`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    firstcome_cli::main()
}
