//! What `firstcome inspect` says of each data directory once its node has stopped: `inspect.json`.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// One stopped node, seen from its files alone.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Inspected {
    /// The node.
    pub node: String,
    /// The last revision it applied.
    pub revision: Option<u64>,
    /// The hash it kept.
    pub stored: Option<String>,
    /// The hash of its rows, counted anew.
    pub recomputed: Option<String>,
    /// What does not hold, as `inspect check` says.
    pub wrong: Option<String>,
    /// Why it could not be looked at.
    pub unread: Option<String>,
}

/// Reads `inspect.json`; a run without it has looked into nothing.
pub fn read(dir: &Path) -> anyhow::Result<Vec<Inspected>> {
    let place = dir.join("inspect.json");
    if !place.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&place).context("cannot read inspect.json")?;
    serde_json::from_str(&text).with_context(|| format!("{} is broken", place.display()))
}
