//! The version string: release, commit and build profile.

/// The release, as a literal.
#[cfg(not(feature = "next"))]
macro_rules! release {
    () => {
        env!("CARGO_PKG_VERSION")
    };
}
#[cfg(feature = "next")]
macro_rules! release {
    () => {
        "0.2.0-next"
    };
}

/// Version for `--version` and the first log line, for example `0.1.0 (3f2a9c41d0, release)`.
/// A fault build adds `+fault`.
pub const VERSION: &str = if firstcome_fault::IS_FAULT_BUILD {
    concat!(release!(), "+fault (", env!("FIRSTCOME_COMMIT"), ", ", env!("FIRSTCOME_PROFILE"), ")")
} else {
    concat!(release!(), " (", env!("FIRSTCOME_COMMIT"), ", ", env!("FIRSTCOME_PROFILE"), ")")
};
