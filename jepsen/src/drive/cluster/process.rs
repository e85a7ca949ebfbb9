//! Starts, kills, pauses and stops the nodes of one run; each has its directory, its ports, its
//! log, and, of a fault build, its control socket.
//!
//! The run starts with the founders; spare nodes have places and ports of their own and join when
//! a fault lets them. A cluster that is `silent` breaks nothing whatever it is asked: runs that
//! claim faults with it must not count.

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

/// How often a condition is looked at while waiting for it.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A node that is asked to stop hands over, ends its requests and saves a checkpoint.
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

/// What a cluster is made of.
#[derive(Debug)]
pub struct ClusterConfig {
    /// The product's binary.
    pub binary: PathBuf,
    /// The one before it, for upgrades.
    pub previous: Option<PathBuf>,
    /// How many nodes the cluster begins with.
    pub founders: usize,
    /// `section.key=value`, for every node.
    pub settings: Vec<String>,
    /// Environment of every node.
    pub environment: Vec<(String, String)>,
    /// Founders and spares.
    pub network: Box<dyn Network>,
    /// Data directories lie on small disks of their own.
    pub small_disks: bool,
    /// Signals and faults are not sent.
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
    /// Whether it belongs to the cluster, and has to run when everything is healed.
    pub is_wanted: bool,
    /// Whether it may found the cluster: its directory was never wiped.
    pub bootstrap: bool,
    /// Its disk, when that is small.
    pub disk: Option<Tmpfs>,
    config: PathBuf,
    log: PathBuf,
    socket: PathBuf,
    /// What its clock was started with.
    started_offset_ms: i64,
    child: Option<Child>,
}

impl Node {
    /// Whether it was started and has not been seen to end.
    pub const fn is_started(&self) -> bool {
        self.child.is_some()
    }

    /// The process, while it was not seen to end.
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
    /// The ways between them.
    pub network: Box<dyn Network>,
    /// Whether the binary can be broken on demand.
    pub is_fault_build: bool,
    /// All clocks are ahead by this much, for good.
    pub advanced_ms: i64,
    binary: PathBuf,
    previous: Option<PathBuf>,
    settings: Vec<String>,
    environment: Vec<(String, String)>,
    key_file: PathBuf,
    silent: bool,
    /// Nodes that had ended by themselves when they were to be killed.
    ended: Vec<(usize, i32)>,
}

impl Cluster {
    /// Writes configuration and master key under `dir`; starts nothing.
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

    /// The places of the founders: clients know these.
    pub fn founders(&self) -> &[Node] {
        self.nodes.get(..self.founders).unwrap_or(&self.nodes)
    }

    /// Whether faults are asked for and not carried out.
    pub const fn is_silent(&self) -> bool {
        self.silent
    }

    /// Runs one command of the product to its end; answers what it printed.
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

    /// A node by its place.
    pub fn node(&self, at: usize) -> anyhow::Result<&Node> {
        self.nodes.get(at).context("no such node")
    }

    /// A node by its place, to change it.
    pub fn node_mut(&mut self, at: usize) -> anyhow::Result<&mut Node> {
        self.nodes.get_mut(at).context("no such node")
    }

    /// Starts a node, unless it runs.
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
        // The other end of its stdin is ours: whatever ends us ends it.
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
            // Also when nothing stands between: members may know each other by the addresses of
            // an earlier run.
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

    /// Ends a node's process, also in a silent cluster.
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

    /// Stops a node's process where it stands (SIGSTOP), or lets it go on (SIGCONT).
    pub fn freeze(&self, at: usize, frozen: bool) -> anyhow::Result<()> {
        let node = self.node(at)?;
        match node.pid() {
            Some(pid) if !self.silent => signal(pid, if frozen { "-STOP" } else { "-CONT" }),
            _ => Ok(()),
        }
    }

    /// Asks a node to stop (SIGTERM) and waits for its exit code; `None`: it was not running, or must not be asked.
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
            thread::sleep(LOOK_EVERY);
        }
        child.kill()?;
        child.wait()?;
        bail!("{} did not stop within {STOP_LIMIT:?} of SIGTERM", node.name)
    }

    /// Whether the node has a process, by the kernel's word.
    pub fn is_running(&mut self, at: usize) -> anyhow::Result<bool> {
        match &mut self.node_mut(at)?.child {
            Some(child) => Ok(child.try_wait()?.is_none()),
            None => Ok(false),
        }
    }

    /// Whether the node's process stands still, by the kernel's word.
    pub fn is_frozen(&self, at: usize) -> anyhow::Result<bool> {
        let Some(pid) = self.node(at)?.pid() else { return Ok(false) };
        let line = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        Ok(line.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')))
    }

    /// The nodes that ended by themselves since the last look, with their exit codes.
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

    /// Asks a node's control socket; in a silent cluster it only asks for the status.
    pub fn control(&self, at: usize, request: &Value) -> anyhow::Result<Value> {
        let socket = &self.node(at)?.socket;
        if self.silent { control::status(socket) } else { control::send(socket, request) }
    }

    /// Sets how wrong one clock is, on top of how far all of them are ahead.
    pub fn set_clock(&self, at: usize, offset_ms: i64, drift_ppm: i64) -> anyhow::Result<Value> {
        let offset_ms = self.advanced_ms - self.node(at)?.started_offset_ms + offset_ms;
        let request = json!({"do": "clock", "offset_ms": offset_ms, "drift_ppm": drift_ppm});
        self.control(at, &request)
    }

    /// Removes all files of a node that does not run: its next start is a new node's.
    pub fn wipe(&mut self, at: usize) -> anyhow::Result<()> {
        let node = self.node_mut(at)?;
        ensure!(node.child.is_none(), "{} runs; its files are not touched", node.name);
        if node.disk.is_none() && node.data_dir.exists() {
            fs::remove_dir_all(&node.data_dir)?;
        } else if node.disk.is_some() {
            // The folder itself is where the disk is mounted.
            for entry in fs::read_dir(&node.data_dir)? {
                fs::remove_file(entry?.path())?;
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
                // Who was sent away may end as one that was.
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

    /// Waits until every node that has to run says that it is ready.
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
            thread::sleep(LOOK_EVERY);
        }
    }

    /// The place of the leader in the list of nodes, if one is known.
    pub fn leader(&self, token: &str) -> Option<usize> {
        watch::leader(self, token)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut child) = node.child.take() {
                // Nothing is left to tell it to; the process is ours and ends here. SIGKILL also
                // ends one that was stopped.
                _ = child.kill();
                _ = child.wait();
            }
            _ = fs::remove_file(&node.socket);
        }
    }
}

/// The exit code; of a signal 128 and its number, as a shell has it.
fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// A path short enough for a socket, and of this run alone.
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
