//! `firstcome serve`: reads the settings, then runs a node, or prints the settings and stops.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use serde_json::json;

use crate::config::{Config, Origin};
use crate::exit::{Exit, Stop};
use crate::node::{self, Launch};
use crate::{logging, output};

/// REST address of a development node.
const DEVELOPMENT_LISTEN: &str = "127.0.0.1:7400";

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome serve                                        one development node, data in ./data
  firstcome serve --config cluster.toml --node n1 --bootstrap
  firstcome serve --config cluster.toml --node n4        waits for `firstcome cluster add`
  firstcome serve --config cluster.toml --node n1 --set log.level=debug --print-config

With --bootstrap and empty data directories, the nodes of the file form a new cluster; with existing
data, --bootstrap has no effect. SIGTERM finishes in-flight requests and exits with 0; a second
SIGTERM exits at once.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// Settings file of the cluster; without it, this is a single development node.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Name of this node in the settings file.
    #[arg(long, value_name = "NAME", requires = "config")]
    node: Option<String>,
    /// Form a new cluster if the data directories of all nodes are empty.
    #[arg(long)]
    bootstrap: bool,
    /// Data directory of this node.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Address of the REST API; port 0 picks a free port.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Override one setting; may be repeated.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// Print every setting with its value and origin, then exit.
    #[arg(long)]
    print_config: bool,
    /// Add the no-op route for `bench --ceiling`.
    #[arg(long, hide = true)]
    bench_routes: bool,
    /// Shift this node's clock by this many milliseconds.
    #[arg(long, hide = true, allow_negative_numbers = true, default_value_t = 0)]
    clock_offset_ms: i64,
    /// Exit when stdin is closed, because the parent process is gone.
    #[arg(long, hide = true)]
    stop_with_parent: bool,
}

pub(crate) fn run(args: &Args, json: bool) -> anyhow::Result<Exit> {
    let config = configure(args)?;
    if args.print_config {
        print(&config, json);
        return Ok(Exit::Done);
    }
    firstcome_fault::listen().map_err(|wrong| Stop::new(Exit::Usage, wrong))?;
    let (level, as_json) = config.settings.log();
    let on_terminal = config.origin("log.format") == Origin::Default && io::stderr().is_terminal();
    logging::start(config.settings.node_name(), level, as_json && !on_terminal)?;
    node::run(
        &config,
        Launch {
            bootstrap: args.bootstrap,
            noop_route: args.bench_routes,
            clock_offset_ms: args.clock_offset_ms,
            stop_with_parent: args.stop_with_parent,
        },
    )
}

/// Applies the four layers of settings.
fn configure(args: &Args) -> anyhow::Result<Config> {
    let mut config = Config::default();
    if let Some(file) = &args.config {
        config.read_file(file)?;
    } else {
        config.argument("development node", "node.name", "dev")?;
        config.argument("development node", "node.data_dir", "data")?;
        config.argument("development node", "node.listen.api", DEVELOPMENT_LISTEN)?;
    }
    config.read_variables(std::env::vars())?;
    for assignment in &args.set {
        config.set(assignment)?;
    }
    for (name, key, value) in [
        ("--node", "node.name", &args.node),
        ("--data-dir", "node.data_dir", &args.data_dir),
        ("--listen", "node.listen.api", &args.listen),
    ] {
        if let Some(value) = value {
            config.argument(name, key, value)?;
        }
    }
    if args.config.is_some() && !args.print_config {
        check_name(&config)?;
    }
    config.check()?;
    Ok(config)
}

/// Fails if the settings file has no node with this name.
fn check_name(config: &Config) -> Result<(), Stop> {
    let settings = &config.settings;
    if settings.own_entry().is_some() {
        return Ok(());
    }
    let names: Vec<&str> = settings.nodes.iter().map(|node| node.name.as_str()).collect();
    let names = names.join(", ");
    Err(Stop::config(if settings.node_name().is_empty() {
        format!("this node needs a name: pass --node NAME; cluster.nodes has: {names}")
    } else {
        format!("cluster.nodes has no node {:?}; it has: {names}", settings.node_name())
    }))
}

/// Prints the settings.
fn print(config: &Config, json: bool) {
    let shown = config.show();
    if json {
        let lines: Vec<_> = shown
            .iter()
            .map(|s| json!({"key": s.key, "value": s.value, "origin": s.origin.to_string()}))
            .collect();
        output::json(&json!({"object": "list", "data": lines, "next_cursor": null}));
        return;
    }
    let rows: Vec<_> =
        shown.into_iter().map(|s| vec![s.key, s.value, s.origin.to_string()]).collect();
    output::write(&output::table(&["SETTING", "VALUE", "ORIGIN"], &rows));
}
