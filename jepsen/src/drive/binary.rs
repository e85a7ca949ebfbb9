//! The binaries a run needs, and how to build the ones that are missing.

use std::path::Path;

use anyhow::ensure;

/// How the product is built.
pub const BUILD: &str = "cargo build --release";
/// How its fault build is built, beside the plain one.
pub const BUILD_FAULT: &str = "cargo build --release --features fault --target-dir target/fault";

/// If a file that the command line names is missing, says how to build it.
pub fn ensure_built(path: &Path, option: &str, build: &str) -> anyhow::Result<()> {
    ensure!(
        path.is_file(),
        "{} does not exist; build it with `{build}`, or name another one with {option}",
        path.display()
    );
    Ok(())
}
