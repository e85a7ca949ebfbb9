//! `firstcome bench`: purchases per second of one hot sale, and a ledger that adds up.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::bench::{self, Plan, Through};
use crate::exit::Exit;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome bench                              three own nodes, 64 connections, 10 s
  firstcome bench --nodes 1 --ceiling          beside the HTTP ceiling of the same node
  firstcome bench --rate 2000                  open loop: 2000 buyers a second, come what may
  firstcome bench --through followers --json
  firstcome bench --url http://127.0.0.1:8081,http://127.0.0.1:8082 --key-file master.key

Every request is another buyer with its own token and key. Afterwards the ledger must add up:
units taken equal orders acknowledged, no buyer over the limit, equal state hashes; else exit 1.
The generator shares the cores with the nodes, so compare ratios of one run, not runs.")]
pub(crate) struct Args {
    /// Nodes of a running cluster; it needs their master key.
    #[arg(long, value_delimiter = ',', conflicts_with = "nodes")]
    url: Vec<String>,
    /// Start this many own nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=7))]
    nodes: u64,
    /// Master key of the running cluster; else FIRSTCOME_MASTER_KEY_FILE, ./data/master.key.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Keep-alive connections.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    connections: u64,
    /// Seconds that count.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Seconds before that which do not.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=600))]
    warmup: u64,
    /// Open loop: requests a second, sent on time; without it each connection waits its turn.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: Option<u64>,
    /// First measure the no-op route of the same nodes, and print the ratio.
    #[arg(long)]
    ceiling: bool,
    /// Which nodes take the requests.
    #[arg(long, value_enum, default_value_t = Nodes::All)]
    through: Nodes,
    /// Measure the answers of a sale that is sold out.
    #[arg(long)]
    sold_out: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Nodes {
    /// Only the leader.
    Leader,
    /// Only the others.
    Followers,
    /// All of them.
    All,
}

pub(crate) async fn run(args: Args, json: bool) -> anyhow::Result<Exit> {
    let small = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let plan = Plan {
        urls: args.url,
        nodes: small(args.nodes),
        key_file: args.key_file,
        connections: small(args.connections),
        measured: Duration::from_secs(args.seconds),
        warmup: Duration::from_secs(args.warmup),
        rate: args.rate,
        ceiling: args.ceiling,
        through: match args.through {
            Nodes::Leader => Through::Leader,
            Nodes::Followers => Through::Followers,
            Nodes::All => Through::All,
        },
        sold_out: args.sold_out,
        json,
    };
    bench::run(plan).await
}
