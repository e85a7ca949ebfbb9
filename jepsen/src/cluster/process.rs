//! Starts, kills and stops the nodes of one run; each has its directory, its ports and its log.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::client::{Client, Request, Response};

/// How often a condition is looked at while waiting for it.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// One node.
#[derive(Debug)]
pub struct Node {
    /// `n1`, `n2`, ...
    pub name: String,
    /// Its REST address.
    pub api: SocketAddr,
    data_dir: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

/// All nodes of a run. Dropping it kills what still runs.
#[derive(Debug)]
pub struct Cluster {
    /// The nodes, in the order of the configuration.
    pub nodes: Vec<Node>,
    binary: PathBuf,
    config: PathBuf,
    key_file: PathBuf,
}

impl Cluster {
    /// Writes configuration and master key under `dir`; starts nothing.
    pub fn prepare(binary: &Path, dir: &Path, count: usize) -> anyhow::Result<Self> {
        ensure!(binary.is_file(), "{} is not a binary; build it first", binary.display());
        let binary = fs::canonicalize(binary)?;
        let key_file = dir.join("master.key");
        let ports = free_ports(count * 2)?;
        let mut nodes = Vec::new();
        let mut lines = String::new();
        for (at, pair) in ports.chunks_exact(2).enumerate() {
            let [api, peer] = pair else { continue };
            let name = format!("n{}", at + 1);
            writeln!(lines, "  {{ name = \"{name}\", api = \"{api}\", peer = \"{peer}\" }},")?;
            nodes.push(Node {
                data_dir: dir.join("data").join(&name),
                log: dir.join(format!("{name}.log")),
                name,
                api: *api,
                child: None,
            });
        }
        let config = dir.join("cluster.toml");
        fs::write(&config, format!("[cluster]\nname = \"jepsen\"\nnodes = [\n{lines}]\n"))?;
        let cluster = Self { nodes, binary, config, key_file };
        cluster.run(&["keys", "init", &cluster.key_file.to_string_lossy()])?;
        Ok(cluster)
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

    /// Starts a node that is not running.
    pub fn start(&mut self, at: usize) -> anyhow::Result<()> {
        let node = self.nodes.get_mut(at).context("no such node")?;
        fs::create_dir_all(&node.data_dir)?;
        let log = File::options().create(true).append(true).open(&node.log)?;
        let child = Command::new(&self.binary)
            .arg("serve")
            .arg("--config")
            .arg(&self.config)
            .args(["--node", &node.name, "--bootstrap", "--data-dir"])
            .arg(&node.data_dir)
            .env("FIRSTCOME_MASTER_KEY_FILE", &self.key_file)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.binary.display()))?;
        node.child = Some(child);
        Ok(())
    }

    /// Kills a node without warning (SIGKILL); answers whether it was running.
    pub fn kill(&mut self, at: usize) -> anyhow::Result<bool> {
        let node = self.nodes.get_mut(at).context("no such node")?;
        let Some(mut child) = node.child.take() else { return Ok(false) };
        let was_running = child.try_wait()?.is_none();
        child.kill()?;
        child.wait()?;
        Ok(was_running)
    }

    /// Names the nodes that ended by themselves, with how.
    pub fn fallen(&mut self) -> anyhow::Result<Vec<String>> {
        let mut fallen = Vec::new();
        for node in &mut self.nodes {
            if let Some(child) = &mut node.child
                && let Some(status) = child.try_wait()?
            {
                fallen.push(format!(
                    "{} ended with {status}; see {}",
                    node.name,
                    node.log.display()
                ));
            }
        }
        Ok(fallen)
    }

    /// Asks every node to stop (SIGTERM), and waits for it.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        for node in &mut self.nodes {
            let Some(mut child) = node.child.take() else { continue };
            let signaled = Command::new("kill").arg(child.id().to_string()).status();
            let until = Instant::now() + Duration::from_secs(20);
            while signaled.is_ok() && child.try_wait()?.is_none() && Instant::now() < until {
                thread::sleep(LOOK_EVERY);
            }
            if child.try_wait()?.is_none() {
                child.kill()?;
                child.wait()?;
                bail!("{} did not stop within 20 s of SIGTERM", node.name);
            }
        }
        Ok(())
    }

    /// Waits until every node says that it is ready; answers how long that took.
    pub fn wait_ready(&mut self, limit: Duration) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let mut client = Client::new(Duration::from_secs(1));
        let request = Request::get("/readyz", "");
        let addresses: Vec<SocketAddr> = self.nodes.iter().map(|node| node.api).collect();
        for api in addresses {
            let is_ready = |answer: Result<Response, _>| answer.is_ok_and(|a| a.status == 200);
            while !is_ready(client.send(api, &request)) {
                let fallen = self.fallen()?;
                ensure!(fallen.is_empty(), "{}", fallen.join("; "));
                ensure!(started.elapsed() < limit, "{api} is not ready after {limit:?}");
                thread::sleep(LOOK_EVERY);
            }
        }
        Ok(started.elapsed())
    }

    /// The place of the leader in the list of nodes, if one is known.
    pub fn leader(&self, token: &str) -> Option<usize> {
        let mut client = Client::new(Duration::from_millis(500));
        let request = Request::get("/v1/cluster?consistency=local", token);
        self.nodes.iter().filter(|node| node.child.is_some()).find_map(|node| {
            let body = client.send(node.api, &request).ok()?.body?;
            let leader = body.get("leader").and_then(Value::as_str)?;
            self.nodes.iter().position(|node| node.name == leader)
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut child) = node.child.take() {
                // Nothing is left to tell it to; the process is ours and ends here.
                _ = child.kill();
                _ = child.wait();
            }
        }
    }
}

/// Ports that were free a moment ago: bound at 0, read back, released together.
fn free_ports(count: usize) -> anyhow::Result<Vec<SocketAddr>> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    Ok(listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?)
}
