//! The corpus, replayed: each file once through its target, and both sides of each reached.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use firstcome_domain::Action;
use firstcome_domain::registry::TABLES;
use firstcome_fuzz::{Reached, Records, TARGETS};
use firstcome_storage::codec::decode_command;

/// Seeds without which a target is not worth its name.
const FILES_MIN: usize = 6;

/// Seeds are small: a large one only slows the fuzzer down.
const FILE_BYTES_MAX: u64 = 16 << 10;

fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let files = fs::read_dir(&folder).expect("every target has a corpus");
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("a seed").path()).collect();
    files.sort();
    files
}

#[test]
fn every_target_takes_its_corpus_and_both_sides_are_reached() {
    for (name, target) in TARGETS {
        let files = corpus(name);
        assert!(files.len() >= FILES_MIN, "{name} has {} seeds", files.len());
        let mut reached = BTreeSet::new();
        for file in files {
            assert!(
                fs::metadata(&file).unwrap().len() <= FILE_BYTES_MAX,
                "{} is large",
                file.display()
            );
            // The name is the last line that is printed when a target panics.
            println!("{}", file.display());
            reached.insert(target(&fs::read(&file).unwrap()));
        }
        let both = BTreeSet::from([Reached::Accepted, Reached::Refused]);
        assert_eq!(reached, both, "the corpus of {name} reaches one side only");
    }
}

/// A new kind of row or command is not fuzzed before it has a seed.
#[test]
fn every_command_and_every_table_has_a_seed() {
    let seeds = |target| corpus(target).into_iter().map(|file| fs::read(file).unwrap());
    let commands = seeds("command_bytes").filter_map(|bytes| decode_command(&bytes).ok());
    let tags: BTreeSet<u16> = commands.map(|command| command.action.tag()).collect();
    assert_eq!(tags, Action::ALL.iter().map(|(tag, _)| *tag).collect());

    // A chunk comes after the first byte and its length.
    let snapshots = seeds("snapshot_bytes").filter_map(|bytes| Records::read(bytes.get(3..)?));
    let tables: BTreeSet<u16> =
        snapshots.flat_map(|records| records.rows).map(|(table, ..)| table).collect();
    // There is a row of the feature level once there is a second level.
    let wanted = TABLES.iter().filter(|table| table.name != "feature_level");
    for table in wanted {
        assert!(tables.contains(&table.table.0), "no snapshot has rows of {}", table.name);
    }
}

/// What no seed says: nothing at all, and bytes of every value.
#[test]
fn every_target_takes_nothing_and_anything() {
    for (_, target) in TARGETS {
        target(&[]);
        for byte in 0..=u8::MAX {
            target(&[byte]);
            target(&[byte; 40]);
        }
    }
}

#[test]
fn every_target_has_a_program_and_a_corpus_and_nothing_is_left_over() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |folder: &str| -> BTreeSet<String> {
        let files = fs::read_dir(here.join(folder)).unwrap();
        files
            .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .collect()
    };
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("fuzz_targets"), targets);
    assert_eq!(names("corpus"), targets);
    let manifest = fs::read_to_string(here.join("Cargo.toml")).unwrap();
    for target in targets {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{target}.rs\"")), "{target}");
    }
}
