//! Changes of products: who asked for which version, and which lost responses made one.
//!
//! A price is changed from a version that was seen, so every version has one author. Events give
//! the revision that made each version; reads and dumps give its price, and no two requests of a
//! run ask for the same price. So a lost response made a version if nobody else did and the price
//! matches.

use std::collections::{BTreeMap, BTreeSet};

use super::witness::Resolved;
use crate::judge::model::register::{Answer, Call, Model};
use crate::judge::operation::{self, Ended, Operation};
use crate::record::dump::Dump;
use crate::record::history::History;

/// What was asked of products, and what became of it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ProductEdits {
    /// By the time they were first requested.
    pub operations: Vec<Operation<Call, Answer>>,
    /// Changes that took effect although their response was lost.
    pub resolved: Vec<Resolved<Answer>>,
    /// Versions that no request explains: (product, version).
    pub unexplained_versions: Vec<(String, u64)>,
}

/// What responses and dumps say, by product and version.
struct Known<'a> {
    /// Versions whose author is known from a response.
    authored: BTreeSet<(&'a str, u64)>,
    /// The prices that were seen.
    prices: BTreeMap<(&'a str, u64), u64>,
}

impl ProductEdits {
    /// Reads a history and matches the dumps to it.
    pub fn of(history: &History, dumps: &[Dump]) -> anyhow::Result<Self> {
        let operations = operation::collapse::<Model>(history)?;
        let mut edits = Self { operations, resolved: Vec::new(), unexplained_versions: Vec::new() };
        edits.resolve(dumps);
        Ok(edits)
    }

    fn resolve(&mut self, dumps: &[Dump]) {
        let Known { authored, prices } = self.known(dumps);
        let (mut resolved, mut unexplained_versions) = (Vec::new(), Vec::new());
        for (product, made) in versions(dumps) {
            // Other products, and our own while nobody knows their id, are not judged.
            if !authored.contains(&(product, 1)) {
                continue;
            }
            for (version, revision) in (1..).zip(made) {
                if authored.contains(&(product, version)) {
                    continue;
                }
                let shown = prices.get(&(product, version));
                let author = self.operations.iter().enumerate().find_map(|(at, operation)| {
                    let Call::Write { version: seen, price } = operation.call else { return None };
                    let fits = operation.ended == Ended::Unknown
                        && operation.pool.as_deref() == Some(product)
                        && seen + 1 == version
                        && shown.is_none_or(|shown| *shown == price);
                    fits.then_some((at, price))
                });
                match author {
                    Some((operation, price)) => {
                        let answer = Answer::Value { price, version };
                        resolved.push(Resolved { operation, revision, answer });
                    }
                    None => unexplained_versions.push((product.to_owned(), version)),
                }
            }
        }
        self.resolved = resolved;
        self.unexplained_versions = unexplained_versions;
    }

    fn known<'a>(&'a self, dumps: &'a [Dump]) -> Known<'a> {
        let mut authored = BTreeSet::new();
        let mut prices = BTreeMap::new();
        for operation in &self.operations {
            let pool = operation.pool.as_deref().unwrap_or_default();
            match operation.decided() {
                Some((_, Answer::Created { product, version })) => {
                    authored.insert((product.as_str(), *version));
                }
                Some((_, Answer::Value { price, version })) => {
                    prices.insert((pool, *version), *price);
                    if operation.call != Call::Read {
                        authored.insert((pool, *version));
                    }
                }
                _ => {}
            }
        }
        for dump in dumps {
            for (product, row) in &dump.products {
                prices.insert((product, row.version), row.price);
            }
        }
        Known { authored, prices }
    }
}

/// The revisions that made the versions of each product, oldest first.
fn versions(dumps: &[Dump]) -> BTreeMap<&str, BTreeSet<u64>> {
    let mut versions: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for edit in dumps.iter().flat_map(|dump| &dump.edits) {
        versions.entry(&edit.product).or_default().insert(edit.revision);
    }
    versions
}
