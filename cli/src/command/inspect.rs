//! `firstcome inspect ...`: reads the data directory of a stopped node; changes nothing.

use std::path::PathBuf;

use clap::Subcommand;
use firstcome_raft::describe_entry;
use firstcome_storage::inspect::Inspection;
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::{output, rfc3339};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome inspect check --data-dir data/n1     verify checksums and invariants
  firstcome inspect hash --data-dir data/n1
  firstcome inspect log --data-dir data/n1 --json | head

With --json, each line is one JSON object. `check` exits with 65 if it finds anything wrong.")]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// The node's data directory; the node must be stopped.
    #[arg(long, value_name = "DIR", default_value = "data", global = true)]
    data_dir: PathBuf,
}

#[derive(Subcommand)]
enum Verb {
    /// Show the stored and the recomputed state hash, and their revision.
    Hash,
    /// Show a summary of the log, then its entries.
    Log,
    /// Show rows and bytes per table.
    Tables,
    /// Verify both files, the state hash, all indexes and the invariants of every row.
    Check,
}

pub(crate) fn run(args: &Args, json: bool) -> anyhow::Result<Exit> {
    let inspection = Inspection::open(&args.data_dir)?;
    match args.verb {
        Verb::Hash => hash(&inspection, json),
        Verb::Log => log(&inspection, json),
        Verb::Tables => tables(&inspection, json),
        Verb::Check => check(&inspection, json),
    }
}

/// Prints one object as a line of JSON or as text.
fn print(document: &Value, json: bool) {
    if json {
        output::line(&document.to_string());
    } else {
        output::write(&output::object(document));
    }
}

fn hash(inspection: &Inspection, json: bool) -> anyhow::Result<Exit> {
    let (identity, applied) = (inspection.identity(), inspection.applied());
    let recomputed = inspection.recomputed_hash()?;
    let document = json!({
        "object": "state_hash",
        "node": identity.name,
        "cluster": identity.cluster_uuid,
        "revision": applied.revision.map(firstcome_domain::Revision::get),
        "log_time": rfc3339::format(applied.now.get()),
        "stored": format!("{:032x}", applied.hash.0),
        "recomputed": format!("{:032x}", recomputed.0),
        "equal": applied.hash == recomputed,
    });
    print(&document, json);
    Ok(if applied.hash == recomputed { Exit::Done } else { Exit::Corrupt })
}

fn log(inspection: &Inspection, json: bool) -> anyhow::Result<Exit> {
    let log = inspection.log()?;
    let document = json!({
        "object": "log",
        "purged": log.purged.map(|mark| mark.index),
        "last": log.last,
        "entries": log.entries,
        "bytes": log.bytes,
        "has_vote": log.vote.is_some(),
        "has_committed": log.committed.is_some(),
    });
    print(&document, json);
    inspection.entries(0..u64::MAX, &mut |entry| {
        let (index, bytes) = (entry.index, entry.bytes.len());
        match (describe_entry(&entry.bytes), json) {
            (Ok(known), true) => {
                let line = json!({
                    "object": "log_entry", "index": index, "bytes": bytes, "term": known.term,
                    "leader": known.leader, "kind": known.kind,
                    "now": known.now.map(rfc3339::format),
                });
                output::line(&line.to_string());
            }
            (Ok(known), false) => {
                let at = known.now.map(rfc3339::format).unwrap_or_default();
                let (term, leader, kind) = (known.term, known.leader, known.kind);
                output::line(&format!("{index:>10}  term {term} of {leader}  {kind:<16} {at}"));
            }
            (Err(error), true) => {
                let error = error.to_string();
                let line = json!({"object": "log_entry", "index": index, "error": error});
                output::line(&line.to_string());
            }
            (Err(error), false) => output::line(&format!("{index:>10}  unreadable: {error}")),
        }
        true
    })?;
    Ok(Exit::Done)
}

fn tables(inspection: &Inspection, json: bool) -> anyhow::Result<Exit> {
    let tables = inspection.tables()?;
    if json {
        for table in &tables {
            let document = json!({
                "object": "table", "name": table.name, "hashed": table.is_primary,
                "rows": table.rows, "bytes": table.bytes,
            });
            output::line(&document.to_string());
        }
        return Ok(Exit::Done);
    }
    let rows: Vec<_> = tables
        .iter()
        .map(|t| vec![t.name.to_owned(), t.rows.to_string(), t.bytes.to_string()])
        .collect();
    output::write(&output::table(&["TABLE", "ROWS", "BYTES"], &rows));
    Ok(Exit::Done)
}

fn check(inspection: &Inspection, json: bool) -> anyhow::Result<Exit> {
    let findings = inspection.check()?;
    for finding in &findings {
        let (check, detail) = (&finding.check, &finding.detail);
        if json {
            let document = json!({"object": "finding", "check": check, "detail": detail});
            output::line(&document.to_string());
        } else {
            output::line(&format!("{check}: {detail}"));
        }
    }
    if !json {
        let revision = inspection.applied().revision.map_or(0, firstcome_domain::Revision::get);
        output::line(&match findings.len() {
            0 => format!("no problems found at revision {revision}"),
            1 => format!("1 problem found at revision {revision}"),
            count => format!("{count} problems found at revision {revision}"),
        });
    }
    Ok(if findings.is_empty() { Exit::Done } else { Exit::Corrupt })
}
