//! The judges judged, and the rules of the repository.

mod harness;
mod regressions;
mod rehearsal;
mod search;
mod shop;
mod tidy;
