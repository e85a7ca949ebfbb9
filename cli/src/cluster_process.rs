//! Real nodes on loopback for `demo` and `bench`: own processes, own files, one key.
//!
//! The nodes end with the command that started them, however it ends: dropped here they are
//! killed by their id, and each holds a pipe from this process and stops when that closes.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use firstcome_api::Keys;
use firstcome_domain::Role;
use rand::Rng as _;
use serde_json::Value;
use tokio::time::sleep;

use crate::client::{Ask, Client};
use crate::command::keys;
use crate::credentials::{self, KEY_FILE_VARIABLE};
use crate::exit::{Exit, Stop};

/// From empty directories to a leader, on a busy machine.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// Between two looks at a node that is not ready.
const LOOK: Duration = Duration::from_millis(25);
/// Below the range from which the kernel takes ports for outgoing connections, so that none of
/// ours sits on a node's port while the node is down.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// One node and its process.
struct NodeProcess {
    name: String,
    api: String,
    data_dir: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

/// A cluster that lives as long as this value.
pub(crate) struct ClusterProcess {
    nodes: Vec<NodeProcess>,
    /// Makes tokens the nodes accept.
    pub(crate) keys: Arc<Keys>,
    key_file: PathBuf,
    config: PathBuf,
    extra: Vec<String>,
    directory: Option<tempfile::TempDir>,
}

impl ClusterProcess {
    /// Starts `count` nodes and waits until all are ready. `extra` are arguments of `serve`.
    pub(crate) async fn start(count: usize, extra: &[&str]) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("firstcome-").tempdir()?;
        let root = directory.path();
        let key_file = root.join("master.key");
        let master = credentials::generate()?;
        keys::create(&key_file, &master)?;
        let config = root.join("cluster.toml");
        let ports = free_ports(count * 2)?;
        let (nodes, text) = plan(root, &ports);
        std::fs::write(&config, text).context("cannot write cluster.toml")?;
        let mut cluster = Self {
            nodes,
            keys: Arc::new(credentials::derive(&master)?),
            key_file,
            config,
            extra: extra.iter().map(|argument| (*argument).to_owned()).collect(),
            directory: Some(directory),
        };
        for at in 0..count {
            cluster.spawn(at, true)?;
        }
        cluster.wait_ready().await?;
        Ok(cluster)
    }

    /// `host:port` of every node's REST API.
    pub(crate) fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.api.clone()).collect()
    }

    /// The names of all nodes, in the same order.
    pub(crate) fn names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    /// Where logs and data of the nodes are.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.as_ref().map(|d| d.path().to_owned()).unwrap_or_default()
    }

    /// Leaves the directory behind as evidence.
    pub(crate) fn keep(&mut self) -> PathBuf {
        self.directory.take().map(tempfile::TempDir::keep).unwrap_or_default()
    }

    /// A client of node `at`, with all rights.
    pub(crate) fn admin(&self, at: usize, limit: Duration) -> anyhow::Result<Client> {
        let api = self.nodes.get(at).map_or("", |node| &node.api);
        Client::minted(&format!("http://{api}"), &self.keys, Role::Admin, limit)
    }

    /// The place of the leader, if a living node knows it.
    pub(crate) async fn leader(&self) -> Option<usize> {
        for at in 0..self.nodes.len() {
            let client = self.admin(at, Duration::from_millis(500)).ok()?;
            let Ok(answer) = client.must(Ask::get("/v1/cluster?consistency=local")).await else {
                continue;
            };
            let leader = answer.body.get("leader").and_then(Value::as_str);
            if let Some(at) = self.nodes.iter().position(|node| Some(node.name.as_str()) == leader)
            {
                return Some(at);
            }
        }
        None
    }

    /// Ends a node with SIGKILL, as a power cut of its process would.
    pub(crate) fn kill(&mut self, at: usize) -> anyhow::Result<()> {
        let Some(mut child) = self.nodes.get_mut(at).and_then(|node| node.child.take()) else {
            return Ok(());
        };
        child.kill().context("cannot kill a node")?;
        child.wait().context("cannot wait for a killed node")?;
        Ok(())
    }

    /// Starts a killed node again on its own files.
    pub(crate) fn restart(&mut self, at: usize) -> anyhow::Result<()> {
        self.spawn(at, false)
    }

    /// Waits until every node says that it is ready. Fails with the log of one that ended.
    pub(crate) async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        for at in 0..self.nodes.len() {
            let client = self.admin(at, Duration::from_secs(1))?;
            loop {
                let asked = client.ask(Ask::get("/readyz")).await;
                if asked.is_ok_and(|answer| answer.status.is_success()) {
                    break;
                }
                self.check_alive(at)?;
                if Instant::now() > deadline {
                    let message = format!("a node is not ready after 30 s; {}", self.tail(at));
                    return Err(Stop::new(Exit::Temporary, message).into());
                }
                sleep(LOOK).await;
            }
        }
        Ok(())
    }

    fn check_alive(&mut self, at: usize) -> anyhow::Result<()> {
        let child = self.nodes.get_mut(at).and_then(|node| node.child.as_mut());
        let ended = child.map(Child::try_wait).transpose()?.flatten();
        ended.map_or(Ok(()), |status| {
            let message = format!("a node ended by itself ({status}); {}", self.tail(at));
            Err(Stop::new(Exit::Bug, message).into())
        })
    }

    /// The end of a node's log, for people.
    fn tail(&self, at: usize) -> String {
        let Some(node) = self.nodes.get(at) else { return String::new() };
        let text = std::fs::read_to_string(&node.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(12)..).unwrap_or_default();
        format!("the end of {}'s log:\n{}", node.name, last.join("\n"))
    }

    fn spawn(&mut self, at: usize, bootstrap: bool) -> anyhow::Result<()> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let Some(node) = self.nodes.get_mut(at) else { return Ok(()) };
        let log: File = OpenOptions::new().create(true).append(true).open(&node.log)?;
        let mut command = Command::new(program);
        // Settings meant for this command are not meant for its nodes.
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FIRSTCOME_")) {
            command.env_remove(name);
        }
        command
            .env(KEY_FILE_VARIABLE, &self.key_file)
            .args(["serve", "--stop-with-parent", "--node", &node.name, "--config"])
            .arg(&self.config)
            .arg("--data-dir")
            .arg(&node.data_dir)
            .args(bootstrap.then_some("--bootstrap"))
            .args(&self.extra)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            // Ctrl-C is for the command, which then ends its nodes itself.
            .process_group(0);
        node.child = Some(command.spawn().context("cannot start a node")?);
        Ok(())
    }
}

impl Drop for ClusterProcess {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut child) = node.child.take() {
                // It may have ended already, which is what is wanted.
                drop(child.kill());
                drop(child.wait());
            }
        }
    }
}

/// Names, places and settings of the nodes.
fn plan(root: &Path, ports: &[u16]) -> (Vec<NodeProcess>, String) {
    let mut text = "cluster.name = \"loopback\"\ncluster.nodes = [\n".to_owned();
    let mut nodes = Vec::new();
    for (at, pair) in ports.chunks_exact(2).enumerate() {
        let &[api, peer] = pair else { continue };
        let name = format!("n{}", at + 1);
        let api = format!("127.0.0.1:{api}");
        text.push_str(&format!(
            "  {{ name = \"{name}\", api = \"{api}\", peer = \"127.0.0.1:{peer}\" }},\n"
        ));
        nodes.push(NodeProcess {
            data_dir: root.join(&name),
            log: root.join(format!("{name}.log")),
            name,
            api,
            child: None,
        });
    }
    text.push_str("]\n");
    (nodes, text)
}

/// Finds ports nobody listens on.
fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let mut found = Vec::new();
    // Held until all are found, so that none is found twice.
    let mut held = Vec::new();
    for _ in 0..1000 {
        if found.len() == count {
            return Ok(found);
        }
        let port = rand::rng().random_range(PORTS);
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            held.push(listener);
            found.push(port);
        }
    }
    Err(Stop::new(Exit::Temporary, "no free ports on 127.0.0.1").into())
}
