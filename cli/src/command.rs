//! The command line: one file per command, each with its arguments and its one action.

mod bench;
mod cluster;
mod completions;
mod demo;
mod inspect;
pub(crate) mod keys;
mod order;
mod product;
mod sale;
mod serve;
mod token;

use std::future::Future;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::exit::Exit;

/// Sells limited stock to whoever comes first, and proves that it did.
#[derive(Parser)]
#[command(name = "firstcome", version = crate::VERSION, propagate_version = true)]
#[command(after_help = "\
Examples:
  firstcome demo                      three nodes, 2000 buyers, 500 units, the leader killed
  firstcome serve                     one development node on 127.0.0.1:7400, data in ./data
  firstcome product create --name Lamp --price 15000KRW --stock 100 --no-shipping
  firstcome sale create --product prd_... --title Spring --units 50 --opens-at +10s
  firstcome order create --sale sal_... --quantity 1

Exit codes: 0 done, 1 refused, 2 outcome unknown (look, then repeat), 64 usage, 65 corrupt data,
70 bug, 74 I/O, 75 port or directory in use, 76 wrong identity, 77 removed, 78 configuration.")]
pub(crate) struct Cli {
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a node.
    Serve(serve::Args),
    /// Make the key that all nodes of a cluster share.
    Keys(keys::Args),
    /// Print an access token; needs only the master key.
    Token(token::Args),
    /// Create, show and change products.
    Product(product::Args),
    /// Create, show and run sales.
    Sale(sale::Args),
    /// Place, show and handle orders.
    Order(order::Args),
    /// Look at a cluster and change its members.
    Cluster(cluster::Args),
    /// Look into the data directory of a stopped node.
    Inspect(inspect::Args),
    /// Sell out on three real nodes, kill the leader, and check every unit.
    Demo(demo::Args),
    /// Measure purchases per second, and check the ledger afterwards.
    Bench(bench::Args),
    /// Print a completion script for a shell.
    Completions(completions::Args),
}

impl Cli {
    /// Runs the command to its end.
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let json = self.json;
        match self.command {
            Command::Serve(args) => serve::run(&args, json),
            Command::Keys(args) => keys::run(&args, json),
            Command::Token(args) => token::run(&args, json),
            Command::Product(args) => wait(product::run(args, json)),
            Command::Sale(args) => wait(sale::run(args, json)),
            Command::Order(args) => wait(order::run(args, json)),
            Command::Cluster(args) => wait(cluster::run(args, json)),
            Command::Inspect(args) => inspect::run(&args, json),
            Command::Demo(args) => wait(demo::run(args, json)),
            Command::Bench(args) => wait(bench::run(args, json)),
            Command::Completions(args) => Ok(completions::run(&args)),
        }
    }
}

/// Runs a client's work on one thread: the other cores belong to the nodes it talks to.
fn wait(work: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(work)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_and_shows_an_example() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} has no description");
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains(&format!("firstcome {name}")), "{name} shows no example");
        }
    }
}
