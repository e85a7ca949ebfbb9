//! The judges judged, and the rules of the repository.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod harness;
mod people;
mod regressions;
mod rehearsal;
mod search;
mod shop;
mod tidy;
mod verdicts;
