//! The links between the nodes, behind one trait, so that a fault need not know how they are
//! broken.
//!
//! `cut(from, to)` means that nothing from `from` reaches `to`. A connection carries requests one
//! way and responses the other, so with a one-way cut the requests of the other direction arrive
//! and their responses are lost. There are three back-ends: [`Direct`] (nothing can be broken), the
//! [`proxy`](super::proxy) (no privileges) and [`netns`](super::netns) (root; half-open connections
//! and random loss). [`NoopNetwork`] wraps any of them and breaks nothing: a run that claims faults
//! with it must not count.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use anyhow::bail;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// How the links between nodes are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backend {
    /// One TCP proxy per directed link.
    #[default]
    Proxy,
    /// One network namespace per node; needs root, `ip` and `iptables`.
    Netns,
}

impl Backend {
    /// The name in `test.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Netns => "netns",
        }
    }
}

/// How a link is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutMode {
    /// Everything sent vanishes.
    Blackhole,
    /// New connections are refused, old ones closed.
    Refuse,
    /// Connections are reset at the next byte.
    Reset,
}

/// How a link is degraded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Shape {
    /// Delay of every chunk.
    pub delay_ms: u64,
    /// Random extra delay of every chunk, up to this much.
    pub jitter_ms: u64,
    /// Bytes per second; 0: unlimited.
    pub bytes_per_s: u64,
    /// Nothing gets through after this many bytes; 0: unlimited.
    pub stall_after: u64,
    /// Percentage of packets lost.
    pub loss_percent: u64,
}

/// What a link has carried so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Bytes delivered; not known for `netns`, so 0.
    pub carried: u64,
    /// Bytes, packets or connections lost.
    pub lost: u64,
    /// Chunks delayed.
    pub slowed: u64,
}

/// Where a node listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// REST; reachable from here under every fault.
    pub api: SocketAddr,
    /// For other nodes.
    pub peer: SocketAddr,
}

/// The links between the nodes of one run; dropping it removes what it created.
pub trait Network: fmt::Debug + Send {
    /// Where each node listens, by index.
    fn addresses(&self) -> Vec<Addresses>;

    /// The address that `from` must dial to reach `to`; `None`: its own address.
    fn dial(&self, from: usize, to: usize) -> Option<SocketAddr>;

    /// A command that runs the program where this node lives.
    fn command(&self, at: usize, program: &Path) -> Command;

    /// Cuts the link: nothing from `from` reaches `to` any more.
    fn cut(&mut self, from: usize, to: usize, how: CutMode) -> anyhow::Result<()>;

    /// Degrades the link from `from` to `to`.
    fn shape(&mut self, from: usize, to: usize, shape: Shape) -> anyhow::Result<()>;

    /// Undoes every cut and every degradation.
    fn heal_all(&mut self) -> anyhow::Result<()>;

    /// Traffic from `from` to `to`, since the start or, for `netns`, since the cut.
    fn traffic(&mut self, from: usize, to: usize) -> anyhow::Result<Traffic>;
}

/// Nodes that talk to each other directly.
#[derive(Debug)]
pub struct Direct {
    addresses: Vec<Addresses>,
}

impl Direct {
    /// Takes free ports on loopback.
    pub fn new(nodes: usize) -> anyhow::Result<Self> {
        Ok(Self { addresses: loopback(nodes)?.0 })
    }
}

impl Network for Direct {
    fn addresses(&self) -> Vec<Addresses> {
        self.addresses.clone()
    }

    fn dial(&self, _: usize, _: usize) -> Option<SocketAddr> {
        None
    }

    fn command(&self, _: usize, program: &Path) -> Command {
        Command::new(program)
    }

    fn cut(&mut self, _: usize, _: usize, _: CutMode) -> anyhow::Result<()> {
        bail!("these nodes are connected directly, so no link can be cut")
    }

    fn shape(&mut self, _: usize, _: usize, _: Shape) -> anyhow::Result<()> {
        bail!("these nodes are connected directly, so no link can be degraded")
    }

    fn heal_all(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    fn traffic(&mut self, _: usize, _: usize) -> anyhow::Result<Traffic> {
        Ok(Traffic::default())
    }
}

/// A network that accepts every fault and breaks nothing.
#[derive(Debug)]
pub struct NoopNetwork(pub Box<dyn Network>);

impl Network for NoopNetwork {
    fn addresses(&self) -> Vec<Addresses> {
        self.0.addresses()
    }

    fn dial(&self, from: usize, to: usize) -> Option<SocketAddr> {
        self.0.dial(from, to)
    }

    fn command(&self, at: usize, program: &Path) -> Command {
        self.0.command(at, program)
    }

    fn cut(&mut self, _: usize, _: usize, _: CutMode) -> anyhow::Result<()> {
        Ok(())
    }

    fn shape(&mut self, _: usize, _: usize, _: Shape) -> anyhow::Result<()> {
        Ok(())
    }

    fn heal_all(&mut self) -> anyhow::Result<()> {
        self.0.heal_all()
    }

    fn traffic(&mut self, from: usize, to: usize) -> anyhow::Result<Traffic> {
        self.0.traffic(from, to)
    }
}

/// Free loopback addresses, with listeners that reserve them until dropped.
pub(super) fn loopback(nodes: usize) -> anyhow::Result<(Vec<Addresses>, Vec<TcpListener>)> {
    let any = |_| TcpListener::bind((own_loopback(), 0));
    let held: Vec<TcpListener> = (0..nodes * 2).map(any).collect::<Result<_, _>>()?;
    let ports: Vec<SocketAddr> =
        held.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
    let pairs = ports.chunks_exact(2).filter_map(|pair| match pair {
        [api, peer] => Some(Addresses { api: *api, peer: *peer }),
        _ => None,
    });
    Ok((pairs.collect(), held))
}

/// A loopback address for this process alone. A stopped node must find its port free again, and
/// outgoing connections of this machine only take ports of 127.0.0.1.
pub(super) fn own_loopback() -> IpAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    // Never 127.0.0.1 itself: the second part is at least 64.
    IpAddr::V4(Ipv4Addr::new(127, 64 | high, middle, low))
}
