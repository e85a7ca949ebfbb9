//! What is on disk, and how it survives a crash.
//!
//! The log holds what Raft must not forget (entries, vote, marks) and syncs before it reports
//! anything; `state.redb` holds the rows and is brought up to date by checkpoints that never run
//! ahead of the log. Nothing in here awaits, and nothing in here decides.
//!
//! From the outside in: a [`DataDir`] is opened and locked; a [`Log`] and a [`State`] are opened
//! on it. Raft appends to the log, applies committed entries to the state, and reads through a
//! [`query::ReadView`], which stays as it is while apply goes on. [`snapshot`] carries a state to
//! another node, [`inspect`] looks into a stopped one.
//!
//! Below, the changes of a decision become rows and index rows (`write`) in memory (`memtable`,
//! `live`), are found through three layers (`scan`), and reach redb in bulk ([`state`]). Which
//! tables and indexes there are is the registry's business (`table`). All of it stands on [`disk`],
//! which the cargo feature `sim` replaces by one in memory that loses what was not synced.

pub mod codec;
pub mod dir;
pub mod disk;
mod error;
mod file;
#[doc(hidden)]
pub mod fuzz;
mod hot;
mod indexes;
pub mod inspect;
mod live;
pub mod log;
mod memtable;
mod packed;
mod panics;
pub mod query;
mod range;
mod scan;
mod scratch;
mod seeded;
mod segments;
pub mod snapshot;
pub mod state;
mod stored;
mod table;
mod view;
mod write;

pub use dir::{DataDir, Identity};
pub use disk::{Disk, RealDisk, system as system_disk};
pub use error::{Error, FailureHook};
pub use log::{Log, LogOptions};
pub use panics::is_caught as panic_is_caught;
pub use state::{State, StateOptions};
