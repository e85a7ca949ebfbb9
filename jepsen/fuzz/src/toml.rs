//! `cluster.toml` as an operator may leave it.

use std::path::Path;

use firstcome_cli::config::Config;
use firstcome_cli::config::value::quote;
use firstcome_cli::exit::Exit;

use crate::Reached;

/// A settings file: a complaint names a line that is there; what is read can be shown, and read
/// again from what is shown.
pub fn cluster_toml(data: &[u8]) -> Reached {
    let Ok(text) = std::str::from_utf8(data) else { return Reached::Refused };
    let path = Path::new("c.toml");
    let mut config = Config::default();
    if let Err(stop) = config.read_text(path, text) {
        assert_eq!(stop.exit, Exit::Config);
        let line = stop.message.strip_prefix("c.toml:").and_then(|rest| rest.split(':').next());
        let line: usize = line.and_then(|line| line.parse().ok()).expect("a complaint has a line");
        let lines = text.bytes().filter(|byte| *byte == b'\n').count() + 1;
        assert!((1..=lines).contains(&line), "{} of {lines} lines", stop.message);
        return Reached::Refused;
    }
    if let Err(stop) = config.check() {
        assert_eq!(stop.exit, Exit::Config);
    }
    let shown = shown(&config);
    let mut again = Config::default();
    if let Err(stop) = again.read_text(path, &shown) {
        panic!("what is shown cannot be read: {}\n{shown}", stop.message);
    }
    assert_eq!(again.settings, config.settings, "{shown}");
    Reached::Accepted
}

/// What `serve --print-config` says, as a file.
fn shown(config: &Config) -> String {
    let (mut nodes, mut issuers, mut lines) = (Vec::new(), Vec::new(), Vec::new());
    for shown in config.show() {
        if shown.key == "cluster.nodes" {
            nodes.push(shown.value);
        } else if shown.key == "auth.issuers" {
            issuers.push(shown.value);
        } else if let Some(name) = shown.key.strip_prefix("network.dial.") {
            lines.push(format!("network.dial.{} = {}", quote(name), shown.value));
        } else {
            lines.push(format!("{} = {}", shown.key, shown.value));
        }
    }
    lines.push(format!("cluster.nodes = [{}]", nodes.join(", ")));
    lines.push(format!("auth.issuers = [{}]", issuers.join(", ")));
    lines.join("\n")
}
