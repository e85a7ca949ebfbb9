//! The version string: release, commit and build profile.

/// Version for `--version` and the first log line, for example `0.1.0 (3f2a9c41d0, release)`.
/// A fault build adds `+fault`.
pub const VERSION: &str = if firstcome_fault::IS_FAULT_BUILD {
    concat!(
        env!("CARGO_PKG_VERSION"),
        "+fault (",
        env!("FIRSTCOME_COMMIT"),
        ", ",
        env!("FIRSTCOME_PROFILE"),
        ")"
    )
} else {
    concat!(
        env!("CARGO_PKG_VERSION"),
        " (",
        env!("FIRSTCOME_COMMIT"),
        ", ",
        env!("FIRSTCOME_PROFILE"),
        ")"
    )
};
