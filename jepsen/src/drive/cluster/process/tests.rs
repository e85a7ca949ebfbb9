//! A shell script plays the product: these tests are about its process.

use super::*;
use crate::drive::cluster::network::Direct;

/// How long a signal may take.
const LIMIT: Duration = Duration::from_secs(20);

/// One node of a product whose `serve` runs this script.
pub(crate) fn scripted(serve: &str, silent: bool) -> (tempfile::TempDir, Cluster) {
    let dir = tempfile::tempdir().unwrap();
    let binary = dir.path().join("product");
    let script = format!("#!/bin/sh\ncase $1 in --version) echo 1+fault;; serve) {serve};; esac\n");
    // A shell writes the file. If this process had it open, even in a child that another test is
    // just forking, it could not be executed.
    let write = r#"printf %s "$1" > "$0" && chmod 755 "$0""#;
    let written = Command::new("sh").args(["-c", write]).arg(&binary).arg(script).status();
    assert!(written.unwrap().success());
    let parts = ClusterConfig {
        binary,
        previous: None,
        founders: 1,
        settings: Vec::new(),
        environment: Vec::new(),
        network: Box::new(Direct::new(1).unwrap()),
        small_disks: false,
        silent,
    };
    let cluster = Cluster::prepare(parts, dir.path()).unwrap();
    (dir, cluster)
}

#[track_caller]
fn until(mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain");
        thread::yield_now();
    }
}

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn a_frozen_node_stands_still_and_a_killed_one_is_gone() {
    let (_dir, mut cluster) = scripted("exec sleep 600", false);
    assert!(cluster.is_fault_build);
    cluster.start(0).unwrap();
    assert!(cluster.is_running(0).unwrap() && !cluster.is_frozen(0).unwrap());
    cluster.freeze(0, true).unwrap();
    until(|| cluster.is_frozen(0).unwrap());
    cluster.freeze(0, false).unwrap();
    until(|| !cluster.is_frozen(0).unwrap());
    let pid = cluster.nodes[0].pid().unwrap();
    cluster.kill(0).unwrap();
    assert!(!cluster.is_running(0).unwrap() && !is_alive(pid));
    assert!(cluster.take_exited().unwrap().is_empty(), "it did not end by itself");
}

#[test]
fn a_silent_cluster_breaks_nothing() {
    let (_dir, mut cluster) = scripted("exec sleep 600", true);
    cluster.start(0).unwrap();
    let pid = cluster.nodes[0].pid().unwrap();
    cluster.kill(0).unwrap();
    cluster.freeze(0, true).unwrap();
    assert_eq!(cluster.terminate(0).unwrap(), None);
    assert!(cluster.is_running(0).unwrap() && !cluster.is_frozen(0).unwrap());
    assert_eq!(cluster.nodes[0].pid(), Some(pid));
}

#[test]
fn dropping_a_cluster_ends_its_nodes_also_frozen_ones() {
    let (_dir, mut cluster) = scripted("exec sleep 600", false);
    cluster.start(0).unwrap();
    let pid = cluster.nodes[0].pid().unwrap();
    cluster.freeze(0, true).unwrap();
    until(|| cluster.is_frozen(0).unwrap());
    drop(cluster);
    assert!(!is_alive(pid));
}

#[test]
fn a_node_that_ends_by_itself_is_noticed_once_with_its_code() {
    let (_dir, mut cluster) = scripted("exit 65", false);
    cluster.start(0).unwrap();
    let mut take_exited = Vec::new();
    until(|| {
        take_exited = cluster.take_exited().unwrap();
        !take_exited.is_empty()
    });
    assert_eq!(take_exited, [(0, 65)]);
    assert!(cluster.take_exited().unwrap().is_empty());
}

#[test]
fn a_node_that_ended_before_it_was_killed_is_noticed_too() {
    let (_dir, mut cluster) = scripted("exit 65", false);
    cluster.start(0).unwrap();
    until(|| !cluster.is_running(0).unwrap());
    cluster.kill(0).unwrap();
    assert_eq!(cluster.take_exited().unwrap(), [(0, 65)]);
    assert!(cluster.take_exited().unwrap().is_empty());
}

#[test]
fn a_wiped_node_may_not_found_a_cluster_again() {
    let (_dir, mut cluster) = scripted("exec sleep 600", false);
    cluster.start(0).unwrap();
    assert!(cluster.wipe(0).is_err(), "files of a running node are not touched");
    cluster.force_kill(0).unwrap();
    fs::write(cluster.nodes[0].data_dir.join("log"), "x").unwrap();
    cluster.wipe(0).unwrap();
    assert!(!cluster.nodes[0].bootstrap && !cluster.nodes[0].data_dir.join("log").exists());
}
