//! cluster.toml, environment and --set: which layer wins, and how mistakes are reported.

use std::path::Path;

use serde_json::Value;

use crate::process::{code, firstcome, run, stderr, stdout};

const EXAMPLE: &str = include_str!("../../cluster.toml");

/// The error message about a settings file.
fn error_of(text: &str) -> String {
    let here = tempfile::tempdir().expect("a directory");
    std::fs::write(here.path().join("c.toml"), text).expect("the file");
    let output =
        run(here.path(), &["serve", "--config", "c.toml", "--node", "n1", "--print-config"]);
    assert_eq!(code(&output), 78, "{}", stderr(&output));
    stderr(&output)
}

/// All settings as `--print-config` shows them.
fn shown(directory: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Vec<Value> {
    let mut all = vec!["serve", "--print-config", "--json"];
    all.extend(arguments);
    let mut command = firstcome(directory, &all);
    let output = command.envs(variables.iter().copied()).output().expect("the program starts");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let document: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    document["data"].as_array().expect("a list").clone()
}

/// Value and origin of one setting.
fn setting(shown: &[Value], key: &str) -> (String, String) {
    let line = shown.iter().find(|line| line["key"] == key).expect(key);
    let text = |name: &str| line[name].as_str().expect("a string").to_owned();
    (text("value"), text("origin"))
}

#[test]
fn a_misspelt_key_is_reported_with_its_line_and_the_nearest_key() {
    let text = error_of("cluster.name = \"x\"\n\n[raft]\nhartbeat = \"100ms\"\n");
    assert!(text.contains("c.toml:4: "), "{text}");
    assert!(text.contains("unknown key \"raft.hartbeat\""), "{text}");
    assert!(text.contains("did you mean \"raft.heartbeat\"?"), "{text}");
}

#[test]
fn an_invalid_value_is_reported_with_its_line() {
    for (line, expected) in [
        ("raft = { heartbeat = \"soon\" }", "invalid duration \"soon\""),
        ("raft.heartbeat = 100", "a duration in quotes"),
        ("raft.heartbeat = \"5ms\"", "the minimum is 10ms"),
        ("storage.state_cache = \"1KiB\"", "the minimum is 1MiB"),
        ("raft.election_max = \"5\"", "invalid duration"),
        ("admission.queue = -1", "invalid number -1"),
        ("tls.insecure = \"yes\"", "true or false"),
        ("accounts.country = \"UK\"", "\"UK\" is not a country: use two capital letters"),
        ("accounts.country = \"kr\"", "\"kr\" is not a country"),
        ("accounts.country = 82", "a country in quotes"),
        ("mail.transport = \"post\"", "invalid value \"post\": use file or smtp"),
        ("mail.from = \"Shop\"", "use for example Shop <no-reply@shop.example>"),
        ("mail.from = 7", "a string in quotes"),
        ("mail.shop_name = \"a\\nb\"", "at most 60 characters"),
        ("mail.reset_url = \"https://shop.example/reset\"", "a URL with {token}"),
        ("mail.smtp.tls = \"opportunistic\"", "use starttls, implicit or none"),
        ("mail.smtp.port = \"25\"", "a whole number"),
        ("mail.smtp.timeout = \"0ms\"", "the minimum is 1ms"),
        ("mail.smtp.hots = \"x\"", "did you mean \"mail.smtp.host\"?"),
        ("log.format = \"xml\"", "use json or text"),
        ("cluster.nodes = 3", "must be a list"),
        (
            "cluster.nodes = [ { name = \"a\", api = \"x\", pear = \"y\" } ]",
            "did you mean \"peer\"?",
        ),
        ("disk.low = \"2GiB\"", "no effect in this version"),
        ("network.limit = { frame = \"16MiB\" }", "no effect in this version"),
        ("[raft", "c.toml:3"),
    ] {
        let text = error_of(&format!("# One.\n# Two.\n{line}\n"));
        assert!(text.contains("c.toml:3: "), "{line}: {text}");
        assert!(text.contains(expected), "{line}: {text}");
    }
}

/// An entry of `auth.issuers` that is right, with one key replaced or added.
fn issuer_with(key: &str, value: &str) -> String {
    let mut fields = vec![
        ("issuer", "\"https://shop.example\""),
        ("audience", "\"firstcome\""),
        ("algorithms", "[\"RS256\", \"ES256\"]"),
        ("jwks_file", "\"jwks.json\""),
    ];
    fields.retain(|(name, _)| *name != key);
    let mut fields: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    if !value.is_empty() {
        fields.push(format!("{key} = {value}"));
    }
    format!("{{ {} }}", fields.join(", "))
}

#[test]
fn an_issuer_that_makes_no_sense_is_reported_with_its_key() {
    let long = format!("\"{}\"", "x".repeat(256));
    let most = "x".repeat(255);
    let many: Vec<String> = (0..17).map(|n| issuer_with("issuer", &format!("\"{n}\""))).collect();
    let twice = format!("{0}, {0}", issuer_with("subject_claim", "\"sub\""));
    for (entries, expected) in [
        (issuer_with("issuer", ""), "issuer is missing"),
        (issuer_with("issuer", "\"\""), "issuer: use 1 to 255 bytes"),
        (issuer_with("issuer", &long), "issuer: use 1 to 255 bytes"),
        (issuer_with("issuer", "7"), "issuer: expected a string in quotes"),
        (issuer_with("issuer", "\"firstcome\""), "stands for this cluster itself"),
        (issuer_with("issuer", "\"self\""), "stands for this cluster itself"),
        (issuer_with("audience", ""), "audience is missing"),
        (issuer_with("audience", "[\"a\"]"), "audience: expected a string in quotes"),
        (issuer_with("algorithms", ""), "algorithms is missing"),
        (issuer_with("algorithms", "[]"), "a list of RS256, ES256, EdDSA or HS256"),
        (issuer_with("algorithms", "\"RS256\""), "a list of RS256, ES256, EdDSA or HS256"),
        (issuer_with("algorithms", "[1]"), "a list of RS256, ES256, EdDSA or HS256"),
        (issuer_with("algorithms", "[\"none\"]"), "\"none\": use RS256, ES256, EdDSA or HS256"),
        (issuer_with("algorithms", "[\"rs256\"]"), "\"rs256\": use RS256, ES256, EdDSA or HS256"),
        (issuer_with("algorithms", "[\"HS512\"]"), "\"HS512\": use RS256, ES256, EdDSA or HS256"),
        (issuer_with("algorithms", "[\"RS256\", \"RS256\"]"), "RS256 appears twice"),
        (issuer_with("algorithms", "[\"HS256\"]"), "HS256 goes with secret_file alone"),
        (issuer_with("algorithms", "[\"RS256\", \"HS256\"]"), "HS256 goes with secret_file alone"),
        (issuer_with("jwks_file", ""), "exactly one of jwks_file, jwks_url and secret_file"),
        (issuer_with("secret_file", "\"s\""), "exactly one of jwks_file, jwks_url and secret_file"),
        (issuer_with("jwks_url", "\"https://x.example/\""), "exactly one of jwks_file"),
        (issuer_with("jwks_private", "true"), "jwks_private has no effect without jwks_url"),
        (issuer_with("subject_claim", "\"\""), "subject_claim: use 1 to 255 bytes"),
        (issuer_with("subject_claim", "\"iss\""), "has a meaning of its own"),
        (issuer_with("jwks_fil", "\"x\""), "did you mean \"jwks_file\"?"),
        (issuer_with("role", "\"admin\""), "role: unknown key"),
        (issuer_with("jwks_file", "\"x\", jwks_url = \"http://x.example/\""), "use https://"),
        (issuer_with("jwks_file", "\"x\", jwks_private = \"no\""), "true or false"),
        (twice, "two entries have the issuer \"https://shop.example\""),
        (many.join(", "), "at most 16 entries"),
        ("7".to_owned(), "an entry of auth.issuers looks like"),
    ] {
        let text = error_of(&format!("# One.\n# Two.\nauth.issuers = [ {entries} ]\n"));
        assert!(text.contains("c.toml:3: "), "{entries}: {text}");
        assert!(text.contains("auth.issuers"), "{entries}: {text}");
        assert!(text.contains(expected), "{entries}: {text}");
    }
    for (line, expected) in [
        ("auth.issuers = 3", "must be a list"),
        ("auth.issuers = { a = 1 }", "must be a list"),
        ("auth.issuer = []", "did you mean \"auth.issuers\"?"),
        ("auth = 1", "auth is a section"),
    ] {
        let text = error_of(&format!("{line}\n"));
        assert!(text.contains(expected), "{line}: {text}");
    }
    let url = |url: &str, more: &str| {
        format!(
            "[[auth.issuers]]\nissuer = {most:?}\naudience = {most:?}\n\
             algorithms = [\"EdDSA\"]\njwks_url = {url:?}\n{more}\n"
        )
    };
    let private = error_of(&url("https://10.0.0.1/keys", ""));
    assert!(private.contains("jwks_private = true"), "{private}");

    let here = tempfile::tempdir().expect("a directory");
    let secret = issuer_with("issuer", "\"till\"")
        .replace("jwks_file = \"jwks.json\"", "secret_file = \"till.secret\"")
        .replace("\"RS256\", \"ES256\"", "\"HS256\"");
    for text in [
        url("https://10.0.0.1/keys", "jwks_private = true"),
        url("https://shop.example:8443/keys", "subject_claim = \"user_id\""),
        format!("auth = {{ issuers = [ {}, {secret} ] }}", issuer_with("jwks_url", "")),
    ] {
        std::fs::write(here.path().join("c.toml"), &text).expect("the file");
        let list = shown(here.path(), &["--config", "c.toml"], &[]);
        let (value, origin) = setting(&list, "auth.issuers");
        assert!(value.contains("subject_claim = ") && origin.starts_with("c.toml:"), "{value}");
    }
}

#[test]
fn issuers_are_set_in_the_file_only() {
    let here = tempfile::tempdir().expect("a directory");
    let output = run(here.path(), &["serve", "--print-config", "--set", "auth.issuers=[]"]);
    assert_eq!(code(&output), 78);
    assert!(stderr(&output).contains("can only be set in the file"), "{}", stderr(&output));
}

#[test]
fn later_layers_win_and_origins_are_shown() {
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
fn settings_that_contradict_each_other_are_refused() {
    let text = error_of("raft.election_min = \"900ms\"\n");
    assert!(text.contains("below raft.election_max"), "{text}");
    let text = error_of("raft.heartbeat = \"200ms\"\n");
    assert!(text.contains("420ms"), "{text}");
    let text = error_of("runtime.api_workers = 100000\n");
    assert!(text.contains("at most 1024"), "{text}");
}

#[test]
fn settings_of_mail_that_contradict_each_other_are_reported_with_their_line() {
    let smtp = "mail.transport = \"smtp\"\nmail.smtp.host = \"mail.example\"\n";
    for (text, expected) in [
        ("mail.transport = \"smtp\"\n", "c.toml:1: mail.transport: smtp needs a server"),
        ("mail.smtp.host = \"x\"\n", "c.toml:1: mail.smtp.host: it has no effect"),
        (&format!("{smtp}mail.smtp.tls = \"none\"\n"), "c.toml:3: mail.smtp.tls: mail leaves"),
        (&format!("{smtp}mail.smtp.port = 65536\n"), "c.toml:3: mail.smtp.port: it must be at"),
        (&format!("{smtp}mail.smtp.user = \"a\"\n"), "c.toml:3: mail.smtp.user: it needs"),
    ] {
        let error = error_of(text);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_node_does_not_start_with_a_password_that_it_cannot_read() {
    let here = tempfile::tempdir().expect("a directory");
    let mut command = firstcome(here.path(), &["serve", "--listen", "127.0.0.1:0"]);
    for setting in [
        "mail.transport=smtp",
        "mail.smtp.host=mail.example",
        "mail.smtp.user=a",
        "mail.smtp.password_file=smtp.password",
    ] {
        command.args(["--set", setting]);
    }
    let output = command.output().expect("the program starts");
    assert_eq!(code(&output), 78, "{}", stderr(&output));
    let expected =
        "mail.smtp.password_file cannot be used: cannot read smtp.password: No such file";
    assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    assert!(!here.path().join("data").exists(), "a refused start must leave no files");
}

#[test]
fn addresses_other_than_loopback_must_be_allowed_explicitly() {
    let node =
        "cluster.nodes = [{ name = \"n1\", api = \"10.0.0.1:1\", peer = \"127.0.0.1:2\" }]\n";
    let text = error_of(node);
    assert!(text.contains("10.0.0.1:1") && text.contains("tls.insecure"), "{text}");
    let here = tempfile::tempdir().expect("a directory");
    std::fs::write(here.path().join("c.toml"), format!("{node}tls.insecure = true\n")).expect("it");
    let arguments = ["serve", "--config", "c.toml", "--node", "n1", "--print-config"];
    assert_eq!(code(&run(here.path(), &arguments)), 0);
}

#[test]
fn the_example_has_every_setting_with_its_default() {
    let here = tempfile::tempdir().expect("a directory");
    std::fs::write(here.path().join("c.toml"), EXAMPLE).expect("the file");
    let defaults = shown(here.path(), &[], &[]);
    let example = shown(here.path(), &["--config", "c.toml"], &[]);
    // A development node overrides these itself.
    let own = ["node.name", "node.data_dir", "node.listen.api"];
    for line in &defaults {
        let key = line["key"].as_str().expect("a key");
        let (value, origin) = setting(&example, key);
        assert!(origin.starts_with("c.toml:"), "{key} is missing from cluster.toml");
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
    assert!(!here.path().join("data").exists(), "a refused start must leave no files");
}

#[test]
fn an_address_without_a_port_is_invalid() {
    let here = tempfile::tempdir().expect("a directory");
    let output = run(here.path(), &["serve", "--listen", "zzz", "--print-config"]);
    assert_eq!(code(&output), 78, "{}", stderr(&output));
    assert!(stderr(&output).contains("invalid address \"zzz\""), "{}", stderr(&output));
}
