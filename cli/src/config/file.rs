//! `cluster.toml`: every key known, every complaint with its file and line.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::settings::{NodeEntry, Raw};
use super::{Config, Origin};
use crate::exit::Stop;

/// A file being read into a configuration.
pub(super) struct File<'a> {
    path: &'a Path,
    text: &'a str,
    config: &'a mut Config,
}

impl<'a> File<'a> {
    /// Reads all of a file into `config`; stops at the first thing that is wrong.
    pub(super) fn read(path: &'a Path, text: &'a str, config: &'a mut Config) -> Result<(), Stop> {
        let table = match DeTable::parse(text) {
            Ok(table) => table,
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                let line = line_of(text, at);
                let path = path.display();
                return Err(Stop::config(format!("{path}:{line}: {}", error.message())));
            }
        };
        File { path, text, config }.section("", table.get_ref())
    }

    /// Walks down a table; leaves are settings.
    fn section(&mut self, above: &str, table: &DeTable<'_>) -> Result<(), Stop> {
        // In the order of the file, so that the first complaint is the topmost.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let name = key.get_ref();
            let path = if above.is_empty() { name.to_string() } else { format!("{above}.{name}") };
            let at = key.span().start;
            match (path.as_str(), value.get_ref()) {
                ("cluster.nodes", DeValue::Array(nodes)) => {
                    for node in nodes {
                        self.node(node)?;
                    }
                    let line = line_of(self.text, at);
                    let origin = Origin::File(self.path.to_owned(), line);
                    self.config.origins.insert("cluster.nodes".to_owned(), origin);
                }
                ("cluster.nodes", _) => return Err(self.complain(at, "cluster.nodes is a list")),
                (_, DeValue::Table(table))
                    if path != "network.dial" && self.config.is_section(&path) =>
                {
                    self.section(&path, table)?;
                }
                ("network.dial", DeValue::Table(dial)) => {
                    for (name, address) in dial {
                        let at = name.span().start;
                        let path = format!("network.dial.{}", name.get_ref());
                        self.leaf(&path, at, address.get_ref())?;
                    }
                }
                (path, leaf) => self.leaf(path, at, leaf)?,
            }
        }
        Ok(())
    }

    fn leaf(&mut self, path: &str, at: usize, value: &DeValue<'_>) -> Result<(), Stop> {
        let integer;
        let raw = match value {
            DeValue::String(text) => Raw::Text(text),
            DeValue::Integer(number) => {
                integer = number.to_string();
                Raw::Integer(&integer)
            }
            DeValue::Boolean(flag) => Raw::Boolean(*flag),
            // No setting has another shape: an empty text with a wrong kind is always refused.
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                let known = self.config.check_known(path);
                let wrong =
                    known.err().unwrap_or_else(|| format!("{path} cannot be {}", value.type_str()));
                return Err(self.complain(at, &wrong));
            }
        };
        let origin = Origin::File(self.path.to_owned(), line_of(self.text, at));
        self.config.put(path, &raw, origin).map_err(|wrong| self.complain(at, &wrong))
    }

    /// One entry of `cluster.nodes`.
    fn node(&mut self, node: &Spanned<DeValue<'_>>) -> Result<(), Stop> {
        let at = node.span().start;
        let DeValue::Table(fields) = node.get_ref() else {
            let wrong =
                "each of cluster.nodes is { name = \"...\", api = \"...\", peer = \"...\" }";
            return Err(self.complain(at, wrong));
        };
        let mut entry = NodeEntry::default();
        for (key, value) in fields {
            let at = key.span().start;
            let place = match key.get_ref().as_ref() {
                "name" => &mut entry.name,
                "api" => &mut entry.api,
                "peer" => &mut entry.peer,
                "zone" => &mut entry.zone,
                other => {
                    let known = ["name", "api", "peer", "zone"];
                    let hint = super::nearest(other, known.into_iter());
                    return Err(
                        self.complain(at, &format!("unknown key {other:?} in cluster.nodes{hint}"))
                    );
                }
            };
            let Some(text) = value.get_ref().as_str() else {
                return Err(self.complain(at, "expected a text in quotes"));
            };
            text.clone_into(place);
        }
        if entry.name.is_empty() || entry.api.is_empty() || entry.peer.is_empty() {
            return Err(self.complain(at, "a node needs name, api and peer"));
        }
        if self.config.settings.nodes.iter().any(|other| other.name == entry.name) {
            return Err(self.complain(at, &format!("two nodes are named {:?}", entry.name)));
        }
        self.config.settings.nodes.push(entry);
        Ok(())
    }

    fn complain(&self, at: usize, what: &str) -> Stop {
        Stop::config(format!("{}:{}: {what}", self.path.display(), line_of(self.text, at)))
    }
}

/// The line of a byte offset, counted from 1.
fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
