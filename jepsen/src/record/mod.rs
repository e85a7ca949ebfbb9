//! What a run leaves behind, and how it is written down and read back.
//!
//! Reading order: [`run_metadata`] (what was run: `test.json`), [`http`] (requests and responses),
//! [`invocation`] and [`account`] (what a client may ask for), [`classify`] (how a response becomes
//! an event),
//! [`history`] and [`run_event`] (the events), [`recorder`] (writing them while a run happens),
//! [`dump`] and [`rows`] (what each node shows at the end), [`node_log`], [`inspect`] (what is left
//! on disk), and [`edn`] (an export for other checkers).
//!
//! Nothing here starts a node, and nothing here judges.

pub mod run_metadata;

pub mod http;
pub mod invocation;

pub mod account;

pub mod classify;
mod codes;

pub mod history;
pub mod recorder;
pub mod run_event;

pub mod dump;
pub mod inspect;
pub mod node_log;
pub mod rows;

pub mod edn;
pub mod json_file;
pub mod timestamp;
