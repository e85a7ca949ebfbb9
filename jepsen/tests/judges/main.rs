//! The judges judged, and the rules of the repository.

mod regressions;
mod rehearsal;
mod shop;
mod tidy;
