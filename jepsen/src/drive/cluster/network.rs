//! The ways between the nodes, behind one trait, so that a fault does not know what breaks them.
//!
//! `cut(from, to)` means: nothing that `from` says reaches `to`. A connection carries requests one
//! way and answers the other, so a one-way cut lets requests in the other direction arrive, and
//! loses their answers. Three back-ends: [`Direct`] (nothing in between, nothing to break), the
//! [`proxy`](super::proxy) (no privileges) and [`netns`](super::netns) (root; half-open
//! connections and random loss). [`NoopNetwork`] wraps any of them and breaks nothing: a run that
//! claims faults with it must not count.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use anyhow::bail;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What the ways between nodes are made of.
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
    /// The word in `test.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Netns => "netns",
        }
    }
}

/// How a way is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutMode {
    /// What is sent vanishes.
    Blackhole,
    /// New connections are refused, old ones closed.
    Refuse,
    /// Connections are reset at the next byte.
    Reset,
}

/// What a way does to what it carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Shape {
    /// Added to the way of every piece.
    pub delay_ms: u64,
    /// Up to this much more, drawn anew for every piece.
    pub jitter_ms: u64,
    /// Bytes per second; 0: as fast as it goes.
    pub bytes_per_s: u64,
    /// Nothing more gets through after this many bytes; 0: no such end.
    pub stall_after: u64,
    /// Of a hundred packets so many are lost.
    pub loss_percent: u64,
}

/// What a way has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Bytes that were let through; of `netns`: not known, 0.
    pub carried: u64,
    /// Bytes, packets or connections that were not.
    pub lost: u64,
    /// Pieces that were held up.
    pub slowed: u64,
}

/// Where a node listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// REST; reachable from here under every fault.
    pub api: SocketAddr,
    /// Peers.
    pub peer: SocketAddr,
}

/// The ways between the nodes of one run; dropping it removes what it made.
pub trait Network: fmt::Debug + Send {
    /// Where each node listens, by place.
    fn addresses(&self) -> Vec<Addresses>;

    /// What `from` has to dial to reach `to`; `None`: its own address.
    fn dial(&self, from: usize, to: usize) -> Option<SocketAddr>;

    /// A command that runs the program where the node at this place lives.
    fn command(&self, at: usize, program: &Path) -> Command;

    /// From now on nothing that `from` says reaches `to`.
    fn cut(&mut self, from: usize, to: usize, how: CutMode) -> anyhow::Result<()>;

    /// From now on what `from` says to `to` is held up like this.
    fn shape(&mut self, from: usize, to: usize, shape: Shape) -> anyhow::Result<()>;

    /// Takes back every cut and every shape.
    fn heal_all(&mut self) -> anyhow::Result<()>;

    /// What became of what `from` said to `to`, since the start or, of `netns`, since the cut.
    fn traffic(&mut self, from: usize, to: usize) -> anyhow::Result<Traffic>;
}

/// Nodes that talk to each other directly.
#[derive(Debug)]
pub struct Direct {
    addresses: Vec<Addresses>,
}

impl Direct {
    /// Takes free ports of loopback.
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
        bail!("nothing stands between these nodes, so nothing can be cut")
    }

    fn shape(&mut self, _: usize, _: usize, _: Shape) -> anyhow::Result<()> {
        bail!("nothing stands between these nodes, so nothing can be held up")
    }

    fn heal_all(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    fn traffic(&mut self, _: usize, _: usize) -> anyhow::Result<Traffic> {
        Ok(Traffic::default())
    }
}

/// A network that says yes and breaks nothing.
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

/// Free addresses of loopback, and what keeps others away from them until it is dropped.
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

/// An address of loopback for this process alone. A node that is down must find its port free
/// again, and outgoing connections of this machine take ports of 127.0.0.1 only.
pub(super) fn own_loopback() -> IpAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    // 127.0.0.1 itself is never made: the second part is at least 64.
    IpAddr::V4(Ipv4Addr::new(127, 64 | high, middle, low))
}
