//! The dump: what each node showed after the run, `dump/<node>.json`.
//!
//! The rows come from the admin lists, with shortened names: the orders, every event of orders and
//! products with its revision, and every movement of units. Only the dump shows what no client was
//! told: writes whose response was lost, and orders that expired.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// The accounts of a pool, as read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Accounts {
    /// All units.
    pub stocked: u64,
    /// Free to be ordered.
    pub available: u64,
    /// In unpaid orders.
    pub held: u64,
    /// Paid for.
    pub sold: u64,
    /// Written off.
    #[serde(default)]
    pub scrapped: u64,
}

/// One order as a node showed it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrderRow {
    /// `ord_...`
    pub id: String,
    /// Its customer.
    pub customer: String,
    /// The sale.
    pub pool: String,
    /// Units.
    pub quantity: u64,
    /// Its final status.
    pub status: String,
    /// The revision that placed it.
    pub revision: u64,
    /// When it expires, while it is unpaid; RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pay_by: Option<String>,
    /// The status of its payment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payment: Option<String>,
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
    /// The status before the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// When the order expires if unpaid, as announced when it was placed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pay_by: Option<String>,
}

/// One movement of units as a node showed it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct LedgerRow {
    /// The revision that moved them.
    pub revision: u64,
    /// Its place among the movements of that revision.
    pub offset: u64,
    /// The sale or product.
    pub pool: String,
    /// `outside`, `available`, `held`, `sold`, `scrapped`.
    pub from: String,
    /// One of the same.
    pub to: String,
    /// How many.
    pub quantity: u64,
    /// The order they moved for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<String>,
}

/// One product as a node showed it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProductRow {
    /// Its price.
    pub price: u64,
    /// Its version.
    pub version: u64,
    /// Its general stock.
    pub accounts: Accounts,
}

/// One change of a product as a node showed it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct EditRow {
    /// The revision that made it.
    pub revision: u64,
    /// The product.
    pub product: String,
}

/// What one node showed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Dump {
    /// The node.
    pub node: String,
    /// The revision its hash was taken at.
    pub revision: u64,
    /// Its state hash there, if it reported one.
    pub hash: Option<String>,
    /// All orders.
    pub orders: Vec<OrderRow>,
    /// All sales of the run.
    pub pools: BTreeMap<String, Accounts>,
    /// All order events; `None` when the node could not list them.
    pub events: Option<Vec<EventRow>>,
    /// All movements of units; `None` when the node could not list them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Vec<LedgerRow>>,
    /// The products of the run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub products: BTreeMap<String, ProductRow>,
    /// All changes of products, including their creation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<EditRow>,
}

impl Dump {
    /// Drops rows of earlier runs on the same data: those up to `revision`.
    pub fn since(&mut self, revision: u64) {
        self.orders.retain(|row| row.revision > revision);
        if let Some(events) = &mut self.events {
            events.retain(|row| row.revision > revision);
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.retain(|row| row.revision > revision);
        }
        self.edits.retain(|row| row.revision > revision);
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
