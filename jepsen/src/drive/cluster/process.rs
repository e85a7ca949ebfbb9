//! Starts, kills, pauses and stops the nodes of one run. Each node has its directory, ports and
//! log, and a fault build has its control socket.
//!
//! The run starts with the founders. Spare nodes have ports of their own and join when a fault adds
//! them. A `silent` cluster ignores every fault: runs that claim faults with it must not count.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::network::Network;
use super::tmpfs::Tmpfs;
use super::{control, watch};
use crate::drive::http_client::HttpClient;
use crate::record::http::{Request, Response};

/// How often a condition is checked while waiting for it.
const POLL_EVERY: Duration = Duration::from_millis(50);
/// A node that is asked to stop hands over leadership, finishes its requests and saves a
/// checkpoint.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// Marks a fault build in `--version`.
const FAULT_MARK: &str = "+fault";

/// Which of the binaries a node runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Build {
    /// The one under test.
    Current,
    /// The one before it.
    Previous,
}

/// How a cluster is set up.
#[derive(Debug)]
pub struct ClusterConfig {
    /// The product's binary.
    pub binary: PathBuf,
    /// The one before it, for upgrades.
    pub previous: Option<PathBuf>,
    /// How many nodes form the cluster.
    pub founders: usize,
    /// `section.key=value`, for every node.
    pub settings: Vec<String>,
    /// Environment of every node.
    pub environment: Vec<(String, String)>,
    /// Founders and spares.
    pub network: Box<dyn Network>,
    /// Puts every data directory on a small disk of its own.
    pub small_disks: bool,
    /// Ignores signals and faults.
    pub silent: bool,
}

/// One node.
#[derive(Debug)]
pub struct Node {
    /// `n1`, `n2`, ...
    pub name: String,
    /// Its REST address.
    pub api: SocketAddr,
    /// Its address for peers.
    pub peer: SocketAddr,
    /// Its files.
    pub data_dir: PathBuf,
    /// Which binary it runs at its next start.
    pub build: Build,
    /// Whether it belongs to the cluster and must run once everything is healed.
    pub is_wanted: bool,
    /// Whether it may form the cluster: its directory was never wiped.
    pub bootstrap: bool,
    /// Its disk, if it has a small one.
    pub disk: Option<Tmpfs>,
    config: PathBuf,
    log: PathBuf,
    socket: PathBuf,
    /// The clock offset it was started with.
    started_offset_ms: i64,
    child: Option<Child>,
}

impl Node {
    /// Whether it was started and is not known to have ended.
    pub const fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// Its process id, unless it is known to have ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }
}

/// All nodes of a run. Dropping it kills what still runs.
#[derive(Debug)]
pub struct Cluster {
    /// Founders, then spares.
    pub nodes: Vec<Node>,
    /// How many of them the run starts with.
    pub founders: usize,
    /// The links between them.
    pub network: Box<dyn Network>,
    /// Whether the binary is a fault build.
    pub is_fault_build: bool,
    /// All clocks are ahead by this much until the end of the run.
    pub advanced_ms: i64,
    binary: PathBuf,
    previous: Option<PathBuf>,
    settings: Vec<String>,
    environment: Vec<(String, String)>,
    key_file: PathBuf,
    silent: bool,
    /// Nodes that had already ended when they were to be killed.
    ended: Vec<(usize, i32)>,
}

impl Cluster {
    /// Writes the configuration and the master key under `dir`; starts nothing.
    pub fn prepare(parts: ClusterConfig, dir: &Path) -> anyhow::Result<Self> {
        let found = |binary: &Path| {
            ensure!(binary.is_file(), "{} is not a binary; build it first", binary.display());
            Ok(fs::canonicalize(binary)?)
        };
        let binary = found(&parts.binary)?;
        let previous = parts.previous.as_deref().map(found).transpose()?;
        let addresses = parts.network.addresses();
        let mut lines: Vec<String> = Vec::new();
        let mut nodes = Vec::new();
        for (at, address) in addresses.iter().enumerate() {
            let (name, api, peer) = (format!("n{}", at + 1), address.api, address.peer);
            let line = format!("  {{ name = \"{name}\", api = \"{api}\", peer = \"{peer}\" }},\n");
            let is_founder = at < parts.founders;
            let config =
                dir.join(if is_founder { "cluster" } else { &name }).with_extension("toml");
            if is_founder {
                lines.push(line);
            } else {
                write_config(&config, &(lines.concat() + &line))?;
            }
            let place = dir.join("data").join(&name);
            let disk = parts.small_disks.then(|| Tmpfs::mount(&place)).transpose()?;
            nodes.push(Node {
                data_dir: place,
                build: Build::Current,
                is_wanted: is_founder,
                bootstrap: is_founder,
                disk,
                config,
                log: dir.join(format!("{name}.log")),
                socket: socket(at),
                name,
                api,
                peer,
                started_offset_ms: 0,
                child: None,
            });
        }
        write_config(&dir.join("cluster.toml"), &lines.concat())?;
        let mut cluster = Self {
            nodes,
            founders: parts.founders,
            network: parts.network,
            is_fault_build: false,
            advanced_ms: 0,
            binary,
            previous,
            settings: parts.settings,
            environment: parts.environment,
            key_file: dir.join("master.key"),
            silent: parts.silent,
            ended: Vec::new(),
        };
        cluster.is_fault_build = cluster.run(&["--version"])?.contains(FAULT_MARK);
        cluster.run(&["keys", "init", &cluster.key_file.to_string_lossy()])?;
        Ok(cluster)
    }

    /// The founders. Clients know only these.
    pub fn founders(&self) -> &[Node] {
        self.nodes.get(..self.founders).unwrap_or(&self.nodes)
    }

    /// Whether faults are ignored.
    pub const fn is_silent(&self) -> bool {
        self.silent
    }

    /// Runs one command of the product; returns its output.
    pub fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = Command::new(&self.binary)
            .args(arguments)
            .env("FIRSTCOME_MASTER_KEY_FILE", &self.key_file)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {}", self.binary.display()))?;
        ensure!(
            output.status.success(),
            "`firstcome {}` ended with {}: {}",
            arguments.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// A node by its index.
    pub fn node(&self, at: usize) -> anyhow::Result<&Node> {
        self.nodes.get(at).context("no such node")
    }

    /// A node by its index, mutable.
    pub fn node_mut(&mut self, at: usize) -> anyhow::Result<&mut Node> {
        self.nodes.get_mut(at).context("no such node")
    }

    /// Starts a node, unless it is running.
    pub fn start(&mut self, at: usize) -> anyhow::Result<()> {
        let node = self.node(at)?;
        if node.child.is_some() {
            return Ok(());
        }
        fs::create_dir_all(&node.data_dir)?;
        let log = File::options().create(true).append(true).open(&node.log)?;
        let program = match (node.build, &self.previous) {
            (Build::Previous, Some(previous)) => previous,
            _ => &self.binary,
        };
        let mut command = self.network.command(at, program);
        command.arg("serve").arg("--config").arg(&node.config);
        command.args(["--node", &node.name, "--data-dir"]).arg(&node.data_dir);
        // We hold the other end of its stdin, so the node stops when we end for any reason.
        command.arg("--stop-with-parent").stdin(Stdio::piped());
        if node.bootstrap {
            command.arg("--bootstrap");
        }
        if self.advanced_ms != 0 {
            command.args(["--clock-offset-ms", &self.advanced_ms.to_string()]);
        }
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        for (to, other) in self.nodes.iter().enumerate() {
            // Also without a proxy: members may know each other by the addresses of an earlier run.
            let address = self.network.dial(at, to).unwrap_or(other.peer);
            command.args(["--set", &format!("network.dial.{}={address}", other.name)]);
        }
        command.env("FIRSTCOME_MASTER_KEY_FILE", &self.key_file);
        command.env("FIRSTCOME_FAULT_SOCKET", &node.socket);
        let environment = self
            .environment
            .iter()
            .map(|(name, value)| (name, value.replace("{node}", &node.name)));
        let child = command
            .envs(environment)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let advanced_ms = self.advanced_ms;
        let node = self.node_mut(at)?;
        node.child = Some(child);
        node.started_offset_ms = advanced_ms;
        Ok(())
    }

    /// Kills a node without warning (SIGKILL), and waits for its end.
    pub fn kill(&mut self, at: usize) -> anyhow::Result<()> {
        if self.silent { Ok(()) } else { self.force_kill(at) }
    }

    /// Kills a node's process, also in a silent cluster.
    pub fn force_kill(&mut self, at: usize) -> anyhow::Result<()> {
        let Some(mut child) = self.node_mut(at)?.child.take() else { return Ok(()) };
        if let Some(status) = child.try_wait()? {
            self.ended.push((at, code(status)));
            return Ok(());
        }
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Stops a node's process (SIGSTOP), or resumes it (SIGCONT).
    pub fn freeze(&self, at: usize, frozen: bool) -> anyhow::Result<()> {
        let node = self.node(at)?;
        match node.pid() {
            Some(pid) if !self.silent => signal(pid, if frozen { "-STOP" } else { "-CONT" }),
            _ => Ok(()),
        }
    }

    /// Asks a node to stop (SIGTERM) and returns its exit code; `None` if it was not running, or if
    /// faults are ignored.
    pub fn terminate(&mut self, at: usize) -> anyhow::Result<Option<i32>> {
        if self.silent { Ok(None) } else { self.terminate_and_wait(at) }
    }

    fn terminate_and_wait(&mut self, at: usize) -> anyhow::Result<Option<i32>> {
        let node = self.node_mut(at)?;
        let Some(mut child) = node.child.take() else { return Ok(None) };
        if let Some(status) = child.try_wait()? {
            return Ok(Some(code(status)));
        }
        signal(child.id(), "-TERM")?;
        let until = Instant::now() + STOP_LIMIT;
        while Instant::now() < until {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(code(status)));
            }
            thread::sleep(POLL_EVERY);
        }
        child.kill()?;
        child.wait()?;
        bail!("{} did not stop within {STOP_LIMIT:?} of SIGTERM", node.name)
    }

    /// Whether the node has a running process, according to the kernel.
    pub fn is_running(&mut self, at: usize) -> anyhow::Result<bool> {
        match &mut self.node_mut(at)?.child {
            Some(child) => Ok(child.try_wait()?.is_none()),
            None => Ok(false),
        }
    }

    /// Whether the node's process is stopped (SIGSTOP), according to the kernel.
    pub fn is_frozen(&self, at: usize) -> anyhow::Result<bool> {
        let Some(pid) = self.node(at)?.pid() else { return Ok(false) };
        let line = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        Ok(line.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')))
    }

    /// Nodes whose process ended by itself since the last call, with their exit codes.
    pub fn take_exited(&mut self) -> anyhow::Result<Vec<(usize, i32)>> {
        let mut take_exited = std::mem::take(&mut self.ended);
        for (at, node) in self.nodes.iter_mut().enumerate() {
            if let Some(child) = &mut node.child
                && let Some(status) = child.try_wait()?
            {
                node.child = None;
                take_exited.push((at, code(status)));
            }
        }
        Ok(take_exited)
    }

    /// Sends a request to a node's control socket; in a silent cluster only a request for its
    /// status.
    pub fn control(&self, at: usize, request: &Value) -> anyhow::Result<Value> {
        let socket = &self.node(at)?.socket;
        if self.silent { control::status(socket) } else { control::send(socket, request) }
    }

    /// Sets the clock error of one node, in addition to the common offset.
    pub fn set_clock(&self, at: usize, offset_ms: i64, drift_ppm: i64) -> anyhow::Result<Value> {
        let offset_ms = self.advanced_ms - self.node(at)?.started_offset_ms + offset_ms;
        let request = json!({"do": "clock", "offset_ms": offset_ms, "drift_ppm": drift_ppm});
        self.control(at, &request)
    }

    /// Removes all files of a stopped node: it next starts as a new node.
    pub fn wipe(&mut self, at: usize) -> anyhow::Result<()> {
        let node = self.node_mut(at)?;
        ensure!(node.child.is_none(), "{} is running, so its files are not touched", node.name);
        if node.disk.is_none() && node.data_dir.exists() {
            fs::remove_dir_all(&node.data_dir)?;
        } else if node.disk.is_some() {
            // The directory itself is the mount point.
            for entry in fs::read_dir(&node.data_dir)? {
                let path = entry?.path();
                if path.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
            }
        }
        node.bootstrap = false;
        Ok(())
    }

    /// Asks every node to stop (SIGTERM), and waits for it.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        let mut wrong = Vec::new();
        for at in 0..self.nodes.len() {
            match self.terminate_and_wait(at) {
                // A node that was removed may end with an error.
                Ok(Some(code)) if code != 0 && self.node(at)?.is_wanted => {
                    let name = &self.node(at)?.name;
                    wrong.push(format!("{name} ended with {code} after SIGTERM"));
                }
                Ok(_) => {}
                Err(error) => wrong.push(format!("{error:#}")),
            }
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("; "));
        Ok(())
    }

    /// Waits until every node that must run reports ready.
    pub fn wait_ready(&mut self, limit: Duration) -> anyhow::Result<()> {
        let started = Instant::now();
        let mut client = HttpClient::new(Duration::from_secs(1));
        let request = Request::get("/readyz", "");
        loop {
            let mut late = Vec::new();
            for at in 0..self.nodes.len() {
                let running = self.is_running(at)?;
                let node = self.node(at)?;
                ensure!(
                    running || !node.is_wanted,
                    "{} has ended; see {}",
                    node.name,
                    node.log.display()
                );
                let is_ready = |answer: Response| answer.status == 200;
                if node.is_wanted && !client.send(node.api, &request).is_ok_and(is_ready) {
                    late.push(format!("{}; see {}", node.name, node.log.display()));
                }
            }
            let Some(first) = late.first() else { return Ok(()) };
            ensure!(started.elapsed() < limit, "not ready after {limit:?}: {first}");
            thread::sleep(POLL_EVERY);
        }
    }

    /// The index of the leader, if one is known.
    pub fn leader(&self, token: &str) -> Option<usize> {
        watch::leader(self, token)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut child) = node.child.take() {
                // Errors have nowhere to go. SIGKILL also ends a stopped process.
                _ = child.kill();
                _ = child.wait();
            }
            _ = fs::remove_file(&node.socket);
        }
    }
}

/// The exit code, or 128 plus the signal, as in a shell.
fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// A path that is short enough for a socket and unique to this run.
fn socket(at: usize) -> PathBuf {
    std::env::temp_dir().join(format!("fcj{}n{}.sock", std::process::id(), at + 1))
}

fn write_config(path: &Path, nodes: &str) -> anyhow::Result<()> {
    let text = format!("cluster.name = \"jepsen\"\ncluster.nodes = [\n{nodes}]\n");
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn signal(pid: u32, name: &str) -> anyhow::Result<()> {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status()?;
    ensure!(sent.success(), "cannot send {name} to process {pid}");
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
