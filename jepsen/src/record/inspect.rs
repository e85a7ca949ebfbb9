//! What `firstcome inspect` says of each data directory after its node has stopped: `inspect.json`.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// One stopped node, judged from its files alone.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Inspected {
    /// The node.
    pub node: String,
    /// The last revision it applied.
    pub revision: Option<u64>,
    /// The stored hash.
    pub stored: Option<String>,
    /// The hash recomputed from its rows.
    pub recomputed: Option<String>,
    /// What `inspect check` found wrong.
    pub wrong: Option<String>,
    /// Why it could not be inspected.
    pub unread: Option<String>,
}

/// Reads `inspect.json`; empty if the run has none.
pub fn read(dir: &Path) -> anyhow::Result<Vec<Inspected>> {
    let place = dir.join("inspect.json");
    if !place.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&place).context("cannot read inspect.json")?;
    serde_json::from_str(&text).with_context(|| format!("{} is broken", place.display()))
}
