//! Rules of the repository that the compiler does not check: what must not appear in which file.

use std::fs;
use std::path::{Path, PathBuf};

/// A text that must not appear, and the exceptions.
struct Rule {
    /// The text, in two parts, so that this file does not break its own rule.
    text: [&'static str; 2],
    /// Checks only files under these paths; all files if empty.
    within: &'static [&'static str],
    /// Except files under these paths.
    except: &'static [&'static str],
    why: &'static str,
}

const SOURCE: &[&str] =
    &["src/", "domain/", "storage/", "raft/", "api/", "cli/", "fault/", "jepsen/", "benches/"];

const RULES: &[Rule] = &[
    Rule { text: ["/ho", "me/"], within: &[], except: &[], why: "names a machine" },
    Rule { text: ["/Us", "ers/"], within: &[], except: &[], why: "names a machine" },
    Rule { text: ["/ro", "ot/"], within: &[], except: &[], why: "names a machine" },
    Rule { text: ["/wo", "rk/"], within: &[], except: &[], why: "names a machine" },
    Rule { text: ["tod", "o!"], within: SOURCE, except: &[], why: "is not finished" },
    Rule { text: ["unimple", "mented!"], within: SOURCE, except: &[], why: "is not finished" },
    Rule { text: ["db", "g!"], within: SOURCE, except: &[], why: "is for the moment of debugging" },
    Rule { text: ["#[ig", "nore"], within: SOURCE, except: &[], why: "hides a test" },
    Rule { text: ["#[should_", "panic"], within: SOURCE, except: &[], why: "says nothing" },
    Rule {
        text: ["binc", "ode::"],
        within: SOURCE,
        except: &["storage/src/codec.rs"],
        why: "must be replaceable: only the codec knows it",
    },
    Rule {
        text: ["openr", "aft::"],
        within: SOURCE,
        except: &["raft/"],
        why: "must be replaceable: only raft/ knows it",
    },
    Rule {
        text: ["re", "db::"],
        within: SOURCE,
        except: &["storage/"],
        why: "must be replaceable: only storage/ knows it",
    },
    Rule {
        text: ["ax", "um::"],
        within: SOURCE,
        except: &["api/", "jepsen/sim/"],
        why: "is HTTP: only api/ speaks it, and the simulation mounts it",
    },
    Rule {
        text: ["System", "Time"],
        within: SOURCE,
        except: &[
            "raft/src/clock.rs",
            "fault/src/armed/clock.rs",
            "api/src/token.rs",
            "cli/",
            "jepsen/",
            "*/tests/",
            "domain/clippy.toml",
        ],
        why: "is a wall clock: only the clock of raft/ and the expiry of tokens read it",
    },
    Rule {
        text: ["Hash", "Map"],
        within: &["domain/"],
        except: &["domain/clippy.toml"],
        why: "has an order of its own: every node must decide alike",
    },
    Rule {
        text: ["Hash", "Set"],
        within: &["domain/"],
        except: &["domain/clippy.toml"],
        why: "has an order of its own: every node must decide alike",
    },
];

impl Rule {
    fn covers(&self, file: &str) -> bool {
        let under = |place: &&str| match place.strip_prefix("*/") {
            Some(folder) => file.contains(&format!("/{folder}")),
            None => file.starts_with(*place),
        };
        let within = self.within.is_empty() || self.within.iter().any(under);
        within && !self.except.iter().any(under)
    }

    /// The numbers of the lines that break the rule.
    fn broken_by(&self, file: &str, text: &str) -> Vec<usize> {
        if !self.covers(file) {
            return Vec::new();
        }
        let wanted = self.text.concat();
        let lines = text.lines().enumerate();
        lines.filter(|(_, line)| line.contains(&wanted)).map(|(at, _)| at + 1).collect()
    }
}

/// Every text file of the repository, by its path. Build output and recorded runs are left out.
fn files(top: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![top.to_path_buf()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("a readable folder") {
            let path: PathBuf = entry.expect("a readable folder").path();
            let name = path
                .strip_prefix(top)
                .expect("a path under the top")
                .to_string_lossy()
                .into_owned();
            let skipped =
                ["target", ".git", "data", "jepsen/store", "jepsen/sim/target", "jepsen/sim/store"]
                    .contains(&name.as_str())
                    || path.extension().is_some_and(|extension| extension == "lock");
            if skipped || path.is_symlink() {
                continue;
            }
            if path.is_dir() {
                open.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                found.push((name, text));
            }
        }
    }
    found
}

#[test]
fn no_file_says_what_it_must_not() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let files = files(top);
    assert!(files.iter().any(|(name, _)| name == "domain/src/lib.rs"), "looked in {top:?}");
    let mut broken = Vec::new();
    for (name, text) in &files {
        for rule in RULES {
            for line in rule.broken_by(name, text) {
                broken.push(format!("{name}:{line}: {:?} {}", rule.text.concat(), rule.why));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn every_rule_catches_its_text_and_accepts_its_exceptions() {
    for rule in RULES {
        let text = format!("first\nsecond {}", rule.text.concat());
        let place = rule.within.first().copied().unwrap_or("docs/");
        assert_eq!(rule.broken_by(&format!("{place}x.rs"), &text), [2], "{}", rule.why);
        for exempt in rule.except {
            let file = exempt.replace('*', "domain") + "x.rs";
            assert!(rule.broken_by(&file, &text).is_empty(), "{file}");
        }
    }
}

/// Crates, and the dependencies they must not have (except for tests).
const BORDERS: &[(&str, &[&str])] = &[
    ("domain", &["axum", "clap", "openraft", "rand", "redb", "tokio", "firstcome-"]),
    ("storage", &["axum", "clap", "openraft", "tokio", "firstcome-raft", "firstcome-api"]),
    ("raft", &["axum", "clap", "redb", "firstcome-api", "firstcome-cli"]),
    ("api", &["clap", "openraft", "redb", "firstcome-cli"]),
    ("cli", &["openraft", "redb"]),
    ("jepsen", &["firstcome-"]),
    ("fault", &["firstcome-", "rand", "tokio"]),
];

/// The one crate of ours below all others: every crate but `jepsen/` may depend on it.
const FAULT: &str = "firstcome-fault";

/// The names under `[dependencies]` of a manifest.
fn dependencies(manifest: &str) -> Vec<&str> {
    let lines = manifest.lines().skip_while(|line| line.trim() != "[dependencies]").skip(1);
    lines
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split(['=', '.', ' ']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#'))
        .collect()
}

#[test]
fn no_crate_depends_on_what_stands_to_its_left() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut looked_at = 0;
    for (name, banned) in BORDERS {
        let manifest = fs::read_to_string(top.join(name).join("Cargo.toml")).unwrap();
        for other in dependencies(&manifest) {
            looked_at += 1;
            let breaks =
                |ban: &&str| other == *ban || (ban.ends_with('-') && other.starts_with(*ban));
            let is_exempt = other == FAULT && !name.starts_with("jepsen");
            let is_banned = banned.iter().any(breaks) && !is_exempt;
            assert!(!is_banned, "{name}/Cargo.toml must not name {other}");
        }
    }
    assert!(looked_at >= BORDERS.len(), "read {looked_at} dependencies");
}

/// The fault build must be requested by name: no dependency and no default feature may enable it,
/// in any manifest.
#[test]
fn only_the_feature_of_the_root_package_makes_a_fault_build() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let allowed = [
        ("Cargo.toml", "fault = [\"firstcome-fault/armed\", \"firstcome-storage/volatile\"]"),
        ("Cargo.toml", "required-features = [\"fault\"]"),
        ("Cargo.toml", "name = \"fault\""),
        ("fault/Cargo.toml", "armed = [\"dep:serde_json\"]"),
        ("storage/Cargo.toml", "volatile = []"),
        // A workspace of its own, which no release is built from.
        (
            "jepsen/sim/Cargo.toml",
            "firstcome-fault = { path = \"../../fault\", features = [\"armed\"] }",
        ),
    ];
    let mut seen = 0;
    for (name, text) in files(top).iter().filter(|(name, _)| name.ends_with("Cargo.toml")) {
        for line in text.lines().filter(|line| turns_faults_on(line)) {
            let known = allowed.contains(&(name.as_str(), line));
            assert!(known, "{name} must not turn on the fault build: {line}");
            seen += 1;
        }
    }
    assert_eq!(seen, allowed.len(), "the feature is where it was");
    assert!(turns_faults_on("firstcome-fault = { workspace = true, features = [\"armed\"] }"));
    assert!(turns_faults_on("default = [\"fault\"]"));
    assert!(!turns_faults_on("firstcome-fault = { workspace = true }"));
}

/// Whether a line of a manifest, without its comment, names a feature of the fault build.
fn turns_faults_on(line: &str) -> bool {
    let line = line.split('#').next().unwrap_or_default();
    let parts: Vec<&str> = line.split('"').collect();
    let is_path = |before: &str| before.trim_end().ends_with("path =");
    let mut quoted = parts.chunks(2).filter(|pair| pair.len() == 2 && !is_path(pair[0]));
    let key = line.split('=').next().unwrap_or_default().trim();
    let names = ["armed", "fault", "volatile"];
    let is_feature = |text: &str| names.contains(&text.rsplit('/').next().unwrap_or(text));
    let is_member = key == "members";
    names.contains(&key) || (!is_member && quoted.any(|pair| is_feature(pair[1])))
}

/// The targets of the relative links of a page.
fn links(page: &str) -> Vec<&str> {
    let ends = page.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    ends.filter(|link| !link.contains("://") && !link.starts_with('#'))
        .filter_map(|link| link.split('#').next())
        .collect()
}

#[test]
fn every_link_of_a_page_leads_somewhere() {
    assert_eq!(links("a [b](c.md#d), [e](https://f) and [g](#h)"), ["c.md"]);
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut looked_at = 0;
    for (name, text) in files(top) {
        if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
            let folder = top.join(&name).parent().expect("a page is in a folder").to_path_buf();
            for link in links(&text) {
                looked_at += 1;
                assert!(folder.join(link).exists(), "{name} points to {link}, which is not there");
            }
        }
    }
    assert!(looked_at > 0, "no page has a link");
}
