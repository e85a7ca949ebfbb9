//! What a plain build must not have. `tests/fault` looks at the other build.

use crate::markers::{MARKERS, text_of};
use crate::process::{run, stdout};

#[test]
fn a_plain_binary_has_nothing_of_the_fault_build() {
    let text = text_of(env!("CARGO_BIN_EXE_firstcome"));
    assert!(text.contains("FIRSTCOME_MASTER_KEY_FILE"), "its own text is found");
    for marker in MARKERS {
        assert!(!text.contains(marker), "it holds {marker:?}");
    }
    let here = tempfile::tempdir().expect("a directory");
    let version = stdout(&run(here.path(), &["--version"]));
    assert!(!version.contains("fault"), "{version}");
}
