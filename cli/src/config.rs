//! The settings of a node, from four layers: defaults, `cluster.toml`, environment, `--set`.
//!
//! Later layers win, and every value remembers where it came from. An unknown key is an error in
//! every layer, because a typing error that is passed over becomes a default nobody asked for.

pub mod settings;
pub mod value;

mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use self::settings::{PLANNED, Raw, SETTINGS, Settings};
use self::value::quote;
use crate::exit::Stop;

/// Begins every environment variable that is a setting: `FIRSTCOME_RAFT__HEARTBEAT`.
const VARIABLE_PREFIX: &str = "FIRSTCOME_";

/// Where a value came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Built in.
    Default,
    /// A line of a file.
    File(PathBuf, usize),
    /// An environment variable.
    Variable(String),
    /// An argument, such as `--set` or `--data-dir`.
    Argument(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Argument(name) => f.write_str(name),
        }
    }
}

/// One line of `serve --print-config`.
pub struct Shown {
    /// The setting.
    pub key: String,
    /// Its value, as `cluster.toml` writes it.
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
    /// Reads `cluster.toml`. Fails on the first key or value that is wrong, with its line.
    pub fn read_file(&mut self, path: &Path) -> Result<(), Stop> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Stop::config(format!("cannot read {}: {error}", path.display())))?;
        self.read_text(path, &text)
    }

    /// Takes the text of a `cluster.toml`; `path` is for complaints.
    pub fn read_text(&mut self, path: &Path, text: &str) -> Result<(), Stop> {
        file::File::read(path, text, self)
    }

    /// Takes settings out of environment variables; others of ours are left alone.
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

    /// Takes one `section.key=value`.
    pub fn set(&mut self, assignment: &str) -> Result<(), Stop> {
        let Some((path, value)) = assignment.split_once('=') else {
            return Err(Stop::config(format!("--set {assignment}: write it as section.key=value")));
        };
        self.argument("--set", path.trim(), value.trim())
            .map_err(|stop| Stop::config(format!("--set {assignment}: {}", stop.message)))
    }

    /// Takes the value of an argument that stands for one setting.
    pub fn argument(&mut self, name: &'static str, path: &str, value: &str) -> Result<(), Stop> {
        self.put(path, &Raw::Bare(value), Origin::Argument(name)).map_err(Stop::config)
    }

    /// Checks what single values cannot tell; call it after the last layer.
    pub fn check(&self) -> Result<(), Stop> {
        if let Some(wrong) = self.settings.contradiction() {
            return Err(Stop::config(wrong));
        }
        self.check_exposure()
    }

    /// Every setting with value and origin, in the order of the page.
    pub fn show(&self) -> Vec<Shown> {
        let mut settings = self.settings.clone();
        let origin = |key: &str| self.origins.get(key).cloned().unwrap_or(Origin::Default);
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
            lines.push(Shown { origin: origin(&key), key, value });
        }
        for (name, address) in &self.settings.dial {
            let key = format!("network.dial.{name}");
            lines.push(Shown { origin: origin(&key), key, value: quote(address) });
        }
        for setting in SETTINGS {
            let key = setting.key.to_owned();
            let value = (setting.field)(&mut settings).show();
            lines.push(Shown { origin: origin(&key), key, value });
        }
        lines
    }

    /// Where the value of a setting came from.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// Takes one value for one key.
    fn put(&mut self, path: &str, raw: &Raw<'_>, origin: Origin) -> Result<(), String> {
        if let Some(name) = path.strip_prefix("network.dial.") {
            let (Raw::Text(address) | Raw::Bare(address)) = raw else {
                return Err("expected \"host:port\" in quotes".to_owned());
            };
            self.settings.dial.insert(name.to_owned(), (*address).to_owned());
        } else {
            self.check_known(path)?;
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

    /// Whether a key exists, or what was probably meant.
    fn check_known(&self, path: &str) -> Result<(), String> {
        let within =
            |key: &str| path == key || path.strip_prefix(key).is_some_and(|r| r.starts_with('.'));
        if SETTINGS.iter().any(|s| s.key == path)
            || path == "cluster.nodes"
            || path == "network.dial"
        {
            return Ok(());
        }
        if PLANNED.iter().any(|key| within(key)) {
            return Err(format!("{path} has no effect in this version; remove the line"));
        }
        if self.is_section(path) {
            return Err(format!("{path} is a section, not a setting"));
        }
        let known = SETTINGS.iter().map(|s| s.key).chain(["cluster.nodes", "network.dial"]);
        Err(format!("unknown key {path:?}{}", nearest(path, known)))
    }

    /// Whether settings live below this key.
    #[expect(clippy::unused_self, reason = "reads as a question to the configuration")]
    fn is_section(&self, path: &str) -> bool {
        let below = |key: &str| key.strip_prefix(path).is_some_and(|rest| rest.starts_with('.'));
        SETTINGS.iter().any(|s| below(s.key)) || PLANNED.iter().any(|key| below(key))
    }

    /// Peers do not use TLS yet, so nothing may leave this machine unless that was said aloud.
    fn check_exposure(&self) -> Result<(), Stop> {
        if self.settings.is_insecure() {
            return Ok(());
        }
        let settings = &self.settings;
        let mut addresses = vec![
            ("node.listen.api", settings.api_listen().to_owned()),
            ("node.listen.peer", settings.peer_listen().to_owned()),
        ];
        for node in &settings.nodes {
            addresses.push(("cluster.nodes", node.api.clone()));
            addresses.push(("cluster.nodes", node.peer.clone()));
        }
        addresses.extend(settings.dial.values().map(|a| ("network.dial", a.clone())));
        let open = addresses.into_iter().find(|(_, address)| !is_loopback(address));
        open.map_or(Ok(()), |(key, address)| {
            if !has_port(&address) {
                return Err(no_address(key, &address));
            }
            Err(Stop::config(format!(
                "{key}: {address} is reachable from outside, and this version talks without TLS; \
                 use a loopback address, or set tls.insecure = true on a network you trust"
            )))
        })
    }
}

/// Looks up `host:port`. Fails with the setting's name, so that the reader knows what to correct.
pub fn resolve(key: &str, address: &str) -> Result<SocketAddr, Stop> {
    let found = address.to_socket_addrs().ok().and_then(|mut found| found.next());
    found.ok_or_else(|| no_address(key, address))
}

fn no_address(key: &str, address: &str) -> Stop {
    Stop::config(format!("{key}: {address:?} is no address; write it as host:port"))
}

fn has_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

fn is_loopback(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    address.is_empty()
        || host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// `; did you mean ...?`, if a known key is near enough.
fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    let best = known.map(|key| (distance(wrong, key), key)).min();
    // A third of the letters may be wrong; beyond that a guess only misleads.
    match best {
        Some((edits, key)) if edits <= wrong.len().max(key.len()) / 3 => {
            format!("; did you mean {key:?}?")
        }
        _ => String::new(),
    }
}

/// Levenshtein's distance: single-letter edits that turn one word into the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(other.chars()) {
            let substituted = diagonal + usize::from(a != b);
            diagonal = *cell;
            left = substituted.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_key_is_suggested() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        let hint = nearest("raft.hartbeat", ["raft.heartbeat", "raft.election_min"].into_iter());
        assert_eq!(hint, "; did you mean \"raft.heartbeat\"?");
        assert_eq!(nearest("zzz", ["raft.heartbeat"].into_iter()), "");
    }

    #[test]
    fn loopback_is_told_from_outside() {
        for inside in ["127.0.0.1:1", "localhost:80", "[::1]:9", "127.8.0.1:1"] {
            assert!(is_loopback(inside), "{inside}");
        }
        for outside in ["10.0.0.1:1", "0.0.0.0:80", "example.com:1", "[::]:9"] {
            assert!(!is_loopback(outside), "{outside}");
        }
    }
}
