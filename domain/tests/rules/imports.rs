//! Imports between the files of a crate: there is no circle, so that they can be read in one order.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// `["order", "row"]` for `src/order/row.rs`, `["order"]` for `src/order/mod.rs`, nothing for
/// `src/lib.rs`.
type Module = Vec<String>;

/// The code of each file of a crate beside this one: without comments and tests.
fn files(of: &str) -> BTreeMap<Module, String> {
    let mut files = BTreeMap::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(of).join("src");
    collect(&source, &Vec::new(), &mut files);
    files
}

fn collect(directory: &Path, module: &Module, files: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        if name == "tests" {
            continue;
        }
        let mut own = module.clone();
        if !matches!(name, "mod" | "lib") {
            own.push(name.to_owned());
        }
        if path.is_dir() {
            collect(&path, &own, files);
        } else {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let lines = code.lines().map(|line| line.split("//").next().unwrap());
            files.insert(own, lines.collect::<Vec<_>>().join("\n"));
        }
    }
}

/// Every path of the tree at the front of a text: `a::{b, c::d}` is `a::b` and `a::c::d`.
fn paths(text: &mut &str) -> Vec<Module> {
    let mut path = Module::new();
    loop {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = text.find(|c| !word(c)).unwrap_or(text.len());
        if end > 0 {
            path.push(text[..end].to_owned());
        }
        *text = &text[end..];
        match text.strip_prefix("::") {
            Some(rest) => *text = rest,
            None => break,
        }
    }
    let Some(mut rest) = text.strip_prefix('{') else { return vec![path] };
    let mut all = Vec::new();
    while !rest.starts_with('}') {
        rest = rest.trim_start_matches([',', ' ', '\n']);
        for tail in paths(&mut rest) {
            all.push([path.clone(), tail].concat());
        }
        // What is left is `as name`.
        rest = &rest[rest.find([',', '}']).unwrap()..];
        rest = rest.trim_start_matches([',', ' ', '\n']);
    }
    *text = &rest[1..];
    all
}

/// The absolute paths that a file names: behind `crate::`, `super::` and in its `use`s.
fn named(module: &Module, code: &str, files: &BTreeMap<Module, String>) -> Vec<Module> {
    let mut all = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        all.extend(paths(&mut &code[start + "crate::".len()..]));
    }
    for (start, _) in code.match_indices("super::") {
        let parent = &module[..module.len() - 1];
        for tail in paths(&mut &code[start + "super::".len()..]) {
            assert_ne!(tail[0], "super", "{module:?} climbs up twice");
            all.push([parent, &tail].concat());
        }
    }
    for (start, _) in code.match_indices("use ") {
        for tail in paths(&mut &code[start + "use ".len()..]) {
            let child = [module.clone(), tail].concat();
            if child.get(..=module.len()).is_some_and(|file| files.contains_key(file)) {
                all.push(child);
            }
        }
    }
    all
}

/// Which files each file of a crate imports.
fn imports(of: &str) -> BTreeMap<Module, BTreeSet<Module>> {
    let files = files(of);
    let mut imports = BTreeMap::new();
    for (module, code) in &files {
        let targets: &mut BTreeSet<Module> = imports.entry(module.clone()).or_default();
        for path in named(module, code, &files) {
            let within = |len: &usize| files.contains_key(&path[..*len]);
            let target = &path[..(0..=path.len()).rev().find(within).unwrap()];
            if target == path {
                // The module itself is named, so anything below it may be meant.
                targets.extend(files.keys().filter(|file| file.starts_with(target)).cloned());
            } else {
                targets.insert(target.to_vec());
            }
        }
        targets.remove(module);
    }
    imports
}

/// Takes away what imports nothing that is left, then what nothing left imports: circles stay.
fn circles(mut imports: BTreeMap<Module, BTreeSet<Module>>) -> BTreeMap<Module, BTreeSet<Module>> {
    loop {
        let before = imports.len();
        let left: BTreeSet<Module> = imports.keys().cloned().collect();
        for targets in imports.values_mut() {
            targets.retain(|target| left.contains(target));
        }
        imports.retain(|_, targets| !targets.is_empty());
        let imported: BTreeSet<Module> = imports.values().flatten().cloned().collect();
        imports.retain(|module, _| imported.contains(module));
        if imports.len() == before {
            return imports;
        }
    }
}

fn module(path: &str) -> Module {
    path.split('/').map(str::to_owned).collect()
}

/// The files below a file are parts of it, and may name what it has.
fn with_parts(imports: BTreeMap<Module, BTreeSet<Module>>) -> BTreeMap<Module, BTreeSet<Module>> {
    let whole = |module: &Module| module.iter().take(1).cloned().collect::<Module>();
    let mut joined: BTreeMap<Module, BTreeSet<Module>> = BTreeMap::new();
    for (module, targets) in imports {
        let all = joined.entry(whole(&module)).or_default();
        all.extend(targets.iter().map(whole).filter(|target| *target != whole(&module)));
    }
    joined
}

#[track_caller]
fn assert_contains(imports: &BTreeMap<Module, BTreeSet<Module>>, some: &[(&str, &str)]) {
    // A reader of sources that finds nothing proves nothing.
    for (file, target) in some {
        assert!(imports[&module(file)].contains(&module(target)), "{file} imports {target}");
    }
}

#[track_caller]
fn assert_no_circle(imports: BTreeMap<Module, BTreeSet<Module>>) {
    let circles = circles(imports);
    let shown: Vec<String> = circles
        .iter()
        .map(|(file, targets)| {
            let targets: Vec<_> = targets.iter().map(|target| target.join("/")).collect();
            format!("{} -> {}", file.join("/"), targets.join(", "))
        })
        .collect();
    assert!(shown.is_empty(), "these files import each other:\n{}", shown.join("\n"));
}

#[test]
fn no_two_files_of_the_domain_import_each_other() {
    let imports = imports("domain");
    let some = [
        ("order/create", "stock/moves"),
        ("order/steps", "order/life"),
        ("order", "order/row"),
        ("journal/row", "journal/receipt"),
        ("kernel/key", "kernel/id"),
        ("sweep", "order/life"),
        ("decide", "checks"),
        ("command", "sale/command"),
        ("testing/script", "invariant"),
    ];
    assert_contains(&imports, &some);
    assert!(imports[&Module::new()].contains(&module("decide")), "lib.rs shows decide");
    assert_no_circle(imports);
}

#[test]
fn no_two_files_of_storage_import_each_other() {
    let imports = imports("storage");
    let some = [("log/writer", "log/queue"), ("state/checkpoint", "state"), ("state", "view")];
    assert_contains(&imports, &some);
    let imports = with_parts(imports);
    let some = [
        ("state", "stored"),
        ("snapshot", "dir"),
        ("scan", "live"),
        ("inspect", "segments"),
        ("log", "segments"),
    ];
    assert_contains(&imports, &some);
    assert_no_circle(imports);
}
