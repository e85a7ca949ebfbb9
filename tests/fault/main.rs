//! A fault build from outside: `cargo test -p firstcome --features fault --test fault`.

mod markers;
#[path = "../cli/process.rs"]
mod process;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::markers::{MARKERS, text_of};
use crate::process::{Running, code, firstcome, run, stderr, stdout};

/// How long a node may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_fault_binary_says_so_and_holds_every_marker() {
    let text = text_of(env!("CARGO_BIN_EXE_firstcome"));
    for marker in MARKERS {
        assert!(text.contains(marker), "{marker:?} would be looked for in vain");
    }
    let here = tempfile::tempdir().expect("a directory");
    let version = stdout(&run(here.path(), &["--version"]));
    assert!(version.contains("+fault ("), "{version}");
}

#[test]
fn a_fault_binary_does_not_serve_without_its_socket() {
    let here = tempfile::tempdir().expect("a directory");
    let ended = run(here.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(code(&ended), 64, "{}", stderr(&ended));
    assert!(stderr(&ended).contains("FIRSTCOME_FAULT_SOCKET=PATH"), "{}", stderr(&ended));
    assert!(!here.path().join("data").exists(), "it touched nothing");
}

#[test]
fn an_unknown_bug_ends_the_program() {
    let here = tempfile::tempdir().expect("a directory");
    let mut command = firstcome(here.path(), &["inspect", "check"]);
    let ended = command.env("FIRSTCOME_FAULT_BUG", "no_receipt,no_such").output();
    let ended = ended.expect("the program starts");
    assert_eq!(code(&ended), 64, "{}", stderr(&ended));
    assert!(stderr(&ended).contains("oversell_off_by_one"), "{}", stderr(&ended));
}

/// A node and its control socket.
struct Broken {
    running: Running,
    control: (UnixStream, BufReader<UnixStream>),
    serving: String,
}

impl Broken {
    fn start(here: &Path) -> Self {
        let socket = here.join("control");
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--set", "log.format=json"];
        let mut command = firstcome(here, &arguments);
        command.env("FIRSTCOME_FAULT_SOCKET", &socket).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut log = BufReader::new(child.stderr.take().expect("its log")).lines();
        let running = Running(child);
        let serving = log.by_ref().map_while(Result::ok).find_map(|line| {
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            (event["msg"] == "serving").then(|| event["address"].as_str().map(str::to_owned))?
        });
        std::thread::spawn(move || log.for_each(drop));
        let mode = fs::metadata(&socket).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let stream = UnixStream::connect(&socket).expect("it listens");
        let reader = BufReader::new(stream.try_clone().expect("a second handle"));
        let serving = format!("http://{}", serving.expect("the node serves"));
        Self { running, control: (stream, reader), serving }
    }

    fn ask(&mut self, request: &Value) -> Value {
        self.answer(request).expect("the node lives")
    }

    /// Asks for what ends the node at its next write. A node writes by itself too, so it may be
    /// gone before it answers.
    fn doom(&mut self, request: &Value) {
        let error = self.answer(request).map(|answer| answer["error"].clone());
        assert!(error.is_none_or(|error| error.is_null()), "{request} was refused");
    }

    fn answer(&mut self, request: &Value) -> Option<Value> {
        writeln!(self.control.0, "{request}").expect("it reads");
        let mut line = String::new();
        let read = self.control.1.read_line(&mut line).unwrap_or(0);
        (read > 0).then(|| serde_json::from_str(&line).expect("a whole answer"))
    }

    fn create_product(&self, here: &Path, name: &str) -> Output {
        let mut arguments = vec!["--json", "product", "create", "--name", name];
        arguments.extend(["--price", "1KRW", "--stock", "5", "--no-shipping"]);
        arguments.extend(["--url", &self.serving]);
        run(here, &arguments)
    }

    /// Waits for the process to end by itself.
    fn ended(mut self) -> Option<i32> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.running.0.try_wait().expect("a child") {
                return status.code();
            }
            std::thread::yield_now();
        }
        panic!("the node did not end");
    }
}

/// SIGKILL loses what was not synced, and nothing that was acknowledged.
#[test]
fn an_acknowledged_write_survives_the_power() {
    let here = tempfile::tempdir().expect("a directory");
    let mut made: Vec<String> = Vec::new();
    for life in 0..4 {
        let mut node = Broken::start(here.path());
        assert_eq!(node.ask(&json!({"do": "status"}))["build"], "fault");
        for id in &made {
            let shown = run(here.path(), &["product", "show", id, "--url", &node.serving]);
            assert_eq!(code(&shown), 0, "life {life}: {}", stderr(&shown));
        }
        let created = node.create_product(here.path(), &format!("Lamp {life}"));
        assert_eq!(code(&created), 0, "life {life}: {}", stderr(&created));
        let created: Value = serde_json::from_str(&stdout(&created)).expect("JSON");
        made.push(created["id"].as_str().expect("an id").to_owned());
        drop(node); // Kills it.
    }
}

#[test]
fn a_failpoint_ends_the_node_with_the_code_of_a_bug() {
    let here = tempfile::tempdir().expect("a directory");
    let mut node = Broken::start(here.path());
    let point = json!({"do": "failpoint", "name": "log_append_after", "action": "panic"});
    node.doom(&point);
    assert_ne!(code(&node.create_product(here.path(), "Lamp")), 0);
    assert_eq!(node.ended(), Some(70));
}

#[test]
fn a_failing_disk_ends_the_node_with_the_code_of_the_disk() {
    let here = tempfile::tempdir().expect("a directory");
    let mut node = Broken::start(here.path());
    let fault = json!({"do": "disk", "action": "enospc", "file": "log"});
    node.doom(&fault);
    assert_ne!(code(&node.create_product(here.path(), "Lamp")), 0);
    assert_eq!(node.ended(), Some(74));
}

#[test]
fn triggers_and_clock_are_obeyed() {
    let here = tempfile::tempdir().expect("a directory");
    let mut node = Broken::start(here.path());
    assert_eq!(code(&node.create_product(here.path(), "Lamp")), 0);
    assert!(node.ask(&json!({"do": "snapshot"}))["error"].is_null());
    assert!(node.ask(&json!({"do": "elect"}))["error"].is_null());
    let off = node.ask(&json!({"do": "clock", "offset_ms": 60_000}));
    assert_eq!(off["offset_ms"], 60_000);
    let armed = node.ask(&json!({"do": "bug", "name": "no_receipt", "on": true}));
    assert_eq!(armed["bugs"], json!(["no_receipt"]));
    assert_eq!(code(&node.create_product(here.path(), "Lamp")), 0);
    assert!(node.ask(&json!({"do": "status"}))["fired"]["bugs"]["no_receipt"].as_u64() > Some(0));
}
