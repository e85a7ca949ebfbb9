//! Real nodes: start, stop, failures, and a small demo.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::process::{Running, code, firstcome, run, stderr, stdout};

const SERVE: &[&str] = &["serve", "--listen", "127.0.0.1:0", "--set", "log.format=json"];

/// Starts a development node on a free port and waits until it serves; returns its REST address.
pub(crate) fn development_node(directory: &Path) -> (Running, String) {
    let (running, address, _log) = serving(firstcome(directory, SERVE));
    (running, address)
}

/// Starts a node and waits until it serves; returns the process, its REST address and the rest of
/// its log.
pub(crate) fn serving(mut command: Command) -> (Running, String, JoinHandle<Vec<String>>) {
    let mut child = command.stderr(Stdio::piped()).spawn().expect("the program starts");
    let log = BufReader::new(child.stderr.take().expect("its log"));
    let running = Running(child);
    let mut lines = log.lines().map_while(Result::ok);
    let mut seen = Vec::new();
    while let Some(line) = lines.next() {
        let event: Value = serde_json::from_str(&line).unwrap_or_default();
        if event["msg"] == "serving" {
            let address = event["address"].as_str().expect("an address").to_owned();
            // Keeps reading, so that the node never blocks on a full pipe.
            return (running, address, std::thread::spawn(move || lines.collect()));
        }
        seen.push(line);
    }
    panic!("the node did not start:\n{}", seen.join("\n"));
}

/// Stops a node with SIGTERM; returns its exit code.
fn terminate(mut node: Running) -> i32 {
    let id = node.0.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &id]).status().expect("kill runs");
    assert!(sent.success());
    node.0.wait().expect("the node ends").code().unwrap_or(-1)
}

#[test]
fn a_development_node_keeps_its_orders_across_a_restart() {
    let here = tempfile::tempdir().expect("a directory");
    let (node, address) = development_node(here.path());
    let url = format!("http://{address}");
    let ask = |arguments: &[&str]| -> Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        all.extend(["--url", &url]);
        let output = run(here.path(), &all);
        assert_eq!(code(&output), 0, "{arguments:?}: {}{}", stdout(&output), stderr(&output));
        serde_json::from_str(&stdout(&output)).expect("JSON")
    };
    let product = ask(&[
        "product",
        "create",
        "--name",
        "Lamp",
        "--price",
        "15000KRW",
        "--stock",
        "5",
        "--no-shipping",
    ]);
    let product_id = product["id"].as_str().expect("an id");
    let sale =
        ask(&["sale", "create", "--product", product_id, "--title", "Spring", "--units", "1"]);
    let sale_id = sale["id"].as_str().expect("an id");
    let order = ask(&["order", "create", "--sale", sale_id]);
    assert_eq!(order["status"], "payment_pending");

    let late = run(here.path(), &["order", "create", "--sale", sale_id, "--url", &url]);
    assert_eq!(code(&late), 1, "{}", stdout(&late));
    assert!(stderr(&late).contains("(sold_out)"), "{}", stderr(&late));

    assert_eq!(terminate(node), 0);
    let (node, address) = development_node(here.path());
    let order_id = order["id"].as_str().expect("an id");
    let url = format!("http://{address}");
    let found = run(here.path(), &["order", "show", order_id, "--staff", "--url", &url]);
    assert_eq!(code(&found), 0, "{}", stderr(&found));
    let busy = run(here.path(), &["inspect", "check"]);
    assert_eq!(code(&busy), 75, "a running node must not be inspected: {}", stderr(&busy));
    assert_eq!(terminate(node), 0);
    for verb in ["hash", "log", "tables", "check"] {
        let looked = run(here.path(), &["inspect", verb, "--json"]);
        assert_eq!(code(&looked), 0, "{verb}: {}{}", stdout(&looked), stderr(&looked));
        for line in stdout(&looked).lines() {
            serde_json::from_str::<Value>(line).expect("JSON lines");
        }
    }
}

#[test]
fn a_wishlist_is_filled_shown_and_ordered() {
    let here = tempfile::tempdir().expect("a directory");
    let (node, address) = development_node(here.path());
    let url = format!("http://{address}");
    let ask = |arguments: &[&str]| -> Value {
        let output = run(here.path(), &[&["--json"], arguments, &["--url", &url]].concat());
        assert_eq!(code(&output), 0, "{arguments:?}: {}{}", stdout(&output), stderr(&output));
        serde_json::from_str(&stdout(&output)).expect("JSON")
    };
    let lamp =
        ["--name", "Lamp", "--price", "15000KRW", "--stock", "5", "--no-shipping"].as_slice();
    let product = ask(&[&["product", "create"], lamp].concat());
    let id = product["id"].as_str().expect("an id");
    let subject = ["--subject", "usr_00000000000000000000000001"];
    let wishlist = |arguments: &[&str]| ask(&[&["wishlist"], arguments, &subject].concat());

    assert_eq!(wishlist(&["set", id, "--quantity", "2"])["quantity"], 2);
    assert_eq!(wishlist(&["list"])["data"][0]["target_id"], id);
    wishlist(&["remove", id]);
    wishlist(&["set", id]);
    wishlist(&["clear"]);
    let empty = [&["wishlist", "order", "--url", &url], subject.as_slice()].concat();
    let empty = run(here.path(), &empty);
    assert_eq!(code(&empty), 1, "{}", stdout(&empty));
    assert!(stderr(&empty).contains("(wishlist_empty)"), "{}", stderr(&empty));
    wishlist(&["set", id, "--quantity", "3"]);
    let order = wishlist(&["order", "--key", "k"]);
    assert_eq!((&order["source"], &order["lines"][0]["quantity"]), (&"wishlist".into(), &3.into()));
    assert_eq!(wishlist(&["order", "--key", "k"]), order);
    assert_eq!(wishlist(&["list"])["data"], serde_json::json!([]));
    assert_eq!(terminate(node), 0);
}

#[test]
fn an_address_is_saved_changed_and_ordered_to() {
    let here = tempfile::tempdir().expect("a directory");
    let (node, address) = development_node(here.path());
    let url = format!("http://{address}");
    let ask = |arguments: &[&str]| -> Value {
        let output = run(here.path(), &[&["--json"], arguments, &["--url", &url]].concat());
        assert_eq!(code(&output), 0, "{arguments:?}: {}{}", stdout(&output), stderr(&output));
        serde_json::from_str(&stdout(&output)).expect("JSON")
    };
    let lamp = ["--name", "Lamp", "--price", "15000KRW", "--stock", "5"].as_slice();
    let product = ask(&[&["product", "create"], lamp].concat());
    let subject = ["--subject", "usr_00000000000000000000000001"];
    let own = |arguments: &[&str]| ask(&[arguments, &subject].concat());

    let kim = ["address", "add", "--recipient", "Kim", "--phone", "010-1234-5678"].as_slice();
    let home = own(&[kim, &["--line1", "Sejong-daero 110", "--label", "home"]].concat());
    assert_eq!((&home["is_default"], &home["country"]), (&true.into(), &"KR".into()));
    let abroad = [kim, &["--line1", "1 rue X", "--country", "FR", "--key", "k"]].concat();
    let office = own(&abroad);
    assert_eq!(own(&abroad), office, "a retry saves nothing");
    let [home, office] = [&home, &office].map(|address| address["id"].as_str().expect("an id"));
    let changed = own(&["address", "set", home, "--label", "", "--line2", "B1"]);
    assert_eq!((&changed["line2"], changed.get("label")), (&"B1".into(), None));
    own(&["address", "default", office]);
    let shown = own(&["address", "list"]);
    let row = |at: usize| (&shown["data"][at]["id"], &shown["data"][at]["is_default"]);
    assert_eq!(row(0), (&office.into(), &true.into()));
    assert_eq!(row(1), (&home.into(), &false.into()));

    let id = product["id"].as_str().expect("an id");
    let order = own(&["order", "create", "--product", id, "--address-id", home]);
    own(&["address", "remove", office]);
    assert_eq!(own(&["address", "show", home])["is_default"], true);
    let order = own(&["order", "show", order["id"].as_str().expect("an id")]);
    assert_eq!(order["address"]["line2"], "B1");
    own(&["wishlist", "set", id]);
    own(&["wishlist", "order", "--address-id", home]);
    let list = [&["address", "list", "--url", &url], subject.as_slice()].concat();
    let text = stdout(&run(here.path(), &list));
    assert!(text.contains("RECIPIENT") && text.contains("Kim"), "{text}");
    assert_eq!(terminate(node), 0);
}

#[test]
fn settings_are_shown_and_changed() {
    let here = tempfile::tempdir().expect("a directory");
    let (node, address) = development_node(here.path());
    let url = format!("http://{address}");
    let ask = |arguments: &[&str]| {
        let output =
            run(here.path(), &[&["--json", "settings", "--url", &url], arguments].concat());
        let settings = serde_json::from_str(&stdout(&output)).unwrap_or(Value::Null);
        (code(&output), settings, format!("{}{}", stdout(&output), stderr(&output)))
    };
    let (ended, before, message) = ask(&["show"]);
    assert_eq!((ended, &before["pay_within_seconds"]), (0, &900.into()), "{message}");
    let (ended, after, message) =
        ask(&["set", "pay_within_seconds=600", "ship_after_seconds=null"]);
    assert_eq!((ended, &after["pay_within_seconds"]), (0, &600.into()), "{message}");
    assert_eq!(after["ship_after_seconds"], Value::Null);
    assert_eq!(after["max_pending_orders"], before["max_pending_orders"]);
    for (change, why) in [("pay_within_seconds=1", "out_of_range"), ("colour=1", "colour")] {
        let (ended, _, message) = ask(&["set", change]);
        assert_eq!(ended, 1, "{message}");
        assert!(message.contains(why), "{message}");
    }
    assert_eq!(ask(&["show"]).1, after);
    assert_eq!(terminate(node), 0);
}

/// Story: when the log could not be written, the node exited with 70, which means a bug, and so
/// pointed the operator to the wrong cause.
#[test]
fn a_log_that_cannot_be_written_exits_with_74() {
    let here = tempfile::tempdir().expect("a directory");
    // Makes a write beyond the size limit below an error instead of a signal. Only the log is
    // written: the next checkpoint is an hour away.
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""]);
    let node = firstcome(here.path(), SERVE);
    command.arg(node.get_program()).args(node.get_args()).current_dir(here.path());
    command.args(["--set", "storage.checkpoint_interval=1h"]).stdin(Stdio::null());
    for (name, value) in node.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let (mut node, address, log) = serving(command);
    let id = node.0.id().to_string();
    let limited = Command::new("prlimit").args(["--pid", &id, "--fsize=1"]).status();
    assert!(limited.expect("prlimit runs").success());
    let url = format!("http://{address}");
    let product =
        ["product", "create", "--name", "Lamp", "--price", "1KRW", "--stock", "5", "--url", &url];
    let refused = run(here.path(), &product);
    assert_ne!(code(&refused), 0, "acknowledged without a log entry: {}", stdout(&refused));
    let ended = node.0.wait().expect("the node ends").code();
    let log = log.join().expect("its log").join("\n");
    assert_eq!(ended, Some(74), "{log}");
    assert!(log.contains("node failed: ") && log.contains("/log.0"), "{log}");
}

#[test]
fn a_port_in_use_exits_with_75_and_leaves_no_files() {
    let here = tempfile::tempdir().expect("a directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    let output = run(here.path(), &["serve", "--listen", &address.to_string()]);
    assert_eq!(code(&output), 75, "{}", stderr(&output));
    assert!(stderr(&output).contains(&format!("port {}", address.port())), "{}", stderr(&output));
    assert!(!here.path().join("data").exists());
}

#[test]
fn a_corrupt_directory_exits_with_65() {
    let here = tempfile::tempdir().expect("a directory");
    let (node, _) = development_node(here.path());
    assert_eq!(terminate(node), 0);
    std::fs::write(here.path().join("data/state.redb"), b"").expect("the file");
    let output = run(here.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(code(&output), 65, "{}", stderr(&output));
    assert!(stderr(&output).contains("keep the data directory as evidence"), "{}", stderr(&output));
}

#[test]
fn the_directory_of_another_node_exits_with_76() {
    let here = tempfile::tempdir().expect("a directory");
    let (node, _) = development_node(here.path());
    assert_eq!(terminate(node), 0);
    let file = here.path().join("data/node.json");
    let text = std::fs::read_to_string(&file).expect("node.json");
    let mut identity: Value = serde_json::from_str(&text).expect("JSON");
    identity["cluster_uuid"] = "00000000-0000-4000-8000-000000000000".into();
    std::fs::write(&file, identity.to_string()).expect("node.json");
    let output = run(here.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(code(&output), 76, "{}", stderr(&output));
}

#[test]
fn a_directory_in_use_exits_with_75() {
    let here = tempfile::tempdir().expect("a directory");
    let (_node, _) = development_node(here.path());
    let output = run(here.path(), &["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(code(&output), 75, "{}", stderr(&output));
}

#[test]
fn the_demo_sells_out_without_a_violation() {
    let here = tempfile::tempdir().expect("a directory");
    let output = run(here.path(), &["demo", "--buyers", "60", "--units", "20", "--json"]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    let verdict: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(verdict["violations"], serde_json::json!([]));
    assert_eq!((&verdict["orders"], &verdict["hashes_equal"]), (&20.into(), &true.into()));
    assert!(verdict["leader_killed"].is_string(), "the leader was never killed: {verdict}");
}

/// Requests must not delay Raft, so the two have their own threads.
#[test]
fn raft_and_the_api_run_on_threads_of_their_own() {
    let here = tempfile::tempdir().expect("a directory");
    let mut command = firstcome(here.path(), SERVE);
    command.args(["--set", "runtime.raft_workers=5", "--set", "runtime.api_workers=3"]);
    let (node, _address, _log) = serving(command);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", node.0.id())).expect("its threads");
    let names: Vec<String> = tasks
        .flatten()
        .map(|task| std::fs::read_to_string(task.path().join("comm")).unwrap_or_default())
        .collect();
    let count = |name: &str| names.iter().filter(|comm| comm.trim() == name).count();
    // A runtime names the threads for its blocking work alike.
    assert!(count("raft") >= 5, "{names:?}");
    assert!(count("api") >= 3, "{names:?}");
    assert_eq!(terminate(node), 0);
}
