//! cluster.toml, environment and --set: who wins, and how mistakes are told.

use std::path::Path;

use serde_json::Value;

use crate::process::{code, firstcome, run, stderr, stdout};

const EXAMPLE: &str = include_str!("../../cluster.toml");

/// The complaint about a file.
fn complaint(text: &str) -> String {
    let here = tempfile::tempdir().expect("a directory");
    std::fs::write(here.path().join("c.toml"), text).expect("the file");
    let output =
        run(here.path(), &["serve", "--config", "c.toml", "--node", "n1", "--print-config"]);
    assert_eq!(code(&output), 78, "{}", stderr(&output));
    stderr(&output)
}

/// Value and origin of one setting.
fn shown(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Vec<Value> {
    let mut all = vec!["serve", "--print-config", "--json"];
    all.extend(arguments);
    let mut command = firstcome(directory, &all);
    let output = command.envs(variables.iter().copied()).output().expect("the program starts");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let document: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    document["data"].as_array().expect("a list").clone()
}

fn setting(shown: &[Value], key: &str) -> (String, String) {
    let line = shown.iter().find(|line| line["key"] == key).expect(key);
    let text = |name: &str| line[name].as_str().expect("a text").to_owned();
    (text("value"), text("origin"))
}

#[test]
fn typing_error_names_line_and_the_nearest_key() {
    let text = complaint("cluster.name = \"x\"\n\n[raft]\nhartbeat = \"100ms\"\n");
    assert!(text.contains("c.toml:4: "), "{text}");
    assert!(text.contains("unknown key \"raft.hartbeat\""), "{text}");
    assert!(text.contains("did you mean \"raft.heartbeat\"?"), "{text}");
}

#[test]
fn wrong_values_name_their_line() {
    for (line, expected) in [
        ("raft = { heartbeat = \"soon\" }", "no duration"),
        ("raft.heartbeat = 100", "a duration in quotes"),
        ("raft.heartbeat = \"5ms\"", "smallest allowed, 10ms"),
        ("storage.state_cache = \"1KiB\"", "smallest allowed, 1MiB"),
        ("admission.queue = -1", "no whole number"),
        ("tls.insecure = \"yes\"", "true or false"),
        ("log.format = \"xml\"", "none of json, text"),
        ("cluster.nodes = 3", "is a list"),
        (
            "cluster.nodes = [ { name = \"a\", api = \"x\", pear = \"y\" } ]",
            "did you mean \"peer\"?",
        ),
        ("disk.low = \"2GiB\"", "no effect in this version"),
        ("network.limit = { frame = \"16MiB\" }", "no effect in this version"),
        ("[raft", "c.toml:3"),
    ] {
        let text = complaint(&format!("# One.\n# Two.\n{line}\n"));
        assert!(text.contains("c.toml:3: "), "{line}: {text}");
        assert!(text.contains(expected), "{line}: {text}");
    }
}

#[test]
fn later_layers_win_and_origins_are_told() {
    let here = tempfile::tempdir().expect("a directory");
    std::fs::write(here.path().join("c.toml"), EXAMPLE).expect("the file");
    let file = &["--config", "c.toml", "--node", "n1"][..];
    let variable = [("FIRSTCOME_RAFT__HEARTBEAT", "50ms")];

    let plain = shown(here.path(), &[], &[]);
    assert_eq!(setting(&plain, "raft.heartbeat"), ("\"100ms\"".to_owned(), "default".to_owned()));
    let from_file = shown(here.path(), file, &[]);
    let (_, origin) = setting(&from_file, "raft.heartbeat");
    assert!(origin.starts_with("c.toml:"), "{origin}");
    let (value, origin) = setting(&shown(here.path(), file, &variable), "raft.heartbeat");
    assert_eq!((value.as_str(), origin.as_str()), ("\"50ms\"", "FIRSTCOME_RAFT__HEARTBEAT"));
    let mut set = file.to_vec();
    set.extend(["--set", "raft.heartbeat=20ms"]);
    let (value, origin) = setting(&shown(here.path(), &set, &variable), "raft.heartbeat");
    assert_eq!((value.as_str(), origin.as_str()), ("\"20ms\"", "--set"));
}

#[test]
fn unknown_variables_and_assignments_are_refused() {
    let here = tempfile::tempdir().expect("a directory");
    let mut command = firstcome(here.path(), &["serve", "--print-config"]);
    let output = command.env("FIRSTCOME_RAFT__HARTBEAT", "1s").output().expect("starts");
    assert_eq!(code(&output), 78);
    assert!(stderr(&output).contains("FIRSTCOME_RAFT__HARTBEAT"), "{}", stderr(&output));
    for wrong in ["raft.hartbeat=1s", "raft.heartbeat", "raft.heartbeat=x"] {
        let output = run(here.path(), &["serve", "--print-config", "--set", wrong]);
        assert_eq!(code(&output), 78, "{wrong}");
        assert!(stderr(&output).contains(wrong), "{}", stderr(&output));
    }
}

#[test]
fn contradictions_are_refused() {
    let text = complaint("raft.election_min = \"900ms\"\n");
    assert!(text.contains("below raft.election_max"), "{text}");
    let text = complaint("raft.heartbeat = \"200ms\"\n");
    assert!(text.contains("420ms"), "{text}");
}

#[test]
fn addresses_beyond_loopback_need_to_be_said_aloud() {
    let node =
        "cluster.nodes = [{ name = \"n1\", api = \"10.0.0.1:1\", peer = \"127.0.0.1:2\" }]\n";
    let text = complaint(node);
    assert!(text.contains("10.0.0.1:1") && text.contains("tls.insecure"), "{text}");
    let here = tempfile::tempdir().expect("a directory");
    std::fs::write(here.path().join("c.toml"), format!("{node}tls.insecure = true\n")).expect("it");
    let arguments = ["serve", "--config", "c.toml", "--node", "n1", "--print-config"];
    assert_eq!(code(&run(here.path(), &arguments)), 0);
}

#[test]
fn example_equals_the_defaults_and_is_complete() {
    let here = tempfile::tempdir().expect("a directory");
    std::fs::write(here.path().join("c.toml"), EXAMPLE).expect("the file");
    let defaults = shown(here.path(), &[], &[]);
    let example = shown(here.path(), &["--config", "c.toml"], &[]);
    // The two layers differ in what a development node changes about itself.
    let own = ["node.name", "node.data_dir", "node.listen.api"];
    for line in &defaults {
        let key = line["key"].as_str().expect("a key");
        let (value, origin) = setting(&example, key);
        assert!(origin.starts_with("c.toml:"), "{key} is missing in cluster.toml");
        if own.contains(&key) {
            assert_eq!(value, "\"\"", "{key}");
        } else {
            assert_eq!(Some(value.as_str()), line["value"].as_str(), "{key}");
        }
    }
    let nodes = example.iter().filter(|line| line["key"] == "cluster.nodes").count();
    assert_eq!(nodes, 3);
}

#[test]
fn cluster_needs_a_shared_key_and_a_known_name() {
    let here = tempfile::tempdir().expect("a directory");
    std::fs::write(here.path().join("c.toml"), EXAMPLE).expect("the file");
    for (node, expected) in [
        (&["--node", "n1"][..], "firstcome keys init FILE"),
        (&["--node", "n9"], "it has: n1, n2, n3"),
        (&[], "pass --node NAME"),
    ] {
        let mut arguments = vec!["serve", "--config", "c.toml"];
        arguments.extend(node);
        let output = run(here.path(), &arguments);
        assert_eq!(code(&output), 78, "{node:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{node:?}: {}", stderr(&output));
    }
    assert!(!here.path().join("data").exists(), "a refused start leaves nothing behind");
}

#[test]
fn an_address_without_a_port_is_called_no_address() {
    let here = tempfile::tempdir().expect("a directory");
    let output = run(here.path(), &["serve", "--listen", "zzz", "--print-config"]);
    assert_eq!(code(&output), 78, "{}", stderr(&output));
    assert!(stderr(&output).contains("\"zzz\" is no address"), "{}", stderr(&output));
}
