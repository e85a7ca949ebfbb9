//! Help, usage errors, keys and tokens: everything that works without a node.

use std::os::unix::fs::PermissionsExt as _;

use crate::process::{code, run, stderr, stdout};

const COMMANDS: [&str; 14] = [
    "serve",
    "keys",
    "token",
    "product",
    "sale",
    "order",
    "wishlist",
    "address",
    "settings",
    "cluster",
    "inspect",
    "demo",
    "bench",
    "completions",
];

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let here = tempfile::tempdir().expect("a directory");
    let help = run(here.path(), &["--help"]);
    assert_eq!(code(&help), 0);
    let text = stdout(&help);
    for command in COMMANDS {
        assert!(text.contains(&format!("\n  {command} ")), "{command} is missing:\n{text}");
    }
    assert!(text.contains("Exit codes: 0 success"), "{text}");
}

#[test]
fn help_of_each_command_shows_examples() {
    let here = tempfile::tempdir().expect("a directory");
    for command in COMMANDS {
        let help = run(here.path(), &[command, "--help"]);
        assert_eq!(code(&help), 0, "{command}");
        let text = stdout(&help);
        assert!(text.contains("Examples:\n  firstcome "), "{command}:\n{text}");
        assert!(text.contains("--json"), "{command}:\n{text}");
    }
}

#[test]
fn help_does_not_show_internal_arguments() {
    let here = tempfile::tempdir().expect("a directory");
    let text = stdout(&run(here.path(), &["serve", "--help"]));
    for hidden in ["bench-routes", "clock-offset", "stop-with-parent"] {
        assert!(!text.contains(hidden), "{hidden}:\n{text}");
    }
}

#[test]
fn version_names_the_build() {
    let here = tempfile::tempdir().expect("a directory");
    let text = stdout(&run(here.path(), &["--version"]));
    assert!(text.starts_with(&format!("firstcome {} (", env!("CARGO_PKG_VERSION"))), "{text}");
}

#[test]
fn usage_errors_exit_with_64() {
    let here = tempfile::tempdir().expect("a directory");
    for arguments in [
        &["frobnicate"][..],
        &[],
        &["token"],
        &["token", "--role", "emperor"],
        &["serve", "--node", "n1"],
        &["demo", "--units", "0"],
        &["product", "create", "--name", "x", "--price", "free"],
        &["product", "list", "--url", "https://example.com"],
        &["wishlist", "set"],
        &["wishlist", "set", "sal_1", "--quantity", "many"],
        &["address", "add", "--recipient", "Kim", "--phone", "01012345678"],
        &["address", "default"],
        &["order", "create", "--sale", "sal_1", "--address", "{}", "--address-id", "adr_1"],
        &["keys", "activate"],
        &["keys", "retire", "first"],
        &["settings", "set"],
        &["settings", "set", "pay_within_seconds=soon"],
    ] {
        let output = run(here.path(), arguments);
        assert_eq!(code(&output), 64, "{arguments:?}: {}", stderr(&output));
        assert!(!output.stderr.is_empty(), "{arguments:?} prints no error");
    }
}

#[test]
fn completions_are_generated_for_each_shell() {
    let here = tempfile::tempdir().expect("a directory");
    for shell in ["bash", "zsh", "fish"] {
        let output = run(here.path(), &["completions", shell]);
        assert_eq!(code(&output), 0, "{shell}");
        assert!(stdout(&output).contains("transfer-leader"), "{shell}");
    }
}

#[test]
fn key_files_are_readable_by_their_owner_only_and_never_overwritten() {
    let here = tempfile::tempdir().expect("a directory");
    assert_eq!(code(&run(here.path(), &["keys", "init", "master.key"])), 0);
    let file = here.path().join("master.key");
    let first = std::fs::read_to_string(&file).expect("the key");
    let mode = std::fs::metadata(&file).expect("the key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(first.lines().any(|line| line.starts_with("1:")), "the key has no version:base64 line");

    let again = run(here.path(), &["keys", "init", "master.key"]);
    assert_eq!(code(&again), 1);
    assert!(stderr(&again).contains("not overwritten"), "{}", stderr(&again));
    assert_eq!(std::fs::read_to_string(&file).expect("the key"), first);
}

#[test]
fn a_version_is_added_to_a_key_file_and_tokens_are_signed_with_the_oldest() {
    let here = tempfile::tempdir().expect("a directory");
    assert_eq!(code(&run(here.path(), &["keys", "init", "k"])), 0);
    let file = here.path().join("k");
    let first = std::fs::read_to_string(&file).expect("the key");
    let added = run(here.path(), &["keys", "add", "k"]);
    assert_eq!(code(&added), 0, "{}", stderr(&added));
    assert!(stdout(&added).contains("firstcome keys activate 2"), "{}", stdout(&added));
    let both = std::fs::read_to_string(&file).expect("the key");
    let added = both.strip_prefix(&first).expect("the first lines stay");
    let version = added.lines().last().expect("a line");
    assert!(version.starts_with("2:") && added.ends_with('\n'), "one more version");
    let mode = std::fs::metadata(&file).expect("the key").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // The headers name the version, base64 of {"typ":...,"kid":"m1"}.
    let kid = |more: &[&str]| {
        let mut arguments = vec!["token", "--role", "admin", "--key-file", "k"];
        arguments.extend(more);
        let token = stdout(&run(here.path(), &arguments));
        token.split('.').next().expect("a header").to_owned()
    };
    assert_eq!(kid(&[]), kid(&["--key-version", "1"]));
    assert_ne!(kid(&[]), kid(&["--key-version", "2"]));
    let third =
        run(here.path(), &["token", "--role", "admin", "--key-file", "k", "--key-version", "3"]);
    assert_eq!(code(&third), 78);
    assert!(stderr(&third).contains("no version 3"), "{}", stderr(&third));
    assert_eq!(code(&run(here.path(), &["keys", "add", "nowhere"])), 78);
}

#[test]
fn a_token_is_the_only_output() {
    let here = tempfile::tempdir().expect("a directory");
    run(here.path(), &["keys", "init", "k"]);
    let one = stdout(&run(here.path(), &["token", "--role", "admin", "--key-file", "k"]));
    assert_eq!(one.lines().count(), 1, "{one}");
    assert!(!one.trim().contains(char::is_whitespace), "{one}");

    let many =
        run(here.path(), &["token", "--role", "customer", "--count", "50", "--key-file", "k"]);
    let lines: std::collections::BTreeSet<String> =
        stdout(&many).lines().map(ToOwned::to_owned).collect();
    assert_eq!(lines.len(), 50, "each line must be a token of another customer");
}

#[test]
fn a_token_needs_a_master_key() {
    let here = tempfile::tempdir().expect("a directory");
    let output = run(here.path(), &["token", "--role", "admin"]);
    assert_eq!(code(&output), 78);
    assert!(stderr(&output).contains("FIRSTCOME_MASTER_KEY_FILE"), "{}", stderr(&output));
}

#[test]
fn an_unreachable_node_is_reported_with_advice() {
    let here = tempfile::tempdir().expect("a directory");
    // Nothing listens on port 1.
    let output = run(here.path(), &["cluster", "status", "--url", "http://127.0.0.1:1"]);
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("firstcome serve"), "{}", stderr(&output));
}

#[test]
fn errors_are_json_with_the_json_flag() {
    let here = tempfile::tempdir().expect("a directory");
    let output = run(here.path(), &["--json", "cluster", "status", "--url", "http://127.0.0.1:1"]);
    let error: serde_json::Value = serde_json::from_str(&stderr(&output)).expect("JSON");
    assert_eq!(error.get("exit"), Some(&1.into()), "{error}");
}
