//! A later release.
