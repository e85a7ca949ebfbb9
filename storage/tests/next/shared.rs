//! What the tests of both builds share: recorded directories and snapshots, and one history that
//! both go on with.
//!
//! The recorded files are in `tests/golden`: `v1` is what this release writes, `next` what the build
//! with the feature `next` does. Write them anew in this order, with `UPDATE_GOLDENFILES=1`:
//! `--test storage golden`, `--test storage next_build::the_history`, `--features next --test next`.

use std::path::{Path, PathBuf};

use firstcome_storage::codec;
use firstcome_storage::log::Entry;
use firstcome_storage::state::{Committed, Decided};
use firstcome_storage::{DataDir, Error, Log, State};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

use crate::shop::{LOG, STATE, Stream, committed, identity, meta};

/// Entries that both builds apply to what version 1 left: enough that every kind of command is done
/// and refused, and that orders expire and keys are used again.
pub(crate) const FURTHER: usize = 300;

/// A recorded file or directory.
pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Whether recorded files are to be written anew.
pub(crate) fn updating() -> bool {
    std::env::var_os("UPDATE_GOLDENFILES").is_some()
}

/// What a recorded text file holds, or held before it was rewritten just now.
pub(crate) fn recorded(name: &str, now: &str) -> String {
    if updating() {
        std::fs::create_dir_all(golden(name).parent().unwrap()).unwrap();
        std::fs::write(golden(name), now).unwrap();
    }
    std::fs::read_to_string(golden(name)).unwrap()
}

/// Reads the bytes that a file spells in hexadecimal digits.
pub(crate) fn unhex(name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(golden(name)).unwrap();
    let digits: Vec<u8> =
        text.chars().filter_map(|c| c.to_digit(16)).map(|d| u8::try_from(d).unwrap()).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// The files of a node.
pub(crate) const FILES: [&str; 3] = ["node.json", "log.00000001", "state.redb"];

/// A directory of a test, with a node or room for one.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) fn empty() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A copy of a recorded node.
    pub(crate) fn copy_of(name: &str) -> Self {
        let home = Self::empty();
        std::fs::create_dir(home.path()).unwrap();
        for file in FILES {
            std::fs::copy(golden(name).join(file), home.path().join(file)).unwrap();
        }
        home
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("n7")
    }

    /// Starts the node.
    pub(crate) fn open(&self) -> Result<Node, Error> {
        let dir = DataDir::open(&self.path())?;
        Node::on(dir)
    }

    /// Starts a node that never ran.
    pub(crate) fn create(&self) -> Node {
        Node::on(DataDir::create(&self.path(), &identity()).unwrap()).unwrap()
    }
}

/// A running node, without threads.
pub(crate) struct Node {
    pub(crate) state: State,
    pub(crate) log: Log,
    _dir: DataDir,
}

impl Node {
    fn on(dir: DataDir) -> Result<Self, Error> {
        let log = Log::open_inline(&dir, LOG)?;
        let state = State::open_inline(&dir, STATE, log.clone())?;
        Ok(Self { state, log, _dir: dir })
    }

    /// The last applied entry.
    pub(crate) fn applied(&self) -> u64 {
        self.state.applied().revision.unwrap().get()
    }

    /// Applies one entry.
    pub(crate) fn apply(&self, entry: &Committed) -> Result<Vec<Decided>, Error> {
        self.state.apply(std::slice::from_ref(entry), meta(entry.stamp.revision.get()))
    }

    /// Applies entries that can be applied, and tells of each what it led to.
    pub(crate) fn account_of(&self, entries: &[Committed]) -> Vec<String> {
        let line = |entry| {
            let decided = self.apply(entry).unwrap();
            let outcome = decided.first().map_or(0, |decided| xxh3_64(&decided.outcome.0));
            let revision = entry.stamp.revision;
            format!("{revision} {:032x} {outcome:016x}", self.state.applied().hash.0)
        };
        entries.iter().map(line).collect()
    }

    /// Takes a snapshot of one chunk.
    pub(crate) fn install(&self, chunk: &[u8]) -> Result<(), Error> {
        let mut writer = self.state.receive()?;
        writer.write_chunk(chunk)?;
        self.state.install(writer).map(drop)
    }

    /// Stops it in order.
    pub(crate) fn close(self) {
        self.state.close().unwrap();
        self.log.close();
    }
}

/// What comes after the history that is recorded as version 1.
pub(crate) fn further(after: u64) -> Vec<Committed> {
    let mut stream = Stream::new(2024);
    (0..after).for_each(|_| drop(stream.entry()));
    (0..FURTHER).map(|_| stream.entry()).collect()
}

/// Reads an entry of the log: its time and its command, if it has one.
pub(crate) fn unlogged(entry: &Entry) -> Result<Committed, Error> {
    let (now, command) = entry.bytes.split_first_chunk::<8>().unwrap();
    let command = (!command.is_empty()).then(|| codec::decode_command(command)).transpose();
    let command = command.map_err(|error| Error::undecodable("log".as_ref(), error))?;
    Ok(committed(entry.index, i64::from_le_bytes(*now), command))
}
