//! The process behind `serve`: starts a node, serves its API, and stops both in order.
//!
//! Start: master key, keys of issuers, mail, REST port, data directory, peers. Each step fails with its own exit code
//! before the next one touches anything. The port is bound before the data directory is opened, so
//! that a second start of the same node reports "port in use".
//!
//! Stop: close the REST port, finish in-flight requests, hand over leadership and close the files.

mod master_key;
mod runtimes;
mod signals;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use firstcome_api::{ApiOptions, Issuers, Keyring, MailOptions, Mailer, Outbox, Shop};
use firstcome_raft::{Node, Options, Peer};
use tokio::net::TcpListener;
use tokio::sync::watch;

use self::master_key::{development_key, shared_key};
use self::runtimes::Runtimes;
use self::signals::{Signals, exit_with_parent};
use crate::config::settings::{NodeEntry, Settings};
use crate::config::{self, Config, Origin};
use crate::credentials;
use crate::exit::{Exit, Stop};
use crate::version::VERSION;

/// In-flight requests have this long to finish before the node is closed anyway.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// The node has this long to hand over leadership, save a checkpoint and close its files, before
/// the process exits anyway. Together with [`DRAIN_LIMIT`] less than the 60 s that `deploy/` gives
/// it before it is killed.
const CLOSE_LIMIT: Duration = Duration::from_secs(25);

/// How to start a node, apart from its settings.
#[derive(Clone, Copy)]
pub(crate) struct Launch {
    /// Form a new cluster if all data directories are empty.
    pub(crate) bootstrap: bool,
    /// Serve the no-op route that `bench --ceiling` measures.
    pub(crate) noop_route: bool,
    /// Shift of the clock.
    pub(crate) clock_offset_ms: i64,
    /// Exit when stdin is closed.
    pub(crate) stop_with_parent: bool,
}

/// Runs a node until it is told to stop or fails, and logs why it stopped.
pub(crate) fn run(config: &Config, launch: Launch) -> anyhow::Result<Exit> {
    if launch.stop_with_parent {
        std::thread::spawn(exit_with_parent);
    }
    let runtimes = Runtimes::start(&config.settings)?;
    let ended = runtimes.block_on(serve(config, launch, &runtimes));
    runtimes.shutdown();
    match &ended {
        Ok(exit) => tracing::info!(code = exit.code(), "stopped"),
        Err(error) => {
            let exit = Exit::of(error);
            tracing::error!(code = exit.code(), advice = exit.advice(), "stopped: {error:#}");
        }
    }
    ended
}

/// Starts, serves, and stops in order.
async fn serve(config: &Config, launch: Launch, runtimes: &Runtimes) -> anyhow::Result<Exit> {
    let settings = &config.settings;
    let mut signals = Signals::new()?;
    let shared_key = shared_key(config)?;
    let issuers = Arc::new(issuers(settings)?);
    let mail = settings.mail();
    let mailer = mailer(&mail, &settings.data_dir())?;
    let listener = listen(settings.api_listen()).await?;
    let api_address = listener.local_addr().context("cannot read the REST address")?;
    let options = options(launch, config, api_address)?;
    let data_dir = options.data_dir.clone();
    announce(config, api_address, options.peer_listen, &data_dir);

    let node = tokio::select! {
        started = runtimes.on_raft(Node::start(options, Shop)) => started??,
        () = signals.next() => return Ok(Exit::Done),
    };
    let master = shared_key.map_or_else(|| development_key(&data_dir), Ok)?;
    let keys = credentials::derive(&master)?;
    let keyring = Keyring::new(node.clone(), &keys);
    issuers.keep_current(&data_dir);
    let api = ApiOptions {
        issuers,
        default_consistency: settings.default_consistency(),
        noop_route: launch.noop_route,
        max_connections: settings.connections(),
        limits: settings.limits().clone(),
        country: settings.country(),
        mail,
        mailer: Some(Arc::clone(&mailer)),
        ..ApiOptions::default()
    };
    let router = firstcome_api::router(node.clone(), &keys, api.clone());
    let outbox = Outbox::new(node.clone(), &keys, mailer);
    let sending = tokio::spawn(async move { outbox.run().await });
    let (stop, mut stopped) = watch::channel(false);
    let shutdown = async move {
        // An error means that the sender is gone, which also means stop.
        drop(stopped.wait_for(|stop| *stop).await);
    };
    let mut serving = tokio::spawn(firstcome_api::serve(listener, router, api, shutdown));
    tracing::info!(address = %api_address, "serving");

    tokio::select! {
        () = signals.next() => tracing::info!("stopping: finishing in-flight requests"),
        wrong = keyring.watch() => {
            let code = i32::from(Exit::Config.code());
            tracing::error!(code, "node failed: {wrong}");
            fail(code)
        }
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
    // A mail that is under way is sent again by the next leader.
    sending.abort();
    let stopped_in_order = async {
        // Even if the server failed or is stuck, the node's files should be closed properly.
        if tokio::time::timeout(DRAIN_LIMIT, &mut serving).await.is_err() {
            tracing::warn!("requests did not finish within {DRAIN_LIMIT:?}");
        }
        let closing = runtimes.on_raft(async move { node.shutdown().await });
        tokio::time::timeout(CLOSE_LIMIT, closing).await.map_err(|_| not_closed())?
    };
    tokio::select! {
        stopped = stopped_in_order => stopped?,
        () = signals.next() => tracing::warn!("second signal: exiting at once"),
    }
    Ok(Exit::Done)
}

fn not_closed() -> Stop {
    let message = format!(
        "the node did not save its last checkpoint and close its files within {CLOSE_LIMIT:?}: \
         nothing that was confirmed is lost, but the next start has to apply more of the log"
    );
    Stop::new(Exit::Temporary, message)
}

/// Binds the REST port. Fails with exit code 75 if it is in use.
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

/// The issuers of `auth.issuers` with their keys, as far as they are in files.
fn issuers(settings: &Settings) -> Result<Issuers, Stop> {
    Issuers::load(&settings.issuers)
        .map_err(|error| Stop::config(format!("auth.issuers: {:#}", anyhow::Error::new(error))))
}

/// What sends mail, once the files that the settings name have been read.
fn mailer(mail: &MailOptions, data_dir: &Path) -> Result<Arc<Mailer>, Stop> {
    let mailer = Mailer::new(mail, data_dir);
    let mailer = mailer.map_err(|error| Stop::config(format!("{:#}", anyhow::Error::new(error))));
    mailer.map(Arc::new)
}

/// The options of the Raft node.
fn options(launch: Launch, config: &Config, api_address: SocketAddr) -> Result<Options, Stop> {
    let settings = &config.settings;
    let mut options = Options::new(settings.node_name(), settings.data_dir());
    settings.fill(&mut options);
    options.clock_offset_ms = launch.clock_offset_ms;
    options.api = settings.own_entry().map_or_else(|| api_address.to_string(), |e| e.api.clone());
    if let Some(own) = settings.own_entry() {
        options.peer.clone_from(&own.peer);
        options.peer_listen = Some(config::resolve("node.listen.peer", settings.peer_listen())?);
        options.bootstrap = launch.bootstrap;
    } else {
        options.bootstrap = true;
    }
    let peer = |node: &NodeEntry| Peer {
        name: node.name.clone(),
        api: node.api.clone(),
        peer: node.peer.clone(),
    };
    options.peers = settings.nodes.iter().map(peer).collect();
    Ok(options)
}

/// Logs the version, addresses and changed settings, so that the log alone explains the node.
fn announce(config: &Config, api: SocketAddr, peer: Option<SocketAddr>, data_dir: &Path) {
    let settings = &config.settings;
    let peer = peer.map_or_else(|| "none".to_owned(), |address| address.to_string());
    tracing::info!(
        version = VERSION,
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
            tracing::warn!(
                zone,
                "this zone holds a majority of the nodes: losing it stops all sales"
            );
            break;
        }
    }
}

/// Exits with the code of the node's failure; its files are left as after a crash.
#[expect(clippy::exit, reason = "fail-stop with a code that only the node knows")]
fn fail(code: i32) -> ! {
    std::process::exit(code)
}
