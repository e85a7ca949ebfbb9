//! Crashes: after every single call to the disk, under every way to lose unsynced writes.
//!
//! A fixed script of appends, votes, truncations, purges, applies, checkpoints and a snapshot
//! install runs once and writes down what was acknowledged, and when. Then each prefix of its
//! disk calls is opened again, as if the power had gone there.

use std::sync::Arc;

use bytes::Bytes;
use firstcome_domain::value::Revision;
use firstcome_storage::disk::sim::{Policy, SimDisk};
use firstcome_storage::log::{Entry, Mark};
use firstcome_storage::state::{Committed, StateHash};
use firstcome_storage::{DataDir, Error, Log, LogOptions, State};
use parking_lot::Mutex;

use crate::directory::policies;
use crate::shop::{STATE, Stream, done, entry, file, identity, meta, refused, sim_path};

/// Small files, so that the script fills several.
const LOG: LogOptions = LogOptions { cache_bytes: 1024, segment_bytes: 1024 };

/// The state's entries come from the log: index and revision are one number, and term 1 wins.
const ENTRIES: u64 = 60;

/// Something the caller was told, and how many disk calls had happened by then.
#[derive(Clone, Debug)]
enum Fact {
    /// The log holds exactly these from the first on, up to the last.
    Log(Vec<Entry>),
    Vote(u64),
    Purged(u64),
    /// A checkpoint is durable.
    Checkpoint(u64),
}

/// One run of the script, and what it was told.
struct Run {
    disk: SimDisk,
    facts: Arc<Mutex<Vec<(usize, Fact)>>>,
    /// Whether the log said of a write that it failed.
    failed: Arc<Mutex<bool>>,
    /// How many disk calls had happened before the snapshot took the state's place.
    replacing: Mutex<u64>,
    /// The hash after each revision.
    hashes: Vec<StateHash>,
    commands: Vec<Committed>,
    /// A foreign state at a later revision, as chunks, and where it is.
    snapshot: (Vec<Bytes>, u64, StateHash),
}

/// What a script works with; every step may fail when the disk does.
struct Actor<'a> {
    run: &'a Run,
    log: Log,
    state: State,
    /// The log as the caller sees it.
    entries: Vec<Entry>,
}

impl Run {
    fn new() -> Self {
        let mut stream = Stream::new(42);
        let commands: Vec<_> = (0..ENTRIES).map(|_| stream.entry()).collect();
        let mut hashes = vec![StateHash::default()];
        let sender = crate::apply::Store::new();
        for entry in &commands {
            sender.apply(entry);
            hashes.push(sender.state.applied().hash);
        }
        for _ in 0..40 {
            sender.apply(&stream.entry());
        }
        let mut reader = sender.state.snapshot().unwrap();
        let applied = reader.applied().clone();
        let mut chunks = Vec::new();
        while let Some(chunk) = reader.next_chunk().unwrap() {
            chunks.push(chunk);
        }
        Self {
            disk: SimDisk::new(),
            facts: Arc::default(),
            failed: Arc::default(),
            replacing: Mutex::default(),
            hashes,
            commands,
            snapshot: (chunks, applied.revision.unwrap().get(), applied.hash),
        }
    }

    fn note(&self, fact: Fact) {
        self.facts.lock().push((self.disk.journal_len(), fact));
    }

    /// A callback that writes down what it was told.
    fn noting(&self, fact: Fact) -> firstcome_storage::log::Done {
        let (disk, facts) = (self.disk.clone(), Arc::clone(&self.facts));
        let failed = Arc::clone(&self.failed);
        let is_over = *failed.lock();
        Box::new(move |result| {
            let at = if result.is_ok() {
                assert!(!*failed.lock(), "acknowledged after a failure: {fact:?}");
                disk.journal_len()
            } else {
                *failed.lock() = true;
                // What fails first may be on the disk all the same, but nobody was told.
                usize::MAX
            };
            if !is_over {
                facts.lock().push((at, fact));
            }
        })
    }

    /// The whole script, or as far as the disk lets it.
    fn perform(&self) -> Result<(), Error> {
        let disk = Arc::new(self.disk.clone());
        let dir = DataDir::create_on(disk, &sim_path(), &identity())?;
        let log = Log::open_on_demand(&dir, LOG)?;
        let state = State::open_inline(&dir, STATE, log.clone())?;
        Actor { run: self, log, state, entries: Vec::new() }.perform()
    }
}

impl Actor<'_> {
    fn perform(&mut self) -> Result<(), Error> {
        self.vote(1);
        self.append(1..=10, 1);
        self.log.work();
        self.apply(1, 8)?;
        self.checkpoint(8)?;
        // An old leader's tail, cut off again, in one commit with what replaces it.
        self.append(11..=30, 0);
        self.log.work();
        self.vote(2);
        self.truncate(20);
        self.log.save_committed(Bytes::from_static(b"20"));
        self.truncate(10);
        self.append(11..=25, 1);
        // Applied before the local disk has it: the checkpoint must wait.
        self.apply(9, 25)?;
        self.checkpoint(25)?;
        self.append(26..=40, 1);
        self.append(41..=45, 1);
        self.apply(26, 45)?;
        self.log.work();
        self.purge(15);
        self.log.work();
        self.checkpoint(45)?;
        self.append(46..=60, 1);
        self.vote(3);
        self.apply(46, 55)?;
        self.checkpoint(55)?;
        // A leader far ahead sends its state.
        let (chunks, revision, _) = &self.run.snapshot;
        let mut writer = self.state.receive()?;
        for chunk in chunks {
            writer.write_chunk(chunk)?;
        }
        *self.run.replacing.lock() = self.run.disk.calls();
        self.state.install(writer)?;
        self.run.note(Fact::Checkpoint(*revision));
        self.purge(*revision);
        self.log.work();
        self.vote(4);
        self.log.close();
        self.state.close()
    }

    /// An index starts at 1 here: entry 0 is written with the first append.
    fn append(&mut self, range: std::ops::RangeInclusive<u64>, term: u64) {
        let mut new: Vec<_> = range.map(|index| entry(index, term)).collect();
        if self.entries.is_empty() {
            new.insert(0, entry(0, term));
        }
        self.entries.extend(new.iter().cloned());
        let fact = Fact::Log(self.entries.clone());
        self.log.append(new, self.run.noting(fact));
    }

    fn truncate(&mut self, last: u64) {
        self.entries.retain(|entry| entry.index <= last);
        let fact = Fact::Log(self.entries.clone());
        self.log.truncate_after(Some(last), self.run.noting(fact));
    }

    fn purge(&mut self, upto: u64) {
        let mark = Mark { index: upto, bytes: Bytes::from(upto.to_string()) };
        self.log.purge(mark, self.run.noting(Fact::Purged(upto)));
    }

    fn vote(&mut self, term: u64) {
        let fact = Fact::Vote(term);
        self.log.save_vote(Bytes::from(term.to_string()), self.run.noting(fact));
        self.log.work();
    }

    fn apply(&mut self, first: u64, last: u64) -> Result<(), Error> {
        for revision in first..=last {
            let place = usize::try_from(revision - 1).unwrap();
            let entry = &self.run.commands[place];
            self.state.apply(std::slice::from_ref(entry), meta(revision))?;
        }
        Ok(())
    }

    fn checkpoint(&mut self, revision: u64) -> Result<(), Error> {
        self.state.checkpoint()?;
        self.run.note(Fact::Checkpoint(revision));
        Ok(())
    }
}

/// What a directory must show that was found after these facts.
struct Expected {
    vote: u64,
    checkpoint: u64,
    purged: u64,
    log: Vec<Entry>,
    /// Every log that was ever queued: the found one is a prefix of one of them.
    later: Vec<Vec<Entry>>,
    created: bool,
}

fn expected(run: &Run, calls: usize) -> Expected {
    let mut expected = Expected {
        vote: 0,
        checkpoint: 0,
        purged: 0,
        log: Vec::new(),
        later: Vec::new(),
        created: false,
    };
    for (at, fact) in run.facts.lock().iter() {
        let told = *at <= calls;
        expected.created |= told;
        match fact {
            Fact::Log(entries) if told => expected.log.clone_from(entries),
            Fact::Log(entries) => expected.later.push(entries.clone()),
            Fact::Vote(term) if told => expected.vote = *term,
            Fact::Checkpoint(revision) if told => expected.checkpoint = *revision,
            Fact::Purged(index) if told => expected.purged = *index,
            Fact::Vote(_) | Fact::Checkpoint(_) | Fact::Purged(_) => {}
        }
    }
    expected
}

/// Opens what a crash left behind and checks every promise.
fn check(run: &Run, disk: &SimDisk, calls: usize, told: &str) {
    let expected = expected(run, calls);
    let dir = match DataDir::open_on(Arc::new(disk.clone()), &sim_path()) {
        Err(Error::Empty { .. }) if !expected.created => return,
        opened => opened.unwrap_or_else(|error| panic!("{told}: {error:?}")),
    };
    let log = Log::open_inline(&dir, LOG).unwrap();
    let state = State::open_inline(&dir, STATE, log.clone()).unwrap();

    let vote = log.vote().map_or(0, |vote| String::from_utf8_lossy(&vote).parse().unwrap());
    assert!(vote >= expected.vote, "{told}: the vote went back to {vote}");

    let purged = log.purged().map_or(0, |mark| mark.index);
    assert!(purged >= expected.purged, "{told}: the purged mark went back");
    let found = log.read(0..u64::MAX, usize::MAX).unwrap();
    let logs = std::iter::once(&expected.log).chain(&expected.later);
    let fits = logs.clone().any(|known| {
        let known: Vec<_> =
            known.iter().filter(|entry| entry.index > purged || purged == 0).collect();
        known.len() >= found.len() && known.iter().zip(&found).all(|(a, b)| **a == *b)
    });
    assert!(fits, "{told}: a log that never was: {found:?}");
    // What was acknowledged is there, unless a later truncation was on its way.
    let kept = expected.log.iter().filter(|entry| entry.index > purged).count();
    assert!(
        found.len() >= kept || expected.later.iter().any(|later| later.len() < expected.log.len()),
        "{told}: {} of {kept} acknowledged entries",
        found.len()
    );

    let applied = state.applied();
    let revision = applied.revision.map_or(0, Revision::get);
    assert!(revision >= expected.checkpoint, "{told}: the checkpoint went back to {revision}");
    let (_, snapshot, snapshot_hash) = &run.snapshot;
    if revision == *snapshot {
        assert_eq!(applied.hash, *snapshot_hash, "{told}");
        return;
    }
    assert_eq!(applied.hash, run.hashes[usize::try_from(revision).unwrap()], "{told}");
    // Never ahead of its own log: what it has applied is there, of the winning term.
    assert!(log.last_index().unwrap_or(0) >= revision, "{told}: ahead of the log");
    for entry in found.iter().filter(|entry| entry.index > 0 && entry.index <= revision) {
        assert_eq!(*entry, crate::shop::entry(entry.index, 1), "{told}: applied another entry");
    }
    for entry in &run.commands[usize::try_from(revision).unwrap()..] {
        let revision = entry.stamp.revision.get();
        state.apply(std::slice::from_ref(entry), meta(revision)).unwrap();
    }
    assert_eq!(state.applied().hash, run.hashes[run.commands.len()], "{told}: replay differs");
}

#[test]
fn crash_everywhere() {
    let run = Run::new();
    run.perform().unwrap();
    let mut point = run.disk.crash_points();
    let mut points = 0;
    loop {
        for policy in policies(point.at()) {
            let told = format!("after {} calls under {policy:?}", point.at());
            check(&run, &point.crash(policy), point.at(), &told);
        }
        points += 1;
        if !point.step() {
            break;
        }
    }
    assert!(points > 150, "{points} points");
}

/// The power goes again while the first crash is being repaired.
#[test]
fn crash_again_while_opening() {
    let run = Run::new();
    run.perform().unwrap();
    let mut point = run.disk.crash_points();
    let mut repairs = 0;
    loop {
        if point.at().is_multiple_of(9) {
            let at = point.at();
            let disk = point.crash(Policy::KeepSome(at as u64));
            check(&run, &disk.clone(), at, &format!("after {at} calls"));
            let mut second = disk.crash_points();
            loop {
                if second.at().is_multiple_of(5) {
                    let policy = Policy::KeepSome(second.at() as u64 + 7);
                    let told = format!("after {at} calls, then {}", second.at());
                    check(&run, &second.crash(policy), at, &told);
                    repairs += 1;
                }
                if !second.step() {
                    break;
                }
            }
        }
        if !point.step() {
            break;
        }
    }
    assert!(repairs > 50, "{repairs} second crashes");
}

/// Every call fails once, as a bad or a full disk does: an error, never an acknowledgement, the log
/// takes nothing more, and whatever was acknowledged before is there.
#[test]
fn a_failing_call_is_an_error_never_an_acknowledgement() {
    let run = Run::new();
    run.perform().unwrap();
    let (calls, facts) = (run.disk.calls(), run.facts.lock().len());
    for call in 1..=calls {
        let os_error = if call % 2 == 0 { 5 } else { 28 };
        let run = Run {
            disk: SimDisk::new(),
            facts: Arc::default(),
            failed: Arc::default(),
            replacing: Mutex::default(),
            hashes: run.hashes.clone(),
            commands: run.commands.clone(),
            snapshot: run.snapshot.clone(),
        };
        run.disk.fail_call(call, os_error);
        let result = run.perform();
        if !run.disk.has_failed() {
            // A run in which redb wrote a few pages less.
            assert!(result.is_ok());
            continue;
        }
        let told = format!("call {call} failed with {os_error}");
        // redb ends a file that is replaced or closed without a word; nothing depends on it then.
        let is_told = result.is_err() || *run.failed.lock();
        assert!(is_told || call > *run.replacing.lock(), "{told}: nobody was told");
        assert!(is_told || run.facts.lock().len() == facts, "{told}: it did less");
        let mut point = run.disk.crash_points();
        while point.step() {}
        check(&run, &point.crash(Policy::DropUnsynced), point.at(), &told);
        check(&run, &point.crash(Policy::KeepSome(call)), point.at(), &told);
    }
}

/// The barrier: openraft applies entries that the local disk has not synced. A checkpoint that
/// did not wait would leave a state ahead of its log.
#[test]
fn checkpoint_never_runs_ahead_of_the_log() {
    let run = Run::new();
    let disk = run.disk.clone();
    let dir = DataDir::create_on(Arc::new(disk.clone()), &sim_path(), &identity()).unwrap();
    let log = Log::open_on_demand(&dir, LOG).unwrap();
    let state = State::open_inline(&dir, STATE, log.clone()).unwrap();
    log.append((0..=20).map(|index| entry(index, 1)).collect(), done().0);
    for revision in 1..=20 {
        let entry = &run.commands[revision - 1];
        state.apply(std::slice::from_ref(entry), meta(revision as u64)).unwrap();
    }
    state.checkpoint().unwrap();
    let mut point = disk.crash_points();
    let mut checkpoints = 0;
    while point.step() {
        let found = point.crash(Policy::DropUnsynced);
        let Ok(dir) = DataDir::open_on(Arc::new(found), &sim_path()) else { continue };
        let log = Log::open_inline(&dir, LOG).unwrap();
        let state = State::open_inline(&dir, STATE, log.clone()).unwrap();
        let revision = state.applied().revision.map_or(0, Revision::get);
        assert!(log.last_index().unwrap_or(0) >= revision, "after {} calls", point.at());
        checkpoints += u64::from(revision == 20);
    }
    assert!(checkpoints > 0, "the checkpoint never became durable");
}

/// The same with a disk that refuses the log's commit: no checkpoint then.
#[test]
fn without_a_durable_log_there_is_no_checkpoint() {
    let run = Run::new();
    let dir = DataDir::create_on(Arc::new(run.disk.clone()), &sim_path(), &identity()).unwrap();
    let log = Log::open_on_demand(&dir, LOG).unwrap();
    let state = State::open_inline(&dir, STATE, log.clone()).unwrap();
    let before = run.disk.bytes_of(&file("state.redb")).unwrap();
    log.append((0..=20).map(|index| entry(index, 1)).collect(), done().0);
    state.apply(&run.commands[..20], meta(20)).unwrap();
    run.disk.fail_call(run.disk.calls() + 1, 5);
    refused(state.checkpoint(), "/log.0");
    assert_eq!(run.disk.bytes_of(&file("state.redb")).unwrap(), before);
    refused(state.apply(&run.commands[20..21], meta(21)), "Io");
}
