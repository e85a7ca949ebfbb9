//! A cluster of three real nodes on loopback, for tests that pause, kill and restart nodes.

use std::fs::{File, OpenOptions};
use std::hash::{BuildHasher as _, RandomState};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::{Request, Response};
use crate::process::{OWN, Running, code, program, run, stderr, stdout};

/// Longest wait for a node to become ready, or for the effect of a fault, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
/// Pause between two checks of a condition.
const POLL_PAUSE: Duration = Duration::from_millis(25);
/// Below the kernel's range for outgoing connections, so that none of them can take a node's port
/// while the node is down.
const PORTS: std::ops::Range<u64> = 15_000..32_000;
const NODES: usize = 3;

pub(crate) struct Node {
    name: String,
    api: String,
    pub(crate) log: PathBuf,
    /// What it runs from its next start on.
    pub(crate) program: String,
    /// More arguments for `serve`.
    pub(crate) extra: Vec<String>,
    /// Its master key, from its next start on.
    pub(crate) key_file: String,
    pub(crate) process: Option<Running>,
}

/// A cluster whose processes live as long as this value.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    /// An admin token.
    pub(crate) admin: String,
    directory: tempfile::TempDir,
}

/// Polls until there is a value; fails the test after [`PATIENCE`].
pub(crate) fn until<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = poll() {
            return seen;
        }
        assert!(Instant::now() < deadline, "did not happen within {PATIENCE:?}: {what}");
        std::thread::sleep(POLL_PAUSE);
    }
}

/// Whether every thread of a process is stopped: state `T` in `/proc/PID/task/TID/stat`.
fn is_stopped(id: &str) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{id}/task")).expect("a process");
    tasks.flatten().all(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    })
}

impl Cluster {
    /// Starts three nodes with empty directories, and waits until all are ready. `extra` has more
    /// arguments for single nodes, counted from 0.
    pub(crate) fn start(extra: &[(usize, &[&str])]) -> Self {
        Self::start_programs([OWN; NODES], extra)
    }

    /// The same, with a program for each node.
    pub(crate) fn start_programs(programs: [&str; NODES], extra: &[(usize, &[&str])]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let made = run(directory.path(), &["keys", "init", "master.key"]);
        assert_eq!(code(&made), 0, "{}", stderr(&made));
        let ports = free_ports(NODES * 2);
        let mut entries = Vec::new();
        let mut nodes = Vec::new();
        for (at, (pair, program)) in ports.chunks_exact(2).zip(programs).enumerate() {
            let (name, api) = (format!("n{}", at + 1), format!("127.0.0.1:{}", pair[0]));
            let peer = format!("127.0.0.1:{}", pair[1]);
            entries.push(format!(r#"{{ name = "{name}", api = "{api}", peer = "{peer}" }}"#));
            let own = extra.iter().filter(|(of, _)| *of == at).flat_map(|(_, all)| all.iter());
            nodes.push(Node {
                log: directory.path().join(format!("{name}.log")),
                program: program.to_owned(),
                extra: own.map(|argument| (*argument).to_owned()).collect(),
                name,
                api,
                key_file: "master.key".to_owned(),
                process: None,
            });
        }
        let settings = format!("cluster.nodes = [\n  {},\n]\n", entries.join(",\n  "));
        std::fs::write(directory.path().join("cluster.toml"), settings).expect("the file");
        let admin = tokens(directory.path(), "admin", 1).remove(0);
        let mut cluster = Self { nodes, admin, directory };
        cluster.restart(&[0, 1, 2]);
        cluster
    }

    /// Restarts stopped nodes on their data directories, and waits until every running node is
    /// ready.
    pub(crate) fn restart(&mut self, at: &[usize]) {
        for at in at {
            self.spawn(*at);
        }
        for node in self.nodes.iter().filter(|node| node.process.is_some()) {
            let ready = || Request::get("/readyz").send(&node.api).is_ok_and(|a| a.status == 200);
            let log = || std::fs::read_to_string(&node.log).unwrap_or_default();
            let deadline = Instant::now() + PATIENCE;
            while !ready() {
                assert!(Instant::now() < deadline, "{} is not ready:\n{}", node.name, log());
                std::thread::sleep(POLL_PAUSE);
            }
        }
    }

    /// Starts a stopped node, and does not wait for it.
    pub(crate) fn spawn(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let log: File =
            OpenOptions::new().create(true).append(true).open(&node.log).expect("a log");
        let arguments = ["serve", "--config", "cluster.toml"];
        let mut serve = program(&node.program, self.directory.path(), &arguments);
        let child = serve
            .env("FIRSTCOME_MASTER_KEY_FILE", &node.key_file)
            .args(["--bootstrap", "--stop-with-parent", "--node", &node.name])
            .args(&node.extra)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program starts");
        node.process = Some(Running(child));
    }

    /// Where the nodes run.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The REST address of a node.
    pub(crate) fn api(&self, at: usize) -> &str {
        &self.nodes[at].api
    }

    /// The name of a node.
    pub(crate) fn name(&self, at: usize) -> &str {
        &self.nodes[at].name
    }

    /// Index of the leader according to node `at`.
    pub(crate) fn leader_seen_by(&self, at: usize) -> Option<usize> {
        let ask = Request::get("/v1/cluster?consistency=local").by(&self.admin);
        let seen = ask.send(self.api(at)).ok()?;
        self.nodes.iter().position(|node| node.name == seen.text("leader"))
    }

    /// Waits until all nodes agree on a leader; returns its index.
    pub(crate) fn leader(&self) -> usize {
        until("all nodes agree on a leader", || {
            let seen: Vec<_> = (0..NODES).map(|at| self.leader_seen_by(at)).collect();
            seen[0].filter(|_| seen.iter().all(|leader| *leader == seen[0]))
        })
    }

    /// The leader and the term according to each node.
    pub(crate) fn terms(&self) -> Vec<(String, u64)> {
        let terms = (0..NODES).map(|at| {
            let ask = Request::get("/v1/cluster?consistency=local").by(&self.admin);
            let seen = ask.send(self.api(at)).expect("an answer");
            (seen.text("leader").to_owned(), seen.body["term"].as_u64().expect("a term"))
        });
        terms.collect()
    }

    /// Sends a signal to several nodes at the same time.
    pub(crate) fn signal(&self, name: &str, at: &[usize]) {
        let ids = at.iter().filter_map(|at| self.nodes[*at].process.as_ref());
        let ids: Vec<String> = ids.map(|process| process.0.id().to_string()).collect();
        assert_eq!(ids.len(), at.len(), "not all of these nodes are running");
        let sent = Command::new("kill").arg(format!("-{name}")).args(&ids).status();
        assert!(sent.expect("kill runs").success(), "SIG{name} to {at:?}");
        if name == "STOP" {
            // `kill` returns before the signal takes effect: a thread on another core may still be
            // running.
            until("all threads have stopped", || ids.iter().all(|id| is_stopped(id)).then_some(()));
        }
    }

    /// Kills several nodes at the same time with SIGKILL.
    pub(crate) fn kill(&mut self, at: &[usize]) {
        self.signal("KILL", at);
        self.reap(at);
    }

    /// Waits until killed nodes have exited.
    pub(crate) fn reap(&mut self, at: &[usize]) {
        for at in at {
            drop(self.nodes[*at].process.take());
        }
    }

    /// Tokens of new customers.
    pub(crate) fn customers(&self, count: usize) -> Vec<String> {
        tokens(self.directory.path(), "customer", count)
    }

    /// Creates a product and a sale of it; returns the sale's id.
    pub(crate) fn sale(&self, units: u64, opens_at: &str) -> String {
        let product = json!({
            "name": "Lamp", "no_shipping": true, "stock": units,
            "price": {"amount": 15000, "currency": "KRW"},
        });
        let product = self.create("/v1/admin/products", "setup-products", &product);
        let sale = json!({
            "product_id": product["id"], "title": "Spring", "units": units,
            "opens_at": opens_at, "per_customer_limit": 10,
        });
        let sale = self.create("/v1/admin/sales", "setup-sales", &sale);
        sale["id"].as_str().expect("an id").to_owned()
    }

    /// Creates something as staff, with this idempotency key; returns it.
    pub(crate) fn create(&self, path: &str, key: &str, body: &Value) -> Value {
        let body = body.to_string();
        let ask = Request::post(path, &body).by(&self.admin).key(key);
        let answer = until("the request of staff is answered", || {
            ask.send(self.api(0)).ok().filter(|answer| answer.status < 500)
        });
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.body
    }

    /// The stock of a sale, read through node `at`.
    pub(crate) fn stock(&self, at: usize, sale: &str) -> Response {
        let path = format!("/v1/sales/{sale}/stock");
        Request::get(&path).send(self.api(at)).expect("an answer")
    }

    /// State hashes of all nodes at the same revision.
    pub(crate) fn hashes(&self) -> Vec<String> {
        until("every node reports its hash", || {
            let ask = Request::get("/v1/cluster/hash").by(&self.admin);
            let answer = ask.send(self.api(0)).ok()?;
            let nodes = answer.body["nodes"].as_array()?.iter();
            let hashes = nodes.map(|node| node["hash"].as_str().map(ToOwned::to_owned));
            hashes.collect::<Option<Vec<_>>>().filter(|hashes| hashes.len() == NODES)
        })
    }
}

/// The request body of an order for one unit.
pub(crate) fn one_unit(sale: &str) -> String {
    json!({"lines": [{"sale_id": sale, "quantity": 1}]}).to_string()
}

fn tokens(directory: &Path, role: &str, count: usize) -> Vec<String> {
    let count = count.to_string();
    let made =
        run(directory, &["token", "--role", role, "--count", &count, "--key-file", "master.key"]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    stdout(&made).lines().map(ToOwned::to_owned).collect()
}

/// Free ports.
fn free_ports(count: usize) -> Vec<u16> {
    // Kept bound until all are found, so that none is found twice.
    let mut held = Vec::new();
    let random = RandomState::new();
    for attempt in 0..1000_u32 {
        if held.len() == count {
            break;
        }
        let offset = random.hash_one(attempt) % (PORTS.end - PORTS.start);
        let port = u16::try_from(PORTS.start + offset).expect("below 65536");
        held.extend(TcpListener::bind(("127.0.0.1", port)).ok().map(|listener| (port, listener)));
    }
    assert_eq!(held.len(), count, "no free ports on 127.0.0.1");
    held.into_iter().map(|(port, _)| port).collect()
}
