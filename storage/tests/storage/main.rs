//! What storage promises, from outside: on a real disk, and on one that loses what was not
//! synced.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod contents;
mod running;
mod shop;

mod apply;
mod crash;
mod directory;
mod failing;
mod golden;
mod inspect;
mod later;
mod lists;
mod log;
mod names;
mod next_build;
mod purchase;
mod retention;
mod snapshot;
mod views;
mod volatile;
