//! `cluster.toml`: parses it into the configuration. Every error names the file and line.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::field::Raw;
use super::issuer;
use super::keys;
use super::layers::Config;
use super::origin::Origin;
use super::settings::NodeEntry;
use crate::exit::Stop;

impl Config {
    /// Reads `cluster.toml`. Fails on the first wrong key or value, with its line.
    pub fn read_file(&mut self, path: &Path) -> Result<(), Stop> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Stop::config(format!("cannot read {}: {error}", path.display())))?;
        self.read_text(path, &text)
    }

    /// Reads the text of a `cluster.toml`; `path` is for error messages.
    pub fn read_text(&mut self, path: &Path, text: &str) -> Result<(), Stop> {
        File::read(path, text, self)
    }
}

/// A file being read into a configuration.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
    config: &'a mut Config,
}

impl<'a> File<'a> {
    /// Reads a whole file into `config`; stops at the first error.
    fn read(path: &'a Path, text: &'a str, config: &'a mut Config) -> Result<(), Stop> {
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

    /// Descends into a table; its leaves are settings.
    fn section(&mut self, above: &str, table: &DeTable<'_>) -> Result<(), Stop> {
        // In file order, so that the first error is the topmost.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let name = key.get_ref();
            let path = if above.is_empty() { name.to_string() } else { format!("{above}.{name}") };
            let at = key.span().start;
            match (path.as_str(), value.get_ref()) {
                ("cluster.nodes", DeValue::Array(nodes)) => {
                    let origin = Origin::File(self.path.to_owned(), line_of(self.text, at));
                    for node in nodes {
                        self.node(node, &origin)?;
                    }
                }
                ("auth.issuers", DeValue::Array(issuers)) => {
                    let origin = Origin::File(self.path.to_owned(), line_of(self.text, at));
                    for issuer in issuers {
                        self.issuer(issuer, &origin)?;
                    }
                }
                (list @ ("cluster.nodes" | "auth.issuers"), _) => {
                    return Err(self.error(at, &format!("{list} must be a list")));
                }
                (_, DeValue::Table(table)) if path != "network.dial" && keys::is_section(&path) => {
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
            // No setting has one of these types.
            DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                let wrong = keys::check(path).err();
                let wrong =
                    wrong.unwrap_or_else(|| format!("{path} cannot be {}", value.type_str()));
                return Err(self.error(at, &wrong));
            }
        };
        let origin = Origin::File(self.path.to_owned(), line_of(self.text, at));
        self.config.put(path, &raw, origin).map_err(|wrong| self.error(at, &wrong))
    }

    /// One entry of `cluster.nodes`.
    fn node(&mut self, node: &Spanned<DeValue<'_>>, origin: &Origin) -> Result<(), Stop> {
        let at = node.span().start;
        let DeValue::Table(fields) = node.get_ref() else {
            let wrong = "an entry of cluster.nodes looks like { name = \"...\", api = \"...\", \
                         peer = \"...\" }";
            return Err(self.error(at, wrong));
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
                    let hint = keys::nearest(other, known.into_iter());
                    return Err(
                        self.error(at, &format!("unknown key {other:?} in cluster.nodes{hint}"))
                    );
                }
            };
            let Some(text) = value.get_ref().as_str() else {
                return Err(self.error(at, "expected a string in quotes"));
            };
            text.clone_into(place);
        }
        if entry.name.is_empty() || entry.api.is_empty() || entry.peer.is_empty() {
            return Err(self.error(at, "a node needs name, api and peer"));
        }
        self.config.add_node(entry, origin.clone()).map_err(|wrong| self.error(at, &wrong))
    }

    /// One entry of `auth.issuers`.
    fn issuer(&mut self, entry: &Spanned<DeValue<'_>>, origin: &Origin) -> Result<(), Stop> {
        let at = entry.span().start;
        let DeValue::Table(fields) = entry.get_ref() else {
            let wrong = "an entry of auth.issuers looks like { issuer = \"...\", audience = \
                         \"...\", algorithms = [\"RS256\"], jwks_file = \"...\" }";
            return Err(self.error(at, wrong));
        };
        let entry = issuer::parse(fields)
            .map_err(|wrong| self.error(wrong.at.unwrap_or(at), &wrong.what))?;
        self.config.add_issuer(entry, origin.clone()).map_err(|wrong| self.error(at, &wrong))
    }

    fn error(&self, at: usize, what: &str) -> Stop {
        Stop::config(format!("{}:{}: {what}", self.path.display(), line_of(self.text, at)))
    }
}

/// The line of a byte offset, counted from 1.
fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}
