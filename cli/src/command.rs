//! The command line: one file per command, with its arguments and its one action.

mod address;
mod admin;
mod argument;
mod audit;
mod bench;
mod cluster;
mod completions;
mod customer;
mod demo;
mod inspect;
mod keys;
mod login;
mod logout;
mod order;
mod product;
mod sale;
mod serve;
mod session;
mod settings;
mod token;
mod whoami;
mod wishlist;

use std::future::Future;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::exit::Exit;
use crate::version::VERSION;

/// Sells limited stock first come, first served, and proves it.
#[derive(Parser)]
#[command(name = "firstcome", version = VERSION, propagate_version = true)]
#[command(after_help = "\
Examples:
  firstcome demo                      three nodes, 2000 buyers, 500 units, leader killed
  firstcome serve                     one development node on 127.0.0.1:7400, data in ./data
  firstcome product create --name Lamp --price 15000KRW --stock 100 --no-shipping
  firstcome sale create --product prd_... --title Spring --units 50 --opens-at +10s
  firstcome order create --sale sal_... --quantity 1
  firstcome login --email ann@example.com         the other commands act as her from now on

Exit codes: 0 success, 1 refused, 2 outcome unknown (check, then retry), 64 usage, 65 corrupt data,
70 bug, 74 I/O error, 75 port or directory in use, 76 wrong identity, 77 node removed,
78 configuration.")]
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
    /// Create, rotate and show the master key that all nodes of a cluster share.
    Keys(keys::Args),
    /// Log in, and keep the session for the other commands.
    Login(login::Args),
    /// End the session of firstcome login.
    Logout(logout::Args),
    /// Show who is logged in.
    Whoami(whoami::Args),
    /// List and end your sessions.
    Session(session::Args),
    /// Create the first admin.
    Admin(admin::Args),
    /// List, show, block and unblock users, and change their roles.
    Customer(customer::Args),
    /// List what staff did, and verify the log of it.
    Audit(audit::Args),
    /// Print an access token, signed with the master key.
    Token(token::Args),
    /// Create, show and change products.
    Product(product::Args),
    /// Create, show, change and close sales.
    Sale(sale::Args),
    /// Place, show, pay, ship and cancel orders.
    Order(order::Args),
    /// Show, change and order a customer's wishlist.
    Wishlist(wishlist::Args),
    /// Save, show, change and remove a customer's addresses.
    Address(address::Args),
    /// Show and change the settings that all nodes share.
    Settings(settings::Args),
    /// Show a cluster's status and change its members.
    Cluster(cluster::Args),
    /// Inspect the data directory of a stopped node.
    Inspect(inspect::Args),
    /// Sell out on three real nodes with the leader killed, and check every unit.
    Demo(demo::Args),
    /// Measure purchases per second, then check every unit.
    Bench(bench::Args),
    /// Print a shell completion script.
    Completions(completions::Args),
}

impl Cli {
    /// Runs the command.
    pub(crate) fn run(self) -> anyhow::Result<Exit> {
        let json = self.json;
        match self.command {
            Command::Serve(args) => serve::run(&args, json),
            Command::Keys(args) => wait(keys::run(args, json)),
            Command::Login(args) => wait(login::run(args, json)),
            Command::Logout(args) => wait(logout::run(args, json)),
            Command::Whoami(args) => wait(whoami::run(args, json)),
            Command::Session(args) => wait(session::run(args, json)),
            Command::Admin(args) => wait(admin::run(args, json)),
            Command::Customer(args) => wait(customer::run(args, json)),
            Command::Audit(args) => wait(audit::run(args, json)),
            Command::Token(args) => token::run(&args, json),
            Command::Product(args) => wait(product::run(args, json)),
            Command::Sale(args) => wait(sale::run(args, json)),
            Command::Order(args) => wait(order::run(args, json)),
            Command::Wishlist(args) => wait(wishlist::run(args, json)),
            Command::Address(args) => wait(address::run(args, json)),
            Command::Settings(args) => wait(settings::run(args, json)),
            Command::Cluster(args) => wait(cluster::run(args, json)),
            Command::Inspect(args) => inspect::run(&args, json),
            Command::Demo(args) => wait(demo::run(args, json)),
            Command::Bench(args) => wait(bench::run(args, json)),
            Command::Completions(args) => Ok(completions::run(&args, Self::command())),
        }
    }
}

/// Runs a client on one thread; the other cores are for the nodes it talks to.
fn wait(work: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_accepts_the_command_line() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_a_description_and_an_example() {
        for command in Cli::command().get_subcommands() {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} has no description");
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains(&format!("firstcome {name}")), "{name} shows no example");
        }
    }
}
