//! `firstcome serve`: runs a node until it is told to stop or cannot go on.
//!
//! Order of the start: settings, master key, REST port, data directory, peers. Each step fails
//! with its own exit code before the next one touches anything. The port is taken before the
//! directory is opened, so that a second start of the same node says "port in use".

use std::io::{self, ErrorKind, IsTerminal as _, Read as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use firstcome_api::{ApiOptions, MasterKey};
use firstcome_raft::{Node, Options, Peer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::command::keys;
use crate::config::{self, Config, Origin};
use crate::credentials;
use crate::exit::{Exit, Stop, leave};
use crate::{logging, output};

/// Where a development node listens.
const DEVELOPMENT_LISTEN: &str = "127.0.0.1:7400";
/// Requests in flight get this long to end before the process leaves anyway.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome serve                                        one development node, data in ./data
  firstcome serve --config cluster.toml --node n1 --bootstrap
  firstcome serve --config cluster.toml --node n4        waits for `firstcome cluster add`
  firstcome serve --config cluster.toml --node n1 --set log.level=debug --print-config

With --bootstrap and empty directories the nodes of the file form a cluster by themselves; on a
directory that holds a node it changes nothing. SIGTERM drains and exits 0, a second one exits at
once.")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// The settings of all nodes; without it this is one development node.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which node of the file this is.
    #[arg(long, value_name = "NAME", requires = "config")]
    node: Option<String>,
    /// Form a new cluster when the directories of all its nodes are empty.
    #[arg(long)]
    bootstrap: bool,
    /// Where the node's files are.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Where REST listens; port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Change one setting; may be repeated.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
    /// Print every setting with its value and origin, and stop.
    #[arg(long)]
    print_config: bool,
    /// Add the no-op route that `bench --ceiling` measures.
    #[arg(long, hide = true)]
    bench_routes: bool,
    /// Run with a clock that is wrong by this much.
    #[arg(long, hide = true, allow_negative_numbers = true, default_value_t = 0)]
    clock_offset_ms: i64,
    /// Stop when stdin ends: the parent process is gone.
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
    if args.stop_with_parent {
        std::thread::spawn(stop_with_parent);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(serve(args, &config));
    // Nothing that still runs in the background may hold up the end.
    runtime.shutdown_background();
    match &ended {
        Ok(exit) => tracing::info!(code = exit.code(), "stopped"),
        Err(error) => {
            let exit = Exit::of(error);
            tracing::error!(code = exit.code(), advice = exit.advice(), "stopped: {error:#}");
        }
    }
    ended
}

/// Puts the four layers on top of each other.
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

fn check_name(config: &Config) -> Result<(), Stop> {
    let settings = &config.settings;
    if settings.own_entry().is_some() {
        return Ok(());
    }
    let names: Vec<&str> = settings.nodes.iter().map(|node| node.name.as_str()).collect();
    let names = names.join(", ");
    Err(Stop::config(if settings.node_name().is_empty() {
        format!("which node is this? pass --node NAME; cluster.nodes has: {names}")
    } else {
        format!("cluster.nodes has no node {:?}; it has: {names}", settings.node_name())
    }))
}

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

/// Starts everything, serves, and stops in order.
async fn serve(args: &Args, config: &Config) -> anyhow::Result<Exit> {
    let settings = &config.settings;
    let mut signals = Signals::new()?;
    let shared_key = shared_key(config)?;
    let listener = listen(settings.api_listen()).await?;
    let api_address = listener.local_addr().context("cannot tell the REST address")?;
    let options = options(args, config, api_address)?;
    let data_dir = options.data_dir.clone();
    let peer_address = options.peer_listen;
    announce(config, api_address, peer_address, &data_dir);

    let node = tokio::select! {
        started = Node::start(options) => started?,
        () = signals.next() => return Ok(Exit::Done),
    };
    let master = shared_key.map_or_else(|| own_key(&data_dir), Ok)?;
    let api = ApiOptions {
        default_consistency: settings.default_consistency(),
        noop_route: args.bench_routes,
        max_connections: settings.connections(),
        ..ApiOptions::default()
    };
    let router =
        firstcome_api::router(node.clone(), Arc::new(credentials::derive(&master)?), api.clone());
    let (stop, mut stopped) = watch::channel(false);
    let shutdown = async move {
        // An error means that the sender is gone, which is the same wish.
        drop(stopped.wait_for(|stop| *stop).await);
    };
    let mut serving = tokio::spawn(firstcome_api::serve(listener, router, api, shutdown));
    tracing::info!(address = %api_address, "serving");

    tokio::select! {
        () = signals.next() => tracing::info!("asked to stop: draining"),
        (code, reason) = node.failed() => {
            let advice = Exit::of_code(code).advice();
            tracing::error!(code, advice, "node failed: {reason}");
            fail(code)
        }
        ended = &mut serving => {
            ended.context("the REST server ended")?.context("the REST server ended")?;
            return Err(Stop::new(Exit::Bug, "the REST server ended by itself").into());
        }
    }
    stop.send_replace(true);
    let drained = async {
        // Whatever the server ended with, the node's files are what must be closed well.
        drop((&mut serving).await);
        node.shutdown().await;
    };
    tokio::select! {
        () = drained => {}
        () = signals.next() => tracing::warn!("asked twice: stopping at once"),
        () = tokio::time::sleep(DRAIN_LIMIT) => tracing::warn!("requests did not end in time"),
    }
    Ok(Exit::Done)
}

/// Takes the REST port. Fails with 75 when somebody else has it.
async fn listen(address: &str) -> anyhow::Result<TcpListener> {
    let wanted = config::resolve("node.listen.api", address)?;
    TcpListener::bind(wanted).await.map_err(|error| match error.kind() {
        ErrorKind::AddrInUse => {
            let message = format!(
                "port {} on {} is in use: stop the other process, or pass --listen HOST:PORT",
                wanted.port(),
                wanted.ip()
            );
            Stop::new(Exit::Temporary, message).into()
        }
        ErrorKind::AddrNotAvailable | ErrorKind::PermissionDenied => {
            Stop::config(format!("node.listen.api: cannot listen on {wanted}: {error}")).into()
        }
        _ => anyhow::Error::new(error).context(format!("cannot listen on {wanted}")),
    })
}

/// What `raft` needs to know.
fn options(args: &Args, config: &Config, api_address: SocketAddr) -> Result<Options, Stop> {
    let settings = &config.settings;
    let mut options = Options::new(settings.node_name(), settings.data_dir());
    settings.fill(&mut options);
    options.clock_offset_ms = args.clock_offset_ms;
    options.api = settings.own_entry().map_or_else(|| api_address.to_string(), |e| e.api.clone());
    if let Some(own) = settings.own_entry() {
        options.peer.clone_from(&own.peer);
        options.peer_listen = Some(config::resolve("node.listen.peer", settings.peer_listen())?);
        options.bootstrap = args.bootstrap;
    } else {
        options.bootstrap = true;
    }
    let peer = |node: &config::settings::NodeEntry| Peer {
        name: node.name.clone(),
        api: node.api.clone(),
        peer: node.peer.clone(),
    };
    options.peers = settings.nodes.iter().map(peer).collect();
    Ok(options)
}

/// The key from the environment; a cluster of several nodes cannot do without.
fn shared_key(config: &Config) -> Result<Option<MasterKey>, Stop> {
    let key = credentials::from_environment()?;
    if key.is_none() && config.settings.nodes.len() > 1 {
        return Err(Stop::config(
            "nodes of one cluster share a master key: make it with `firstcome keys init FILE`, \
             copy it to every node, and set FIRSTCOME_MASTER_KEY_FILE=FILE",
        ));
    }
    Ok(key)
}

/// The key a lone node makes for itself, beside its data.
fn own_key(data_dir: &Path) -> anyhow::Result<MasterKey> {
    let file = data_dir.join("master.key");
    if !file.exists() {
        keys::create(&file, &credentials::generate()?)?;
    }
    tracing::warn!(
        file = %file.display(),
        "DEVELOPMENT KEY in use: whoever reads this file can sign tokens for every role. For \
         anything but development run `firstcome keys init FILE` and set \
         FIRSTCOME_MASTER_KEY_FILE=FILE"
    );
    Ok(credentials::load(&file)?)
}

/// Says who this is and with which settings, so that a log alone explains a node.
fn announce(config: &Config, api: SocketAddr, peer: Option<SocketAddr>, data_dir: &Path) {
    let settings = &config.settings;
    let peer = peer.map_or_else(|| "none".to_owned(), |address| address.to_string());
    tracing::info!(
        version = crate::VERSION,
        cluster = settings.cluster_name(),
        api = %api,
        peer,
        data_dir = %data_dir.display(),
        "starting"
    );
    let changed = config.show().into_iter().filter(|s| s.origin != Origin::Default);
    for shown in changed {
        tracing::info!(origin = %shown.origin, "setting {} = {}", shown.key, shown.value);
    }
    for zone in settings.nodes.iter().map(|node| &node.zone).filter(|zone| !zone.is_empty()) {
        let inside = settings.nodes.iter().filter(|node| &node.zone == zone).count();
        if inside * 2 > settings.nodes.len()
            && settings.own_entry().is_some_and(|e| &e.zone == zone)
        {
            tracing::warn!(zone, "this zone holds a majority: losing it stops all sales");
            break;
        }
    }
}

/// Both signals that mean "stop".
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for the end of stdin, which the parent holds open for as long as it lives.
fn stop_with_parent() {
    let mut nothing = [0_u8; 64];
    while matches!(io::stdin().read(&mut nothing), Ok(1..)) {}
    leave(Exit::Done);
}

/// Ends the process with the code the node asked for; its files are as a crash leaves them.
#[expect(clippy::exit, reason = "fail-stop with a code that only the node knows")]
fn fail(code: i32) -> ! {
    std::process::exit(code)
}
