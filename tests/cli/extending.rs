//! What `docs/extending.md` and `docs/rules.md` say of the code is true, and adding to the product
//! stays cheap: few files name one aggregate.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Rust file below a folder, by its path from the root.
fn sources(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::from(folder)];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a readable folder") {
            let entry = entry.expect("a readable folder");
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                let is_output = path.file_name().is_some_and(|name| name == "target");
                open.extend((!is_output).then_some(path));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

/// The excerpts of a page: the file named in front of each block of Rust, and its lines.
fn excerpts(page: &str) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    let (mut named, mut inside) = (None, false);
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```rust";
            if inside {
                let file = named.take().expect("a file is named in front of each excerpt");
                found.push((file, Vec::new()));
            }
        } else if inside {
            let (_, lines) = found.last_mut().expect("a block was begun");
            lines.extend((!line.trim().is_empty()).then(|| line.to_owned()));
        } else if let Some(file) = line.strip_prefix('`').and_then(|rest| rest.strip_suffix("`:")) {
            named = Some(file.to_owned());
        }
    }
    found
}

/// Whether the lines stand in the text one after the other, blank lines aside.
fn stands_in(lines: &[String], text: &str) -> bool {
    let text: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    text.windows(lines.len()).any(|window| window == lines)
}

#[test]
fn excerpts_stand_in_the_files_they_come_from() {
    let excerpts = excerpts(&read("docs/extending.md"));
    assert!(excerpts.len() >= 10, "found only {} excerpts", excerpts.len());
    for (file, lines) in excerpts {
        assert!(stands_in(&lines, &read(&file)), "{file} has no such lines:\n{}", lines.join("\n"));
    }

    // Checks the check.
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(stands_in(&lines("b\nc"), "a\nb\n\nc"));
    assert!(!stands_in(&lines("b\nd"), "a\nb\nc\nd"));
    assert!(!stands_in(&lines(" b"), "a\nb"));
}

/// Files of the product that name one of these words outside tests and the aggregate's own files.
fn naming(words: &[&str], own: &[&str]) -> Vec<String> {
    let folders = ["domain/src", "storage/src", "raft/src", "api/src", "cli/src", "src"];
    let files = folders.into_iter().flat_map(sources).filter(|file| {
        // `next` is what a later release could add, for the tests of upgrades.
        let tests = ["domain/src/testing/", "domain/src/next/"];
        let is_test = file.ends_with("/tests.rs") || tests.iter().any(|at| file.starts_with(at));
        !is_test && !own.iter().any(|own| file.starts_with(own))
    });
    files.filter(|file| names_one(&read(file), words)).collect()
}

/// Whether a text names one of these words, apart from its comments and its tests.
fn names_one(text: &str, words: &[&str]) -> bool {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let lines = code.lines().filter_map(|line| line.split("//").next());
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    lines.flat_map(|line| line.split(|c| !is_part(c))).any(|word| words.contains(&word))
}

/// About fifty files knew of one aggregate before rows and commands were declared in a registry.
const FILES_MAX: usize = 8;

/// Its row, command, event, permission and JSON object.
const OF_SETTINGS: [&str; 5] =
    ["Settings", "SettingsUpdate", "SettingsChanged", "SettingsWrite", "SettingsBody"];
const FILES_OF_SETTINGS: [&str; 4] = [
    "domain/src/settings/",
    "api/src/resource/settings.rs",
    "api/src/route/admin_settings.rs",
    "cli/src/command/settings.rs",
];

#[test]
fn few_files_name_the_settings() {
    let files = naming(&OF_SETTINGS, &FILES_OF_SETTINGS);
    // A node has settings too, which are something else.
    let is_of_node = |file: &String| file.starts_with("cli/src/") || file.starts_with("raft/src/");
    let (of_node, files): (Vec<_>, Vec<_>) = files.into_iter().partition(is_of_node);
    for file in of_node {
        let text = read(&file);
        let is_replicated = text.contains("firstcome_domain::settings");
        assert!(!is_replicated && !names_one(&text, &OF_SETTINGS[1..]), "{file} names them");
    }
    for known in ["domain/src/registry.rs", "domain/src/command.rs", "api/src/access.rs"] {
        assert!(files.iter().any(|file| file == known), "{known} is not among {files:?}");
    }
    let list = files.join("\n");
    assert!(files.len() <= FILES_MAX, "{} files name the settings:\n{list}", files.len());

    // The page lists them.
    let page = read("docs/extending.md");
    let listed = page.split("\n## ").find(|part| part.starts_with("8. ")).expect("a section 8");
    for file in files.iter().map(String::as_str).chain(FILES_OF_SETTINGS) {
        assert!(listed.contains(&format!("`{file}`")), "docs/extending.md does not list {file}");
    }

    // Checks the check.
    let words = ["FeatureLevel", "FeatureLevelRaise"];
    assert!(names_one("let x: Option<FeatureLevel>;", &words));
    assert!(!names_one("// FeatureLevel\nFeatureLevels()", &words));
    assert!(!names_one("a\n#[cfg(test)]\nmod tests { FeatureLevel }", &words));
}

/// The names of numbered tests in a text: `d01_...`, `s01_...`, `p01_...`, `ref01_...`.
fn numbered(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
    let is_numbered = |word: &&str| {
        let Some((number, _)) = word.split_once('_') else { return false };
        let digits = number.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let kind = &number[..number.len() - digits.len()];
        digits.len() == 2 && ["d", "s", "p", "ref"].contains(&kind)
    };
    words.filter(is_numbered).map(str::to_owned).collect()
}

#[test]
fn every_numbered_test_is_explained_and_every_explained_one_exists() {
    let folders = ["domain", "storage", "raft", "api", "cli", "tests", "jepsen/tests"];
    let files: Vec<String> = folders.into_iter().flat_map(sources).collect();
    let functions = files.iter().flat_map(|file| {
        let text = read(file);
        let names = text.split("fn ").skip(1).filter_map(|rest| rest.split('(').next());
        names.flat_map(numbered).collect::<Vec<_>>()
    });
    let tests: BTreeSet<String> = functions.collect();
    assert!(tests.len() >= 60, "found only {} numbered tests", tests.len());
    let explained = numbered(&read("docs/rules.md"));
    let different: Vec<_> = explained.symmetric_difference(&tests).collect();
    assert!(
        different.is_empty(),
        "in docs/rules.md or in the tests, but not in both: {different:?}"
    );
    assert_eq!(numbered("s1_a xs01_b ref01_c s01_d D01_e `p02_f`").len(), 3);
}
