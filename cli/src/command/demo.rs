//! `firstcome demo`: a sale on three real nodes, with the leader killed halfway.

use crate::exit::Exit;
use crate::load::demo::{self, Plan};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome demo
  firstcome demo --buyers 10000 --units 1000
  firstcome demo --keep-running        then prints curl commands to buy something yourself
  firstcome demo --json | jq .violations

Starts real node processes in a temporary directory, sells the units to distinct buyers through
all nodes, kills the leader with SIGKILL halfway, restarts it, and checks every unit and every order
on every node. Exits with 1 if units were oversold or left unsold, or an order was lost or
duplicated.")]
pub(crate) struct Args {
    /// Number of buyers; each wants one unit.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    buyers: u64,
    /// Units on sale.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    units: u64,
    /// Number of nodes to start.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=7))]
    nodes: u64,
    /// Buyers served at the same time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1000))]
    connections: u64,
    /// Do not kill the leader.
    #[arg(long)]
    no_kill: bool,
    /// Keep the nodes running afterwards, until Ctrl-C.
    #[arg(long)]
    keep_running: bool,
}

pub(crate) async fn run(args: Args, json: bool) -> anyhow::Result<Exit> {
    let small = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let plan = Plan {
        buyers: small(args.buyers),
        units: args.units,
        nodes: small(args.nodes),
        connections: small(args.connections),
        kill: !args.no_kill,
        keep_running: args.keep_running,
        json,
    };
    demo::run(plan).await
}
