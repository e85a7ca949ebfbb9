//! Every script in `tests/scripts`, run against memory. `UPDATE_GOLDENFILES=1` rewrites them.

use std::path::Path;

use firstcome_domain::testing::memory::Memory;
use firstcome_domain::testing::script::Script;

#[test]
fn scripts_run_as_recorded() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 15, "scripts are missing");
    for path in paths {
        goldenscript::run(&mut Script::new(Memory::new()), &path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}
