//! `firstcome bench`: measures purchases per second of one sale, then checks every unit.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::exit::Exit;
use crate::load::bench::{self, Plan, Through};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome bench                              starts three nodes; 64 connections, 10 s
  firstcome bench --nodes 1 --ceiling          also measures the node's HTTP ceiling
  firstcome bench --rate 2000                  open loop: 2000 requests per second, regardless of responses
  firstcome bench --through followers --json
  firstcome bench --connections 1 --products 16000 --readers 32
                                               one buyer beside 32 readers per node, in two rounds
  firstcome bench --readers 8 --read-path '/v1/sales?state=open'
  firstcome bench --url http://127.0.0.1:8081,http://127.0.0.1:8082 --key-file master.key

Every request comes from a different buyer with its own token and key. Afterwards bench checks that
units taken equal orders acknowledged, no buyer is over the limit, and all state hashes are equal;
otherwise it exits with 1. The load generator shares the CPU with the nodes, so compare ratios
within one run, not absolute numbers of different runs.")]
pub(crate) struct Args {
    /// URLs of the nodes of a running cluster; needs its master key.
    #[arg(long, value_delimiter = ',', conflicts_with = "nodes")]
    url: Vec<String>,
    /// Number of nodes to start.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=7))]
    nodes: u64,
    /// Master key of the running cluster; without it FIRSTCOME_MASTER_KEY_FILE,
    /// FIRSTCOME_MASTER_KEY or ./data/master.key.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Number of keep-alive connections.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    connections: u64,
    /// Seconds to measure.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
    /// Seconds of warm-up before measuring.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=600))]
    warmup: u64,
    /// Open loop: send this many requests per second; without it, each connection waits for its
    /// response before sending the next request.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    rate: Option<u64>,
    /// First measure a no-op route of the same nodes, and print the ratio.
    #[arg(long)]
    ceiling: bool,
    /// Which nodes receive the requests.
    #[arg(long, value_enum, default_value_t = Nodes::All)]
    through: Nodes,
    /// Measure the responses of a sold-out sale.
    #[arg(long)]
    sold_out: bool,
    /// Create this many products with long descriptions first.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=100_000))]
    products: u64,
    /// Number of anonymous keep-alive connections to each node that read without pause while
    /// purchases are measured.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1000))]
    readers: u64,
    /// What the readers read. If given more than once, purchases are measured beside each path in
    /// turn, and compared with those beside the first.
    #[arg(long, value_name = "PATH", requires = "readers", value_parser = parse_path,
        default_values = ["/livez", "/v1/products?q=zzzz"])]
    read_path: Vec<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Nodes {
    /// Only the leader.
    Leader,
    /// Only the followers.
    Followers,
    /// All nodes.
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
        products: small(args.products),
        readers: small(args.readers),
        read_paths: args.read_path,
        json,
    };
    bench::run(plan).await
}

/// Parses the target of a request line.
fn parse_path(text: &str) -> Result<String, String> {
    if text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(text.to_owned());
    }
    Err("invalid path: start with / and percent-encode spaces and letters outside ASCII".to_owned())
}
