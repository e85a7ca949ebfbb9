//! Runs `firstcome inspect` on every data directory once its node has stopped.

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

use crate::drive::cluster::process::Cluster;
use crate::record::inspect::Inspected;
use crate::record::json_file::write_json;

/// Inspects every data directory of a run whose nodes have stopped.
pub fn inspect(cluster: &Cluster, dir: &Path) -> anyhow::Result<Vec<Inspected>> {
    let mut found = Vec::new();
    let data = dir.join("data");
    for entry in fs::read_dir(&data).with_context(|| format!("cannot list {}", data.display()))? {
        let path = entry?.path();
        let node = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.push(inspect_node(cluster, &node, &path.to_string_lossy()));
    }
    found.sort_by(|a, b| a.node.cmp(&b.node));
    write_json(&dir.join("inspect.json"), &found)?;
    Ok(found)
}

fn inspect_node(cluster: &Cluster, node: &str, data_dir: &str) -> Inspected {
    let mut inspected = Inspected { node: node.to_owned(), ..Inspected::default() };
    let read = cluster
        .run(&["inspect", "hash", "--json", "--data-dir", data_dir])
        .and_then(|printed| Ok(serde_json::from_str::<Value>(printed.trim())?));
    match read {
        Ok(said) => {
            let text = |name: &str| said.get(name).and_then(Value::as_str).map(str::to_owned);
            inspected.revision = said.get("revision").and_then(Value::as_u64);
            inspected.stored = text("stored");
            inspected.recomputed = text("recomputed");
        }
        Err(error) => inspected.unread = Some(format!("{error:#}")),
    }
    if let Err(error) = cluster.run(&["inspect", "check", "--data-dir", data_dir]) {
        inspected.wrong = Some(format!("{error:#}"));
    }
    inspected
}
