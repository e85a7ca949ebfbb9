//! What can be broken with this binary on this machine. What cannot be broken is reported, never
//! skipped silently.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::Nemesis;
use crate::drive::cluster::netns::{self, Netns};
use crate::drive::cluster::network::{Backend, Direct, Network, NoopNetwork};
use crate::drive::cluster::process::{Cluster, ClusterConfig};
use crate::drive::cluster::proxy::Proxy;
use crate::drive::cluster::tmpfs::Tmpfs;

/// Where distributions put libfaketime.
const FAKETIME: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
];
/// The environment variable that arms seeded bugs in a fault build.
const BUG: &str = "FIRSTCOME_FAULT_BUG";
/// Nodes that can join during the run.
const SPARES: usize = 2;
/// Small enough for several snapshots within a minute, and for a node that was away to need one.
const TEST_SIZES: &[&str] = &["snapshot.entries=100", "snapshot.retain_entries=50"];

/// Options of a run that say how faults are injected.
#[derive(Clone, PartialEq, Eq, Debug, Default, clap::Args)]
pub struct FaultOptions {
    /// A fault build of the product, for faults that the plain binary does not support.
    #[arg(long)]
    pub fault_binary: Option<PathBuf>,
    /// The previous binary, for `upgrade`.
    #[arg(long)]
    pub previous: Option<PathBuf>,
    /// How the links between nodes are made.
    #[arg(long, value_enum, default_value_t = Backend::Proxy)]
    pub network: Backend,
    /// A setting for every node; may be repeated.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    pub set: Vec<String>,
    /// Claims faults and injects none: the verdict must be unknown.
    #[arg(long, hide = true)]
    pub silent_nemesis: bool,
    /// Arms a seeded bug in every node of a fault build: a checker must notice it.
    #[arg(long, hide = true)]
    pub bug: Option<String>,
}

/// What can be broken here.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Capabilities {
    /// The binary is a fault build.
    pub fault_build: bool,
    /// There is a previous binary.
    pub previous: bool,
    /// Small disks can be mounted.
    pub small_disks: bool,
    /// The path of libfaketime, if it is installed and needed.
    pub faketime: Option<PathBuf>,
    /// How the links are made.
    pub network: Backend,
    /// Why the links cannot be made that way.
    pub no_network: Option<String>,
}

/// The network between the nodes: loopback, unless the nemesis breaks it.
pub const fn network_word(nemesis: Nemesis, options: &FaultOptions) -> &'static str {
    if breaks_network(nemesis) { options.network.name() } else { "loopback" }
}

/// Whether a nemesis breaks links.
const fn breaks_network(nemesis: Nemesis) -> bool {
    matches!(nemesis, Nemesis::Partition | Nemesis::Link | Nemesis::Chaos)
}

/// A cluster for a nemesis, ready to start, and what can be broken on it.
pub fn prepare(
    nemesis: Nemesis,
    options: &FaultOptions,
    binary: &Path,
    founders: usize,
    dir: &Path,
) -> anyhow::Result<(Cluster, Capabilities)> {
    let binary = options.fault_binary.as_deref().unwrap_or(binary);
    let spares = matches!(nemesis, Nemesis::Membership | Nemesis::Chaos | Nemesis::Failpoint);
    let nodes = founders + if spares { SPARES } else { 0 };
    let wants_netns = breaks_network(nemesis) && options.network == Backend::Netns;
    let no_network = if wants_netns { netns::unavailable() } else { None };
    let network: Box<dyn Network> = match options.network {
        Backend::Netns if wants_netns && no_network.is_none() => Box::new(Netns::new(nodes)?),
        Backend::Proxy if breaks_network(nemesis) => {
            Box::new(Proxy::new(nodes, &dir.join("proxy.jsonl"))?)
        }
        Backend::Proxy | Backend::Netns => Box::new(Direct::new(nodes)?),
    };
    let lies = matches!(nemesis, Nemesis::Clock) && options.fault_binary.is_none();
    let faketime = FAKETIME.iter().map(PathBuf::from).find(|path| lies && path.is_file());
    let small_disks = nemesis == Nemesis::Disk && Tmpfs::works();
    let mut settings: Vec<String> = TEST_SIZES.iter().map(|&text| text.to_owned()).collect();
    if wants_netns {
        settings.push("tls.insecure=true".to_owned());
    }
    settings.extend(options.set.iter().cloned());
    let mut environment = match &faketime {
        Some(library) => lying_clock(library, dir, nodes)?,
        None => Vec::new(),
    };
    environment.extend(options.bug.iter().map(|bug| (BUG.to_owned(), bug.clone())));
    let parts = ClusterConfig {
        binary: binary.to_owned(),
        previous: options.previous.clone(),
        founders,
        settings,
        environment,
        network: if options.silent_nemesis { Box::new(NoopNetwork(network)) } else { network },
        small_disks,
        silent: options.silent_nemesis,
    };
    let cluster = Cluster::prepare(parts, dir)?;
    ensure!(options.bug.is_none() || cluster.is_fault_build, "only a fault build has seeded bugs");
    let capabilities = Capabilities {
        fault_build: cluster.is_fault_build,
        previous: options.previous.is_some(),
        small_disks,
        faketime,
        network: options.network,
        no_network,
    };
    Ok((cluster, capabilities))
}

/// The file that sets the clock error of a node.
pub(super) fn faketime_file(dir: &Path, node: &str) -> PathBuf {
    dir.join(format!("faketime-{node}"))
}

fn lying_clock(library: &Path, dir: &Path, nodes: usize) -> anyhow::Result<Vec<(String, String)>> {
    for at in 0..nodes {
        let file = faketime_file(dir, &format!("n{}", at + 1));
        std::fs::write(&file, "+0\n")
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    let file = faketime_file(dir, "{node}");
    let pairs = [
        ("LD_PRELOAD", library.to_string_lossy().into_owned()),
        ("FAKETIME_TIMESTAMP_FILE", file.to_string_lossy().into_owned()),
        // Checked once a second, because otherwise every reading of the clock would read the file.
        ("FAKETIME_CACHE_DURATION", "1".to_owned()),
        // Timers must stay correct.
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ];
    Ok(pairs.map(|(name, value)| (name.to_owned(), value)).to_vec())
}

impl Capabilities {
    /// Why a mode of a nemesis cannot be carried out here; `None` if it can. In chaos, alternatives
    /// to a fault build (root, libfaketime) are not considered.
    pub fn lacks(&self, nemesis: Nemesis, mode: &str, in_chaos: bool) -> Option<String> {
        let fault_build = || (!self.fault_build).then(|| "a fault build".to_owned());
        let or = |other: &str| {
            let other = if in_chaos { String::new() } else { format!(", or {other}") };
            fault_build().map(|needed| needed + &other)
        };
        match (nemesis, mode) {
            (Nemesis::Power | Nemesis::Failpoint, _) | (Nemesis::Disk, "slow" | "eio") => {
                fault_build()
            }
            (Nemesis::Disk, "full") if !self.small_disks => or("root for a small disk"),
            (Nemesis::Clock, "advance") => fault_build(),
            (Nemesis::Clock, _) if self.faketime.is_none() => or("libfaketime"),
            (Nemesis::Upgrade, _) if !self.previous => Some("--previous BINARY".to_owned()),
            (Nemesis::Partition | Nemesis::Link, _) => self.no_network.clone(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_broken_is_named() {
        let plain = Capabilities::default();
        assert_eq!(plain.lacks(Nemesis::Kill, "leader", false), None);
        assert_eq!(plain.lacks(Nemesis::Disk, "bit_flip", true), None);
        for (nemesis, mode, part) in [
            (Nemesis::Power, "one", "fault build"),
            (Nemesis::Disk, "eio", "fault build"),
            (Nemesis::Disk, "full", "root"),
            (Nemesis::Clock, "jump", "libfaketime"),
            (Nemesis::Clock, "advance", "fault build"),
            (Nemesis::Upgrade, "rolling", "--previous"),
        ] {
            let lacks = plain.lacks(nemesis, mode, false).unwrap();
            assert!(lacks.contains(part), "{lacks}");
        }
        let in_chaos = plain.lacks(Nemesis::Disk, "full", true);
        assert_eq!(in_chaos.unwrap(), "a fault build", "chaos looks for no small disk");
        let no_network = Some("netns needs root".to_owned());
        let without_root = Capabilities { network: Backend::Netns, no_network, ..plain.clone() };
        assert!(without_root.lacks(Nemesis::Partition, "one", false).is_some());
        let able = Capabilities { fault_build: true, previous: true, ..plain };
        assert_eq!(able.lacks(Nemesis::Power, "one", false), None);
        assert_eq!(able.lacks(Nemesis::Upgrade, "rolling", false), None);
    }
}
