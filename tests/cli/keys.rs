//! The master key of a cluster of real nodes: another key is refused, a new version is added under
//! load, and an old one is retired.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::cluster::{Cluster, one_unit, until};
use crate::http::Request;
use crate::process::{code, run, stderr, stdout};

/// Runs a `keys` verb against a node; its exit code and all it printed.
fn keys(cluster: &Cluster, key_file: &str, verb: &[&str]) -> (i32, String) {
    let url = format!("http://{}", cluster.api(0));
    let mut arguments = vec!["keys"];
    arguments.extend(verb);
    arguments.extend(["--url", &url, "--key-file", key_file]);
    let output = run(cluster.directory(), &arguments);
    (code(&output), stdout(&output) + &stderr(&output))
}

fn token(directory: &Path, role: &str, more: &[&str]) -> String {
    let mut arguments = vec!["token", "--role", role, "--key-file", "master.key"];
    arguments.extend(more);
    let output = run(directory, &arguments);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    stdout(&output).trim().to_owned()
}

fn status_of(cluster: &Cluster, at: usize, token: &str) -> u16 {
    let ask = Request::get("/v1/orders").by(token);
    ask.send(cluster.api(at)).expect("an answer").status
}

/// Writes a key file with the line of `master.key` that begins with `start`.
fn key_file_with(directory: &Path, name: &str, start: &str) {
    let all = std::fs::read_to_string(directory.join("master.key")).expect("the key");
    let line = all.lines().find(|line| line.starts_with(start)).expect("the version");
    let text = format!("{line}\n");
    let mut options = std::fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(directory.join(name))
        .expect("a file");
    file.write_all(text.as_bytes()).expect("the lines");
}

/// Ends a client when the test is over, also if it fails.
struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_node_with_another_key_stops_with_78() {
    let mut cluster = Cluster::start(&[]);
    let made = run(cluster.directory(), &["keys", "init", "other.key"]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    cluster.kill(&[2]);
    cluster.nodes[2].key_file = "other.key".to_owned();
    cluster.spawn(2);
    let ended = until("the node stops", || {
        let process = cluster.nodes[2].process.as_mut().expect("a process");
        process.0.try_wait().expect("its status")
    });
    let log = std::fs::read_to_string(&cluster.nodes[2].log).expect("a log");
    assert_eq!(ended.code(), Some(78), "{log}");
    let why = "it has version 1; version 1 is another key than the cluster's";
    assert!(log.contains(why), "{log}");

    cluster.reap(&[2]);
    cluster.nodes[2].key_file = "master.key".to_owned();
    cluster.restart(&[2]);
}

#[test]
fn key_rotation_overlap_no_401() {
    let mut cluster = Cluster::start(&[]);
    let sale = cluster.sale(100_000, "2026-01-01T00:00:00Z");
    let directory = cluster.directory().to_owned();
    let addresses: Vec<String> = (0..3).map(|at| cluster.api(at).to_owned()).collect();
    let buyers = cluster.customers(200);
    let first = Request::post("/v1/orders", &one_unit(&sale))
        .by(&buyers[0])
        .key("first")
        .send(&addresses[0]);
    let first = first.expect("an answer");
    assert_eq!(first.status, 201, "{first:?}");
    let (stop, answers) = (AtomicBool::new(false), AtomicUsize::new(0));

    std::thread::scope(|scope| {
        let (stop, answers, buyers, addresses, sale) =
            (&stop, &answers, &buyers, &addresses, &sale);
        let buying = scope.spawn(move || {
            let body = one_unit(sale);
            let mut seen = std::collections::BTreeMap::<u16, usize>::new();
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let (buyer, at) = (&buyers[number % buyers.len()], number % addresses.len());
                let key = format!("order-{number}");
                let ask = Request::post("/v1/orders", &body).by(buyer).key(&key);
                // A node that is being restarted gives no answer.
                let Ok(answer) = ask.send(&addresses[at]) else { continue };
                *seen.entry(answer.status).or_default() += 1;
                answers.fetch_add(1, Ordering::Relaxed);
            }
            seen
        });
        let stopping = StopAtEnd(stop);
        let more = || {
            let goal = answers.load(Ordering::Relaxed) + 60;
            until("the client gets answers", || {
                (answers.load(Ordering::Relaxed) >= goal).then_some(())
            });
        };
        more();
        let added = run(&directory, &["keys", "add", "master.key"]);
        assert_eq!(code(&added), 0, "{}", stderr(&added));
        for at in 0..3 {
            cluster.signal("TERM", &[at]);
            cluster.nodes[at].process.as_mut().expect("a process").0.wait().expect("its end");
            cluster.reap(&[at]);
            cluster.restart(&[at]);
            more();
            if at == 0 {
                until("the new version is known", || {
                    keys(&cluster, "master.key", &["status"]).1.contains("known").then_some(())
                });
                let (exit, text) = keys(&cluster, "master.key", &["activate", "2"]);
                assert_eq!(exit, 1, "{text}");
                assert!(text.contains("n2, n3"), "{text}");
            }
        }
        until("every node has reported the new version", || {
            let (_, text) = keys(&cluster, "master.key", &["status"]);
            text.lines()
                .any(|line| line.contains("known") && line.contains("n1,n2,n3"))
                .then_some(())
        });
        let (exit, text) = keys(&cluster, "master.key", &["activate", "2"]);
        assert_eq!((exit, text.as_str()), (0, "version 2 is active\n"));
        more();
        drop(stopping);
        let seen = buying.join().expect("the client");
        assert!(!seen.contains_key(&401) && !seen.contains_key(&500), "{seen:?}");
        assert!(seen.contains_key(&201), "{seen:?}");
    });

    let old = token(&directory, "customer", &[]);
    let new = token(&directory, "customer", &["--key-version", "2"]);
    for at in 0..3 {
        assert_eq!((status_of(&cluster, at, &old), status_of(&cluster, at, &new)), (200, 200));
    }
    let (exit, text) = keys(&cluster, "master.key", &["retire", "1"]);
    assert_eq!(exit, 1, "{text}");
    assert!(text.contains("key_version_in_use"), "{text}");

    // An hour later.
    cluster.kill(&[0, 1, 2]);
    for node in &mut cluster.nodes {
        node.extra.extend(["--clock-offset-ms".to_owned(), "3600000".to_owned()]);
    }
    cluster.restart(&[0, 1, 2]);
    key_file_with(&directory, "second.key", "2:");
    let retired = until("there is a leader to retire it", || {
        let (exit, text) = keys(&cluster, "second.key", &["retire", "1"]);
        (exit == 0).then_some(text)
    });
    assert!(retired.contains("version 1 is retired"), "{retired}");
    for at in 0..3 {
        until("the node follows", || (status_of(&cluster, at, &old) == 401).then_some(()));
        assert_eq!(status_of(&cluster, at, &new), 200);
    }

    // Nothing needs the old line any more, and a repeat is still the same request.
    cluster.kill(&[0, 1, 2]);
    for node in &mut cluster.nodes {
        node.key_file = "second.key".to_owned();
    }
    cluster.restart(&[0, 1, 2]);
    let subject = first.body["customer_id"].as_str().map(ToOwned::to_owned);
    let buyer = match &subject {
        Some(subject) => {
            token(&directory, "customer", &["--key-version", "2", "--subject", subject])
        }
        None => panic!("an order names its customer: {first:?}"),
    };
    let again = until("the repeat is answered", || {
        let ask = Request::post("/v1/orders", &one_unit(&sale))
            .by(&buyer)
            .key("first")
            .send(cluster.api(1));
        ask.ok()
            .filter(|answer| answer.status < 500)
            .map(|answer| (answer.status, answer.body["id"].clone()))
    });
    assert_eq!(again, (201, first.body["id"].clone()));
}
