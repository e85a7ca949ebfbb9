//! The judges judged, and the rules of the repository.

mod harness;
mod regressions;
mod search;
mod tidy;
