//! Continues where an earlier run ended: a soak is many runs on the same data directories.
//!
//! The new run has ports of its own. Members know each other by the addresses of the first run, so
//! every node is told what to dial instead.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::record::inspect;

/// Moves the key and the data directories of an earlier run into a prepared one.
pub fn take_data(previous: &Path, dir: &Path) -> anyhow::Result<()> {
    let data = previous.join("data");
    ensure!(data.is_dir(), "{} has no data directories to continue with", previous.display());
    fs::copy(previous.join("master.key"), dir.join("master.key"))
        .with_context(|| format!("{} has no master key", previous.display()))?;
    fs::rename(&data, dir.join("data")).context("cannot move the data directories")?;
    let place = dir.join("cluster.toml");
    let config = fs::read_to_string(&place).context("cannot read cluster.toml")?;
    fs::write(&place, format!("{}\n{config}", dial(&config)))?;
    Ok(())
}

/// For this long after a run its paid orders are not shipped and its receipts are kept.
const SAME_FOR: Duration = Duration::from_hours(23);

/// Compares the state after the start with the state at the end of the earlier run; returns what is
/// missing. The nodes now report a revision and their hashes at it.
pub fn missing_state(
    previous: &Path,
    (revision, hashes): &(u64, BTreeMap<String, String>),
) -> anyhow::Result<Vec<String>> {
    let stopped = inspect::read(previous)?;
    let Some(last) = stopped.iter().max_by_key(|stopped| stopped.revision) else {
        return Ok(Vec::new());
    };
    let was = last.revision.unwrap_or(0);
    if *revision < was {
        let node = &last.node;
        return Ok(vec![format!(
            "{node} was stopped at revision {was}, but all nodes are at {revision} now"
        )]);
    }
    // No request was sent since, and after a sell-out nothing expires for a day.
    let place = previous.join("inspect.json");
    let age = fs::metadata(&place)?.modified()?.elapsed().unwrap_or_default();
    if age > SAME_FOR {
        return Ok(Vec::new());
    }
    let differs = |hash: &&String| last.stored.as_ref().is_some_and(|stored| stored != *hash);
    let others = hashes.iter().filter(|(_, hash)| differs(hash));
    let describe = |(node, hash): (&String, &String)| {
        format!("{node} has hash {hash}, but {} was stopped with another one", last.node)
    };
    Ok(others.map(describe).collect())
}

/// What to dial for each node of a configuration.
fn dial(config: &str) -> String {
    let mut pairs = String::new();
    for line in config.lines() {
        let field = |name: &str| {
            let (_, rest) = line.split_once(&format!("{name} = \""))?;
            rest.split('"').next()
        };
        if let (Some(name), Some(peer)) = (field("{ name"), field("peer")) {
            let comma = if pairs.is_empty() { "" } else { ", " };
            // Writing to a string cannot fail.
            _ = write!(pairs, "{comma}{name} = \"{peer}\"");
        }
    }
    format!("network.dial = {{ {pairs} }}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "[cluster]\nname = \"jepsen\"\nnodes = [\n\
         \x20 { name = \"n1\", api = \"127.0.0.1:1\", peer = \"127.0.0.1:2\" },\n\
         \x20 { name = \"n2\", api = \"127.0.0.1:3\", peer = \"127.0.0.1:4\" },\n]\n";

    #[test]
    fn every_listed_node_is_dialled_at_its_new_address() {
        let expected = r#"network.dial = { n1 = "127.0.0.1:2", n2 = "127.0.0.1:4" }"#;
        assert_eq!(dial(CONFIG), expected);
    }

    #[test]
    fn what_was_there_when_the_nodes_were_stopped_is_there_when_they_start() {
        let old = tempfile::tempdir().unwrap();
        let stopped = r#"[{"node": "n1", "revision": 40, "stored": "ab"},
                          {"node": "n2", "revision": 39, "stored": "aa"}]"#;
        fs::write(old.path().join("inspect.json"), stopped).unwrap();
        let missing_state = |revision, hash: &str| {
            let hashes = ["n1", "n2"].map(|node| (node.to_owned(), hash.to_owned())).into();
            missing_state(old.path(), &(revision, hashes)).unwrap()
        };
        assert_eq!(missing_state(40, "ab"), [""; 0]);
        assert_eq!(
            missing_state(43, "ab"),
            [""; 0],
            "a new leader begins with an entry of its own"
        );
        assert!(
            missing_state(39, "ab")
                .concat()
                .contains("stopped at revision 40, but all nodes are at 39 now")
        );
        assert_eq!(missing_state(43, "ac").len(), 2);
    }

    #[test]
    fn the_earlier_run_loses_its_data_and_keeps_its_history() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(old.path().join("data/n1")).unwrap();
        fs::write(old.path().join("master.key"), "k").unwrap();
        fs::write(old.path().join("history.jsonl"), "h").unwrap();
        fs::write(new.path().join("cluster.toml"), CONFIG).unwrap();
        take_data(old.path(), new.path()).unwrap();
        assert!(new.path().join("data/n1").is_dir() && !old.path().join("data").exists());
        assert!(old.path().join("history.jsonl").exists());
        let again = take_data(old.path(), new.path()).unwrap_err();
        assert!(format!("{again:#}").contains("no data directories"), "{again:#}");
    }
}
