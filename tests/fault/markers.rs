//! What tells a fault build from a plain one, by its bytes.

/// Text that only the fault build has a use for.
pub(crate) const MARKERS: &[&str] = &[
    "FIRSTCOME_FAULT_",
    "+fault (",
    "this is a fault build",
    "failpoint ",
    "oversell_off_by_one",
    "ack_before_fsync",
    "log_append_before",
    "drift_ppm",
];

/// The text of a program; what is no text becomes replacement characters.
pub(crate) fn text_of(program: &str) -> String {
    String::from_utf8_lossy(&std::fs::read(program).expect("the program")).into_owned()
}
