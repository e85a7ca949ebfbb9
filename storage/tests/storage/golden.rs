//! The format: bytes that a release wrote must be read by every later one, and bytes that
//! change need another format number.
//!
//! `golden/v1/values.hex` holds one encoded value per line; `golden/v1/snapshot.hex` a snapshot;
//! `golden/v1/node/` a whole directory. `UPDATE_GOLDENFILES=1` rewrites them: once a release is
//! out, do that only for new versions, in a new folder.

mod values;

use std::fmt::{Debug, Write as _};
use std::path::{Path, PathBuf};

use firstcome_domain::Action;
use firstcome_domain::kernel::row::IndexKind;
use firstcome_domain::order::Order;
use firstcome_domain::registry::{INDEXES, TABLES};
use firstcome_storage::inspect::Inspection;
use firstcome_storage::{DataDir, Log, State};
use serde::Deserialize;
use serde::de::value::StrDeserializer;

use crate::apply::Store;
use crate::contents::contents;
use crate::shop::{LOG, STATE, Stream, done, entries, identity, meta};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name)
}

fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDENFILES").is_some()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|c| c.to_digit(16)).map(|d| u8::try_from(d).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// What a golden file holds, or held before it was rewritten just now.
fn kept(name: &str, now: &str) -> String {
    if updating() {
        std::fs::create_dir_all(golden("")).unwrap();
        std::fs::write(golden(name), now).unwrap();
    }
    std::fs::read_to_string(golden(name)).unwrap()
}

#[test]
fn encoded_values_are_byte_for_byte_what_they_were() {
    let now: String = values::all().iter().fold(String::new(), |mut text, (name, bytes)| {
        writeln!(text, "{name} {}", hex(bytes)).unwrap();
        text
    });
    let kept = kept("values.hex", &now);
    for (now, kept) in now.lines().zip(kept.lines()) {
        assert_eq!(now, kept, "the format changed");
    }
    assert_eq!(now.lines().count(), kept.lines().count(), "a value is new or gone");
}

/// A kind of row or a command without bytes on record could change unnoticed.
#[test]
fn every_row_kind_and_every_command_is_on_record() {
    let values = values::all();
    for table in TABLES {
        assert!(values.iter().any(|(name, _)| name == table.name), "{}", table.name);
    }
    for (tag, name) in Action::ALL {
        let recorded = values.iter().any(|(value, bytes)| {
            value.starts_with("command.")
                && value.ends_with(name)
                && bytes[..2] == tag.to_le_bytes()
        });
        assert!(recorded, "{name}");
    }
}

/// The variants that are read of an enum: the error for a name that none has lists them.
fn variants<'de, T: Deserialize<'de> + Debug>() -> Vec<String> {
    let error = T::deserialize(StrDeserializer::<serde::de::value::Error>::new("?")).unwrap_err();
    let error = error.to_string();
    let (_, listed) = error.split_once("expected one of ").unwrap();
    listed.split(", ").map(|name| name.trim_matches('`').to_owned()).collect()
}

/// Asserts that there is one value of each variant, in their order.
fn one_of_each<'de, T: Deserialize<'de> + Debug>(values: &[T]) {
    let name = |value| format!("{value:?}").split([' ', '(']).next().unwrap().to_owned();
    let mut names: Vec<String> = values.iter().map(name).collect();
    names.dedup();
    assert_eq!(names, variants::<T>());
}

#[test]
fn every_outcome_and_every_fact_is_on_record() {
    one_of_each(&values::done());
    one_of_each(&values::refusals());
    one_of_each(&values::facts());
}

#[test]
fn the_format_page_has_every_table() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/disk-format.md");
    let page = std::fs::read_to_string(page).unwrap();
    let kind = |kind| match kind {
        IndexKind::Stored => "stored",
        IndexKind::Appended { .. } => "appended",
        IndexKind::Live => "live",
    };
    let mut wanted: Vec<String> =
        TABLES.iter().map(|table| format!("{} {}", table.table.0, table.name)).collect();
    let indexes = INDEXES.iter();
    wanted.extend(indexes.map(|of| format!("{} {} {}", of.table.0, of.name, kind(of.kind))));
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ") + " ";
    let lines: Vec<String> = page.lines().map(words).collect();
    for start in &wanted {
        let found = lines.iter().filter(|line| line.starts_with(&format!("{start} "))).count();
        assert_eq!(found, 1, "{start:?}");
    }
    let numbered = |line: &&String| {
        let (number, rest) = line.split_once(' ').unwrap_or_default();
        number.parse::<u16>().is_ok() && !rest.is_empty()
    };
    assert_eq!(lines.iter().filter(numbered).count(), wanted.len(), "a table is gone");
}

/// Entries of the recorded snapshot and directory.
const ENTRIES: u64 = 280;

fn history() -> Vec<firstcome_storage::state::Committed> {
    let mut stream = Stream::new(2024);
    (0..ENTRIES).map(|_| stream.entry()).collect()
}

#[test]
fn a_snapshot_of_version_1_installs() {
    let text = if updating() {
        let sender = Store::new();
        for entry in history() {
            sender.apply(&entry);
        }
        let mut reader = sender.state.snapshot().unwrap();
        let chunk = reader.next_chunk().unwrap().unwrap();
        assert!(reader.next_chunk().unwrap().is_none(), "one chunk is enough");
        let lines: Vec<String> = chunk.chunks(50).map(hex).collect();
        kept("snapshot.hex", &lines.join("\n"))
    } else {
        kept("snapshot.hex", "")
    };
    let receiver = Store::new();
    let mut writer = receiver.state.receive().unwrap();
    writer.write_chunk(&unhex(&text)).unwrap();
    // The install recomputes the state hash over the rows.
    let applied = receiver.state.install(writer).unwrap();
    assert_eq!(applied.revision.unwrap().get(), ENTRIES);
    let contents = contents(&receiver.state);
    assert!(contents.count::<Order>() > 20);
    for index in INDEXES {
        let rows = contents.indexes.iter().filter(|(table, _)| *table == index.table).count();
        assert!(rows > 0, "{} is empty", index.name);
    }
}

#[test]
fn a_directory_of_version_1_opens_and_reaches_the_recorded_hash() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("n7");
    if updating() {
        let dir = DataDir::create(&path, &identity()).unwrap();
        let log = Log::open_inline(&dir, LOG).unwrap();
        let state = State::open_inline(&dir, STATE, log.clone()).unwrap();
        log.append(entries(0..ENTRIES + 1, 1), done().0);
        state.apply(&history(), meta(ENTRIES)).unwrap();
        let hash = format!("{:032x}\n", state.applied().hash.0);
        state.close().unwrap();
        log.close();
        drop((state, log, dir));
        std::fs::create_dir_all(golden("node")).unwrap();
        for name in ["node.json", "log.00000001", "state.redb"] {
            std::fs::copy(path.join(name), golden("node").join(name)).unwrap();
        }
        kept("node.hash", &hash);
        std::fs::remove_dir_all(&path).unwrap();
    }
    std::fs::create_dir(&path).unwrap();
    for name in ["node.json", "log.00000001", "state.redb"] {
        std::fs::copy(golden("node").join(name), path.join(name)).unwrap();
    }
    let hash = std::fs::read_to_string(golden("node.hash")).unwrap();
    {
        let look = Inspection::open(&path).unwrap();
        assert_eq!(look.check().unwrap(), vec![]);
        assert_eq!(format!("{:032x}", look.recomputed_hash().unwrap().0), hash.trim());
    }
    let dir = DataDir::open(&path).unwrap();
    assert_eq!(dir.identity(), &identity());
    let log = Log::open_inline(&dir, LOG).unwrap();
    assert_eq!(log.read(0..999, usize::MAX).unwrap(), entries(0..ENTRIES + 1, 1));
    let state = State::open_inline(&dir, STATE, log).unwrap();
    assert_eq!(format!("{:032x}", state.applied().hash.0), hash.trim());
}
