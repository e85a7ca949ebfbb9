//! `firstcome demo`: a sale on three real nodes whose leader is killed in the middle of it.

use crate::demo::{self, Plan};
use crate::exit::Exit;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome demo
  firstcome demo --buyers 10000 --units 1000
  firstcome demo --keep-running        prints curl lines to buy something yourself
  firstcome demo --json | jq .violations

Starts real processes in a temporary directory, sells the units to distinct buyers through all
nodes, kills the leader with SIGKILL in the middle, restarts it, and checks every unit and every
order on every node. Exit code 1 if anything was oversold, lost, doubled or left over.")]
pub(crate) struct Args {
    /// Distinct buyers, each wants one unit.
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    buyers: u64,
    /// Units on sale.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    units: u64,
    /// Nodes to start.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=7))]
    nodes: u64,
    /// Buyers that are served at one time.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1000))]
    connections: u64,
    /// Leave the leader alone.
    #[arg(long)]
    no_kill: bool,
    /// Go on after the verdict until Ctrl-C.
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
