//! What a plain build must not contain. `tests/fault` tests the fault build.

use crate::markers::{MARKERS, text_of};
use crate::process::{run, stdout};

#[test]
fn a_plain_binary_contains_nothing_of_the_fault_build() {
    let text = text_of(env!("CARGO_BIN_EXE_firstcome"));
    assert!(
        text.contains("FIRSTCOME_MASTER_KEY_FILE"),
        "the search does not find text that is there"
    );
    for marker in MARKERS {
        assert!(!text.contains(marker), "the binary contains {marker:?}");
    }
    let here = tempfile::tempdir().expect("a directory");
    let version = stdout(&run(here.path(), &["--version"]));
    assert!(!version.contains("fault"), "{version}");
}
