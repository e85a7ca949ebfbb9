//! The layers of the configuration: each value with its origin, later layers on top.

use std::collections::BTreeMap;

use firstcome_api::IssuerOptions;

use super::address;
use super::field::Raw;
use super::issuer;
use super::keys;
use super::origin::Origin;
use super::settings::{NodeEntry, SETTINGS, Settings};
use super::value::quote;
use crate::exit::Stop;

/// Prefix of the environment variables that are settings: `FIRSTCOME_RAFT__HEARTBEAT`.
const VARIABLE_PREFIX: &str = "FIRSTCOME_";

/// One line of `serve --print-config`.
pub struct Shown {
    /// The setting.
    pub key: String,
    /// Its value, as written in `cluster.toml`.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
}

/// Settings and their origins.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The values.
    pub settings: Settings,
    origins: BTreeMap<String, Origin>,
}

impl Config {
    /// Applies the settings among the environment variables; other variables are ignored.
    pub fn read_variables(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(), Stop> {
        for (name, value) in variables {
            let Some(path) = name.strip_prefix(VARIABLE_PREFIX).filter(|rest| rest.contains("__"))
            else {
                continue;
            };
            let path = path.to_lowercase().replace("__", ".");
            let origin = Origin::Variable(name.clone());
            self.put(&path, &Raw::Bare(&value), origin)
                .map_err(|wrong| Stop::config(format!("environment variable {name}: {wrong}")))?;
        }
        Ok(())
    }

    /// Applies one `section.key=value`.
    pub fn set(&mut self, assignment: &str) -> Result<(), Stop> {
        let Some((path, value)) = assignment.split_once('=') else {
            return Err(Stop::config(format!("--set {assignment}: use section.key=value")));
        };
        self.argument("--set", path.trim(), value.trim())
            .map_err(|stop| Stop::config(format!("--set {assignment}: {}", stop.message)))
    }

    /// Applies a command line argument that sets one setting.
    pub fn argument(&mut self, name: &'static str, path: &str, value: &str) -> Result<(), Stop> {
        self.put(path, &Raw::Bare(value), Origin::Argument(name)).map_err(Stop::config)
    }

    /// Checks settings against each other; call it after the last layer.
    pub fn check(&self) -> Result<(), Stop> {
        if let Some(wrong) = self.settings.contradiction() {
            return Err(Stop::config(wrong));
        }
        if let Some((key, wrong)) = self.settings.mail().contradiction() {
            let origin = match self.origin(key) {
                Origin::Default => String::new(),
                origin => format!("{origin}: "),
            };
            return Err(Stop::config(format!("{origin}{key}: {wrong}")));
        }
        address::check_exposure(&self.settings)
    }

    /// Every setting with value and origin, in the order of the table.
    pub fn show(&self) -> Vec<Shown> {
        let mut settings = self.settings.clone();
        let mut lines = Vec::new();
        for node in &self.settings.nodes {
            let value = format!(
                "{{ name = {}, api = {}, peer = {}, zone = {} }}",
                quote(&node.name),
                quote(&node.api),
                quote(&node.peer),
                quote(&node.zone)
            );
            let key = "cluster.nodes".to_owned();
            lines.push(Shown { origin: self.origin(&key), key, value });
        }
        for (name, address) in &self.settings.dial {
            let key = format!("network.dial.{name}");
            lines.push(Shown { origin: self.origin(&key), key, value: quote(address) });
        }
        for issuer in &self.settings.issuers {
            let key = "auth.issuers".to_owned();
            lines.push(Shown { origin: self.origin(&key), key, value: issuer::show(issuer) });
        }
        for setting in SETTINGS {
            let key = setting.key.to_owned();
            let value = (setting.field)(&mut settings).show();
            lines.push(Shown { origin: self.origin(&key), key, value });
        }
        lines
    }

    /// Where the value of a setting came from.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// Sets one key to one value.
    pub(super) fn put(&mut self, path: &str, raw: &Raw<'_>, origin: Origin) -> Result<(), String> {
        if let Some(name) = path.strip_prefix("network.dial.") {
            let (Raw::Text(address) | Raw::Bare(address)) = raw else {
                return Err("expected \"host:port\" in quotes".to_owned());
            };
            self.settings.dial.insert(name.to_owned(), (*address).to_owned());
        } else {
            keys::check(path)?;
            let Some(setting) = SETTINGS.iter().find(|setting| setting.key == path) else {
                return Err(format!("{path} can only be set in the file"));
            };
            (setting.field)(&mut self.settings)
                .put(raw)
                .map_err(|wrong| format!("{path}: {wrong}"))?;
        }
        self.origins.insert(path.to_owned(), origin);
        Ok(())
    }

    /// Adds an entry to `cluster.nodes`. Fails if another one has the same name.
    pub(super) fn add_node(&mut self, entry: NodeEntry, origin: Origin) -> Result<(), String> {
        if self.settings.nodes.iter().any(|other| other.name == entry.name) {
            return Err(format!("two nodes are named {:?}", entry.name));
        }
        self.settings.nodes.push(entry);
        self.origins.insert("cluster.nodes".to_owned(), origin);
        Ok(())
    }
    /// Adds an entry to `auth.issuers`. Fails if another one has the same issuer.
    pub(super) fn add_issuer(
        &mut self,
        entry: IssuerOptions,
        origin: Origin,
    ) -> Result<(), String> {
        if let Some(wrong) = issuer::conflict(&self.settings.issuers, &entry) {
            return Err(wrong);
        }
        self.settings.issuers.push(entry);
        self.origins.insert("auth.issuers".to_owned(), origin);
        Ok(())
    }
}
