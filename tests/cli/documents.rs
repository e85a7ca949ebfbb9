//! Commands, flags, settings, variables and files named in the documents and deploy files exist.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::process::{code, firstcome, run, stderr, stdout};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// All files in a folder with one of these endings.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join(folder)).expect(folder);
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let fits = |path: &PathBuf| {
        let name = path.to_string_lossy();
        endings.iter().any(|ending| name.ends_with(ending))
    };
    let mut found: Vec<_> = paths.filter(fits).collect();
    found.sort();
    found
}

/// All documents.
fn pages() -> Vec<PathBuf> {
    let at_root = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "jepsen/README.md"];
    let mut pages: Vec<_> = at_root.iter().map(|name| root().join(name)).collect();
    for folder in ["docs", "docs/adr", "deploy"] {
        pages.extend(files(folder, &[".md"]));
    }
    pages
}

/// The code in a page: lines of its code blocks, and text between backticks.
fn code_of(page: &str) -> (Vec<String>, Vec<String>) {
    let (mut lines, mut spans) = (Vec::new(), Vec::new());
    let mut inside = false;
    for line in page.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if inside {
            lines.push(line.to_owned());
        } else {
            spans.extend(line.split('`').skip(1).step_by(2).map(ToOwned::to_owned));
        }
    }
    // A backslash at the end of a line continues it on the next.
    let joined = lines.join("\n").replace("\\\n", " ");
    (joined.lines().map(ToOwned::to_owned).collect(), spans)
}

/// The simple commands of a shell line, split into words.
fn commands_of(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![vec![String::new()]];
    // The current quote character, and that outside of each open substitution.
    let (mut quote, mut outside) = (None, Vec::new());
    for c in line.chars() {
        let words = commands.last_mut().expect("at least one");
        let word = words.last_mut().expect("at least one");
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            ('#', None) if word.is_empty() => break,
            // A substitution is a command of its own, also inside double quotes.
            ('(', None | Some('"')) => {
                outside.push(quote.take());
                commands.push(vec![String::new()]);
            }
            (')', None) => {
                quote = outside.pop().flatten();
                commands.push(vec![String::new()]);
            }
            ('|' | ';' | '&', None) => commands.push(vec![String::new()]),
            (' ', None) => words.push(String::new()),
            (c, _) => word.push(c),
        }
    }
    for words in &mut commands {
        words.retain(|word| !word.is_empty());
        let redirected = words.iter().position(|word| word == ">" || word == "<");
        words.truncate(redirected.unwrap_or(words.len()));
    }
    commands
}

/// The arguments, if this command runs `firstcome`.
fn arguments(words: &[String]) -> Option<Vec<String>> {
    let starts =
        |with: &[&str]| words.iter().zip(with).filter(|(a, b)| a == b).count() == with.len();
    for program in [
        &["firstcome"][..],
        &["sudo", "firstcome"],
        &["/usr/bin/firstcome"],
        &["target/release/firstcome"],
        &["cargo", "run", "--release", "--"],
    ] {
        if starts(program) {
            return Some(words[program.len()..].to_vec());
        }
    }
    None
}

/// Every `firstcome` command in the documents, with the name of its document.
fn commands() -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut take = |source: &Path, line: &str| {
        let name = source.strip_prefix(root()).expect("inside").display().to_string();
        let typed = commands_of(line);
        let typed = typed.iter().filter_map(|words| arguments(words));
        found.extend(typed.map(|arguments| (name.clone(), arguments)));
    };
    for page in pages() {
        let (lines, spans) = code_of(&read(&page));
        let spans = spans.iter().filter(|span| span.starts_with("firstcome "));
        for line in lines.iter().chain(spans) {
            take(&page, line);
        }
    }
    for name in ["cluster.toml", "justfile", ".ci/run"] {
        let path = root().join(name);
        for line in read(&path).lines() {
            take(&path, line.trim_start_matches(['#', ' ']));
        }
    }
    for path in files("deploy", &[".service", ".yaml", "Containerfile"]) {
        for line in read(&path).lines() {
            // Lists of words: `command: [serve, ...]` and `CMD ["serve"]`.
            let list = ["command:", "CMD"].iter().find_map(|head| line.trim().strip_prefix(head));
            if let Some(list) = list {
                let words = list.replace(['[', ']', '"', ','], " ");
                take(&path, &format!("firstcome {words}"));
            } else if let Some(line) = line.strip_prefix("ExecStart=") {
                take(&path, line);
            }
        }
    }
    found
}

/// Help texts of commands, each fetched once.
#[derive(Default)]
struct Help(BTreeMap<Vec<String>, String>);

impl Help {
    fn of(&mut self, path: &[String]) -> &str {
        self.0.entry(path.to_vec()).or_insert_with(|| {
            let mut all: Vec<&str> = path.iter().map(String::as_str).collect();
            all.push("--help");
            let help = run(root(), &all);
            assert_eq!(code(&help), 0, "{path:?}: {}", stderr(&help));
            stdout(&help)
        })
    }

    /// What is wrong with a command line, if anything.
    fn problem(&mut self, arguments: &[String]) -> Option<String> {
        let mut path = Vec::new();
        let mut rest = arguments.iter().peekable();
        while let Some(word) = rest.peek() {
            let help = self.of(&path);
            let Some((_, subcommands)) = help.split_once("\nCommands:\n") else { break };
            let known = |line: &str| line.trim_start().split(' ').next() == Some(word.as_str());
            let mut subcommands = subcommands.lines().take_while(|line| !line.is_empty());
            if word.starts_with('-') {
                break;
            }
            if !subcommands.any(known) {
                return Some(format!("`firstcome {}` has no command {word}", path.join(" ")));
            }
            path.push((*word).clone());
            rest.next();
        }
        let help = self.of(&path).to_owned();
        let usage = help.lines().find(|line| line.starts_with("Usage:")).expect("a usage line");
        let mut places = usage.matches(['<', '[']).count() - usage.matches("[OPTIONS]").count();
        places -= usage.matches(" --").count();
        while let Some(word) = rest.next() {
            let Some((flag, value)) = flag_of(word) else {
                if places == 0 {
                    return Some(format!("unexpected argument {word:?}"));
                }
                places -= 1;
                continue;
            };
            let line = help
                .lines()
                .map(str::trim_start)
                .find(|line| line.split([' ', ',', '=']).take(3).any(|shown| shown == flag));
            let Some(line) = line else { return Some(format!("{flag} does not exist")) };
            let takes_value = line.contains(&format!("{flag} <"));
            if takes_value && value.is_none() && rest.next().is_none_or(|v| v.starts_with("--")) {
                return Some(format!("{flag} needs a value"));
            }
        }
        None
    }
}

/// A flag, and its value if given as `--flag=value`.
fn flag_of(word: &str) -> Option<(&str, Option<&str>)> {
    let flag = word.starts_with('-').then_some(word)?;
    Some(flag.split_once('=').map_or((flag, None), |(flag, value)| (flag, Some(value))))
}

/// Every setting of `cluster.toml`.
fn settings() -> BTreeSet<String> {
    let shown = run(
        root(),
        &["serve", "--config", "cluster.toml", "--node", "n1", "--print-config", "--json"],
    );
    let shown: Value = serde_json::from_str(&stdout(&shown)).expect("JSON");
    let list = shown["data"].as_array().expect("a list");
    list.iter().map(|line| line["key"].as_str().expect("a key").to_owned()).collect()
}

/// All names of the form `FIRSTCOME_...` in a text.
fn variables(text: &str) -> BTreeSet<&str> {
    let names = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
    names.filter(|name| name.starts_with("FIRSTCOME_") && name.len() > 10).collect()
}

/// All ports of 127.0.0.1 in a text.
fn ports(text: &str) -> BTreeSet<u16> {
    let after = text.split("127.0.0.1:").skip(1);
    let digits = after.map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or(""));
    digits.filter_map(|port| port.parse().ok()).collect()
}

#[test]
fn documents_and_deploy_files_use_existing_commands_and_flags() {
    let mut help = Help::default();
    let typed = commands();
    let wrong: Vec<String> = typed
        .iter()
        .filter_map(|(source, arguments)| {
            let problem = help.problem(arguments)?;
            Some(format!("{source}: firstcome {}: {problem}", arguments.join(" ")))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let sources: BTreeSet<&str> = typed.iter().map(|(source, _)| source.as_str()).collect();
    for source in [
        "README.md",
        "cluster.toml",
        "deploy/Containerfile",
        "deploy/README.md",
        "deploy/compose.yaml",
        "deploy/firstcome@.service",
        "docs/operations.md",
        "docs/performance.md",
    ] {
        assert!(sources.contains(source), "no command was found in {source}: {sources:?}");
    }

    // Checks the check: each of these is wrong in a different way.
    for bad in [
        "frobnicate",
        "serve --nodes n1",
        "serve --node",
        "cluster add 4 --name n4",
        "token --role admin extra",
    ] {
        let words: Vec<String> = bad.split(' ').map(ToOwned::to_owned).collect();
        assert!(help.problem(&words).is_some(), "{bad} is not recognised as wrong");
    }
}

#[test]
fn documents_use_existing_variables_settings_and_ports() {
    let settings = settings();
    let help = ["product", "token", "login"].map(|verb| stdout(&run(root(), &[verb, "--help"])));
    let everything = help.concat();
    let own = variables(&everything);
    // Ports of cluster.toml, compose.yaml, a development node, and a fourth node.
    let mut known = ports(&read(&root().join("cluster.toml")));
    known.extend(ports(&read(&root().join("deploy/compose.yaml"))));
    known.extend([7400, 8084, 9094]);
    let mut pages = pages();
    pages.extend(files("deploy", &[".service", ".yaml", "Containerfile", ".toml"]));
    pages.push(root().join("cluster.toml"));
    for page in pages {
        let text = read(&page);
        for name in variables(&text) {
            let key = name.trim_start_matches("FIRSTCOME_").to_lowercase().replace("__", ".");
            let exists = own.contains(name) || settings.contains(&key);
            assert!(exists, "{}: unknown variable {name}", page.display());
        }
        for port in ports(&text) {
            assert!(known.contains(&port), "{}: unknown port {port}", page.display());
        }
        let assigned = text.split("--set ").skip(1).filter_map(|rest| {
            let word = rest.split([' ', '`', '\n']).next()?;
            Some(word.split_once('=')?.0)
        });
        for key in assigned {
            assert!(settings.contains(key), "{}: --set {key}", page.display());
        }
    }
}

#[test]
fn deployed_settings_are_valid_and_their_ports_match() {
    let file = root().join("deploy/cluster.toml");
    for node in ["n1", "n2", "n3"] {
        let mut command = firstcome(root(), &["serve", "--print-config", "--node", node]);
        let shown = command.arg("--config").arg(&file).output().expect("the program starts");
        assert_eq!(code(&shown), 0, "{}", stderr(&shown));
    }
    let (settings, compose) = (read(&file), read(&root().join("deploy/compose.yaml")));
    let image = read(&root().join("deploy/Containerfile"));
    for node in 1..=3 {
        let entry = format!("name = \"n{node}\", api = \"n{node}:8080\", peer = \"n{node}:9090\"");
        assert!(settings.contains(&entry), "{entry}");
        let published = format!("127.0.0.1:808{node}:8080");
        assert!(compose.contains(&published), "{published}");
    }
    assert!(image.contains("EXPOSE 8080 9090"), "{image}");
}

#[test]
fn files_named_in_documents_exist() {
    let folders = [
        "src/", "domain/", "storage/", "raft/", "api/", "cli/", "fault/", "jepsen/", "docs/",
        "deploy/", "tests/", ".ci/",
    ];
    let endings = [".rs", ".md", ".toml", ".txt", ".service", ".yaml", "/"];
    let mut seen = 0;
    for page in pages() {
        let folder = page.parent().expect("a folder");
        for span in code_of(&read(&page)).1 {
            let ours = folders.iter().any(|folder| span.starts_with(folder));
            let plain = !span.contains(['<', '*', '{', ' ', '|', ':']);
            if ours && plain && endings.iter().any(|ending| span.ends_with(ending)) {
                seen += 1;
                let exists = root().join(&span).exists() || folder.join(&span).exists();
                assert!(exists, "{}: no file {span}", page.display());
            }
        }
    }
    assert!(seen >= 40, "found only {seen} file names: is the search broken?");
}
