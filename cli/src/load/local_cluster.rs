//! Real node processes on loopback, each with its own data directory, sharing one key.
//!
//! The nodes end with the command that started them, however it ends: dropping the cluster kills
//! them by process id, and each node exits when the pipe from this process is closed.

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

use crate::client::{Client, Request};
use crate::credentials::{self, KEY_FILE_VARIABLE};
use crate::exit::{Exit, Stop};

/// Longest time to become ready, on a busy machine.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// Pause between two checks whether a node is ready.
const POLL_PAUSE: Duration = Duration::from_millis(25);
/// Below the kernel's range for outgoing connections, so that none of them can take a node's port
/// while the node is down.
const PORTS: std::ops::Range<u16> = 15_000..32_000;

/// A node and its process.
struct NodeProcess {
    name: String,
    api: String,
    data_dir: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

/// A cluster whose processes live as long as this value.
pub(crate) struct LocalCluster {
    nodes: Vec<NodeProcess>,
    /// Signs tokens that the nodes accept.
    pub(crate) keys: Arc<Keys>,
    key_file: PathBuf,
    config: PathBuf,
    extra: Vec<String>,
    directory: Option<tempfile::TempDir>,
}

impl LocalCluster {
    /// Starts `count` nodes and waits until all are ready. `extra` are more arguments for `serve`.
    pub(crate) async fn start(count: usize, extra: &[&str]) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("firstcome-").tempdir()?;
        let root = directory.path();
        let key_file = root.join("master.key");
        let master = credentials::generate()?;
        credentials::create_key_file(&key_file, &master)?;
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

    /// Directory with the logs and data of the nodes.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.as_ref().map(|d| d.path().to_owned()).unwrap_or_default()
    }

    /// Keeps the directory as evidence, and returns its path.
    pub(crate) fn keep(&mut self) -> PathBuf {
        self.directory.take().map(tempfile::TempDir::keep).unwrap_or_default()
    }

    /// An admin client of node `at`.
    pub(crate) fn admin(&self, at: usize, limit: Duration) -> anyhow::Result<Client> {
        let api = self.nodes.get(at).map_or("", |node| &node.api);
        Client::as_new_user(&format!("http://{api}"), &self.keys, Role::Admin, limit)
    }

    /// Index of the leader, if a running node knows it.
    pub(crate) async fn leader(&self) -> Option<usize> {
        for at in 0..self.nodes.len() {
            let client = self.admin(at, Duration::from_millis(500)).ok()?;
            let Ok(answer) = client.send_ok(Request::get("/v1/cluster?consistency=local")).await
            else {
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

    /// Kills a node with SIGKILL.
    pub(crate) fn kill(&mut self, at: usize) -> anyhow::Result<()> {
        let Some(mut child) = self.nodes.get_mut(at).and_then(|node| node.child.take()) else {
            return Ok(());
        };
        child.kill().context("cannot kill a node")?;
        child.wait().context("cannot wait for a killed node")?;
        Ok(())
    }

    /// Restarts a killed node on its data directory.
    pub(crate) fn restart(&mut self, at: usize) -> anyhow::Result<()> {
        self.spawn(at, false)
    }

    /// Waits until every node reports that it is ready. If a node exited, fails with its log.
    pub(crate) async fn wait_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_LIMIT;
        for at in 0..self.nodes.len() {
            let client = self.admin(at, Duration::from_secs(1))?;
            loop {
                let asked = client.send(Request::get("/readyz")).await;
                if asked.is_ok_and(|answer| answer.status.is_success()) {
                    break;
                }
                self.check_alive(at)?;
                if Instant::now() > deadline {
                    let message = format!("a node was not ready after 30 s; {}", self.tail(at));
                    return Err(Stop::new(Exit::Temporary, message).into());
                }
                sleep(POLL_PAUSE).await;
            }
        }
        Ok(())
    }

    fn check_alive(&mut self, at: usize) -> anyhow::Result<()> {
        let child = self.nodes.get_mut(at).and_then(|node| node.child.as_mut());
        let ended = child.map(Child::try_wait).transpose()?.flatten();
        ended.map_or(Ok(()), |status| {
            let message = format!("a node exited unexpectedly ({status}); {}", self.tail(at));
            Err(Stop::new(Exit::Bug, message).into())
        })
    }

    /// The last lines of a node's log.
    fn tail(&self, at: usize) -> String {
        let Some(node) = self.nodes.get(at) else { return String::new() };
        let text = std::fs::read_to_string(&node.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(12)..).unwrap_or_default();
        format!("last lines of the log of {}:\n{}", node.name, last.join("\n"))
    }

    fn spawn(&mut self, at: usize, bootstrap: bool) -> anyhow::Result<()> {
        let program = std::env::current_exe().context("cannot find the path of this program")?;
        let Some(node) = self.nodes.get_mut(at) else { return Ok(()) };
        let log: File = OpenOptions::new().create(true).append(true).open(&node.log)?;
        let mut command = Command::new(program);
        // Settings for this command are not meant for its nodes.
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
            // Ctrl-C goes to this command only, which then stops its nodes.
            .process_group(0);
        node.child = Some(command.spawn().context("cannot start a node")?);
        Ok(())
    }
}

impl Drop for LocalCluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut child) = node.child.take() {
                // An error means that it has already exited.
                drop(child.kill());
                drop(child.wait());
            }
        }
    }
}

/// The nodes with their directories, and their cluster.toml.
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

/// Finds free ports.
fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let mut found = Vec::new();
    // Kept bound until all are found, so that none is found twice.
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
