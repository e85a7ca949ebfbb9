//! JSON files of a run directory.

use std::fs;
use std::path::Path;

use anyhow::Context;

/// Writes a file of the run directory.
pub fn write_json(path: &Path, value: &impl serde::Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
