//! The dump: what each node showed after the run, `dump/<node>.json`.
//!
//! The rows are the ones of the admin lists, with their names shortened: who ordered how much of
//! what, what became of it, and every event with its revision. It is the only source for what no
//! client was told: writes whose answer was lost, and orders that expired.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::model::stock::Accounts;

/// One order as a node showed it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrderRow {
    /// `ord_...`
    pub id: String,
    /// Whose it is.
    pub customer: String,
    /// The sale.
    pub pool: String,
    /// Units.
    pub quantity: u64,
    /// Where it ended up.
    pub status: String,
    /// The revision that placed it.
    pub revision: u64,
}

impl OrderRow {
    /// Whether its units are held or sold.
    pub fn takes_units(&self) -> bool {
        !matches!(self.status.as_str(), "canceled" | "expired" | "payment_failed" | "returned")
    }
}

/// One order event as a node showed it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct EventRow {
    /// The revision that caused it.
    pub revision: u64,
    /// `order.paid`, `order.canceled`, `order.expired`, ...
    #[serde(rename = "type")]
    pub name: String,
    /// The order.
    pub order: String,
    /// Log time, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// What one node showed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Dump {
    /// The node.
    pub node: String,
    /// The revision its hash was taken at.
    pub revision: u64,
    /// Its state hash there, if it told.
    pub hash: Option<String>,
    /// All orders.
    pub orders: Vec<OrderRow>,
    /// All sales of the run.
    pub pools: BTreeMap<String, Accounts>,
    /// All order events; `None` when the node could not list them.
    pub events: Option<Vec<EventRow>>,
}

impl Dump {
    /// Forgets the orders and events of earlier runs on the same data: those up to `revision`.
    pub fn since(&mut self, revision: u64) {
        self.orders.retain(|row| row.revision > revision);
        if let Some(events) = &mut self.events {
            events.retain(|row| row.revision > revision);
        }
    }
}

/// Reads every dump of a run directory, by node name.
pub fn read_all(dir: &Path) -> anyhow::Result<Vec<Dump>> {
    let place = dir.join("dump");
    let mut dumps: Vec<Dump> = Vec::new();
    for entry in fs::read_dir(&place).with_context(|| format!("cannot list {}", place.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ext| ext == "json") {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let dump = serde_json::from_str(&text)
                .with_context(|| format!("{} is not a dump", path.display()))?;
            dumps.push(dump);
        }
    }
    dumps.sort_by(|a, b| a.node.cmp(&b.node));
    Ok(dumps)
}
