//! Operations and faults drawn from bytes, on a simulated disk, against maps that forget nothing.
//!
//! Two bytes are one operation: what, and how much. The log queues and writes on demand, so what
//! is acknowledged is known exactly. After a crash, under any policy, the log, the vote and the
//! purged mark are those of the last acknowledgement, or of the write that failed under way; the
//! state is one that was, and not before the last checkpoint. Its rows are those of
//! [`Memory`] at that revision, and so are the rows of a view that was taken earlier, whatever
//! was applied or saved meanwhile.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use firstcome_domain::command::{Adjustment, Tick};
use firstcome_domain::journal::row::ReceiptsByScope;
use firstcome_domain::kernel::row::{Due, Index};
use firstcome_domain::order::row::HoldsDue;
use firstcome_domain::registry::{Declared, KindVisitor, TABLES, visit_kind};
use firstcome_domain::testing::memory::Memory;
use firstcome_domain::view::{FIRST_DUE, LAST_DUE};
use firstcome_domain::{Action, Actor, Command, Millis, OrderId, Revision, Stamp, View, decide};
use firstcome_storage::dir::IdentityState;
use firstcome_storage::disk::sim::{Policy, SimDisk};
use firstcome_storage::inspect::Inspection;
use firstcome_storage::log::{Done, Entry, Mark};
use firstcome_storage::state::{Committed, ReadView, StateHash};
use firstcome_storage::{DataDir, Identity, Log, LogOptions, State, StateOptions, codec};

use crate::{Reached, shop};

/// Operations of one input: a crash replays the whole journal.
const STEPS_MAX: usize = 40;

const PATH: &str = "/data";

/// What a log holds, as simply as it can be said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Model {
    entries: BTreeMap<u64, Bytes>,
    last: Option<u64>,
    purged: Option<u64>,
    vote: Option<Bytes>,
}

/// Appends, truncations, purges, votes, applies, checkpoints, crashes and failing calls.
pub fn storage_ops(data: &[u8]) -> Reached {
    let mut world = World::new();
    for step in data.chunks_exact(2).take(STEPS_MAX) {
        if world.step(step[0], step[1]).is_break() {
            break;
        }
    }
    world.crash(Policy::DropUnsynced);
    world.inspect();
    if world.acknowledged > 0 { Reached::Accepted } else { Reached::Refused }
}

struct World {
    disk: SimDisk,
    open: Option<(DataDir, Log, State)>,
    /// Everything queued.
    queued: Model,
    /// Everything acknowledged.
    durable: Model,
    /// What was applied, by revision; the state may be found at any of them from `saved` on.
    states: BTreeMap<u64, Expected>,
    /// A view, and the revision at which it was taken.
    view: Option<(ReadView, u64)>,
    saved: u64,
    acknowledged: u64,
    /// A callback has heard of an error since the last opening.
    failed: Arc<AtomicBool>,
}

/// The state at one revision.
#[derive(Clone, Default)]
struct Expected {
    hash: StateHash,
    rows: Memory,
}

impl World {
    fn new() -> Self {
        let identity = Identity {
            format: 1,
            cluster_uuid: "0192f0c1-2345-7abc-8def-0123456789ab".to_owned(),
            incarnation: 0,
            node_id: 1,
            name: "n1".to_owned(),
            state: IdentityState::Active,
        };
        let disk = SimDisk::new();
        let dir = DataDir::create_on(Arc::new(disk.clone()), Path::new(PATH), &identity);
        drop(dir.expect("a directory"));
        let mut world = Self {
            disk,
            open: None,
            queued: Model::default(),
            durable: Model::default(),
            states: BTreeMap::from([(0, Expected::default())]),
            view: None,
            saved: 0,
            acknowledged: 0,
            failed: Arc::default(),
        };
        world.reopen();
        world
    }

    fn reopen(&mut self) {
        let dir = DataDir::open_on(Arc::new(self.disk.clone()), Path::new(PATH)).expect("it opens");
        let log = Log::open_on_demand(&dir, LogOptions { cache_bytes: 64, segment_bytes: 4096 })
            .expect("a log");
        let options = StateOptions { cache_bytes: 1 << 20, ..StateOptions::default() };
        let state = State::open_inline(&dir, options, log.clone()).expect("a state");
        self.failed = Arc::default();
        self.open = Some((dir, log, state));
    }

    fn log(&self) -> &Log {
        &self.open.as_ref().expect("open").1
    }

    fn state(&self) -> &State {
        &self.open.as_ref().expect("open").2
    }

    fn done(&self) -> Done {
        let failed = Arc::clone(&self.failed);
        Box::new(move |result| {
            failed.fetch_or(result.is_err(), Ordering::Relaxed);
        })
    }

    fn step(&mut self, what: u8, amount: u8) -> ControlFlow<()> {
        match what % 12 {
            0..=2 => self.append(amount),
            3 => self.truncate(amount),
            4 => self.purge(amount),
            5 => {
                let vote = Bytes::copy_from_slice(&[amount]);
                self.queued.vote = Some(vote.clone());
                self.log().save_vote(vote, self.done());
            }
            6 => return self.work(),
            7 => self.apply(amount),
            8 => return self.checkpoint(),
            9 => self.crash(policy(amount)),
            10 => self.disk.fail_call(self.disk.calls() + 1 + u64::from(amount % 16), 5),
            _ => {
                self.check_reads();
                self.check_view();
            }
        }
        ControlFlow::Continue(())
    }

    fn append(&mut self, amount: u8) {
        let first = self.queued.last.map_or(0, |last| last + 1);
        let entries: Vec<Entry> = (first..=first + u64::from(amount % 4))
            .map(|index| Entry { index, bytes: Bytes::from(vec![amount; usize::from(amount)]) })
            .collect();
        for entry in &entries {
            self.queued.entries.insert(entry.index, entry.bytes.clone());
            self.queued.last = Some(entry.index);
        }
        self.log().append(entries, self.done());
    }

    /// Raft never truncates what is purged or applied.
    fn truncate(&mut self, amount: u8) {
        let floor = self.queued.purged.max(self.states.keys().next_back().copied());
        let Some(last) = self.queued.last else { return };
        let keep = last.saturating_sub(u64::from(amount % 8));
        if floor.is_some_and(|floor| keep < floor) {
            return;
        }
        self.queued.entries.retain(|index, _| *index <= keep);
        self.queued.last = Some(keep);
        self.log().truncate_after(Some(keep), self.done());
    }

    /// Raft purges only what a checkpoint holds.
    fn purge(&mut self, amount: u8) {
        let index = self.saved.saturating_sub(u64::from(amount % 4));
        if self.queued.purged.is_some_and(|purged| index <= purged) || self.saved == 0 {
            return;
        }
        self.queued.entries.retain(|entry, _| *entry > index);
        self.queued.purged = Some(index);
        self.queued.last = self.queued.last.max(Some(index));
        let mark = Mark { index, bytes: Bytes::from_static(b"mark") };
        self.log().purge(mark, self.done());
    }

    fn work(&mut self) -> ControlFlow<()> {
        self.log().work();
        if self.has_failed() {
            return ControlFlow::Break(());
        }
        self.acknowledge();
        ControlFlow::Continue(())
    }

    fn acknowledge(&mut self) {
        self.acknowledged += u64::from(self.durable != self.queued);
        self.durable.clone_from(&self.queued);
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Applies what the log holds and the state does not, as Raft would.
    fn apply(&mut self, amount: u8) {
        let applied = self.state().applied().revision.map_or(0, Revision::get);
        let last = self.queued.last.unwrap_or(0).min(applied + u64::from(amount % 4));
        for revision in applied + 1..=last {
            let (stamp, command) = (stamp(revision), command(revision));
            let Expected { mut rows, .. } = self.states[&(revision - 1)].clone();
            let recorded = decide(&rows, &command, stamp)
                .record(|outcome| codec::encode_at(outcome, self.state().level()));
            let entry = Committed { stamp, command: Some(command) };
            let Ok(decided) = self.state().apply(&[entry], Bytes::new()) else { return };
            let [decided] = &decided[..] else { panic!("one command, but {decided:?}") };
            assert_eq!(
                (&decided.outcome, decided.decided, decided.replayed),
                (&recorded.outcome, recorded.decided, recorded.replayed)
            );
            rows.apply(stamp, &recorded.changes);
            let hash = self.state().applied().hash;
            self.states.insert(revision, Expected { hash, rows });
        }
    }

    fn checkpoint(&mut self) -> ControlFlow<()> {
        match self.state().checkpoint() {
            Ok(applied) => {
                self.saved = applied.revision.map_or(0, Revision::get);
                // The barrier has written the log, too, unless there was nothing to save.
                if !self.has_failed() {
                    return self.work();
                }
                ControlFlow::Break(())
            }
            Err(_) => ControlFlow::Break(()),
        }
    }

    /// The power goes, and comes back.
    fn crash(&mut self, policy: Policy) {
        self.view = None;
        let mut point = self.disk.crash_points();
        while point.step() {}
        self.open = None;
        self.disk = point.crash(policy);
        self.reopen();
        let found = self.found();
        assert!(
            found == self.durable || found == self.queued,
            "{found:?} is neither acknowledged, {:?}, nor queued, {:?}",
            self.durable,
            self.queued
        );
        self.queued.clone_from(&found);
        self.durable = found;
        let applied = self.state().applied();
        let revision = applied.revision.map_or(0, Revision::get);
        assert!(revision >= self.saved, "a checkpoint at {} is lost", self.saved);
        let expected = self.states.get(&revision).expect("a state that was");
        assert_eq!(applied.hash, expected.hash, "at {revision}");
        assert!(self.queued.last.unwrap_or(0) >= revision, "the state is ahead of its log");
        assert_same(&self.state().view().expect("a view"), &expected.rows);
        self.states.retain(|known, _| *known <= revision);
        self.saved = revision;
    }

    /// The view that was taken last time shows what it showed then; takes another one.
    fn check_view(&mut self) {
        if let Some((view, revision)) = self.view.take() {
            assert_same(&view, &self.states[&revision].rows);
        }
        // A poisoned state gives no view.
        let Ok(view) = self.state().view() else { return };
        let revision = self.state().applied().revision.map_or(0, Revision::get);
        assert_same(&view, &self.states[&revision].rows);
        self.view = Some((view, revision));
    }

    /// Nothing is wrong offline, either: indexes follow from rows, counts and hash are right.
    fn inspect(&mut self) {
        self.open = None;
        let disk = Arc::new(self.disk.clone());
        let inspection = Inspection::open_on(disk, Path::new(PATH)).expect("it opens");
        assert_eq!(inspection.check().expect("it can be read"), []);
    }

    fn found(&self) -> Model {
        let log = self.log();
        let entries = log.read(0..u64::MAX, usize::MAX).expect("the log can be read");
        Model {
            entries: entries.into_iter().map(|entry| (entry.index, entry.bytes)).collect(),
            last: log.last_index(),
            purged: log.purged().map(|mark| mark.index),
            vote: log.vote(),
        }
    }

    /// Readers see what is queued; a vote only once it is durable.
    fn check_reads(&self) {
        if self.has_failed() {
            return;
        }
        let found = self.found();
        let expected = Model { vote: found.vote.clone(), ..self.queued.clone() };
        assert_eq!(found, expected);
        assert_eq!(found.vote, self.durable.vote, "a vote that is not durable");
    }
}

/// Ten seconds pass from entry to entry, so an order expires six entries later.
fn stamp(revision: u64) -> Stamp {
    let now = Millis::new(i64::try_from(revision).unwrap_or(i64::MAX).saturating_mul(10_000));
    Stamp { revision: Revision::new(revision), now }
}

/// What an entry asks for: first there is something to buy, then somebody buys, cancels, repeats
/// a key, or lets time pass.
fn command(revision: u64) -> Command {
    let number = |divisor: u64| u8::try_from(revision / divisor % 5).unwrap_or(0);
    let id = u32::try_from(revision).unwrap_or(u32::MAX);
    let buyer = shop::customer(number(7));
    match revision {
        1 => shop::by(shop::STAFF, shop::product(50)),
        2 => shop::by(shop::STAFF, shop::sale(1, 30, 0, None)),
        _ => match revision % 7 {
            0 | 1 => {
                let lines = [(shop::POOLS[1], 1), (shop::POOLS[0], 1)];
                let receipt = Some(shop::key(number(7), number(3)));
                Command { receipt, ..shop::by(buyer, shop::order(id, &lines)) }
            }
            2 => shop::by(shop::customer(number(2)), shop::order(id, &[(shop::POOLS[1], 2)])),
            3 => shop::by(shop::STAFF, shop::cancel(id - 1)),
            4 => shop::by(shop::STAFF, shop::adjust(shop::POOLS[0], Adjustment::In, revision)),
            5 => shop::by(Actor::Node, Action::Tick(Tick)),
            _ => {
                shop::by(shop::STAFF, if number(7) == 0 { shop::pause(1) } else { shop::resume(1) })
            }
        },
    }
}

/// All rows are equal, one by one and as a list, and so are indexes that live in memory.
fn assert_same(view: &ReadView, rows: &Memory) {
    struct Compare<'a>(&'a ReadView, &'a Memory);
    impl KindVisitor for Compare<'_> {
        type Output = ();

        fn kind<R: Declared>(self) {
            let Self(view, rows) = self;
            let mut found = Vec::new();
            view.each::<R>(|row| {
                found.push(row.clone());
                true
            });
            let expected: Vec<R> = rows.all::<R>().cloned().collect();
            assert_eq!(found, expected, "{}", R::NAME);
            for row in &expected {
                assert_eq!(view.get::<R>(row.key()).as_deref(), Some(row), "{}", R::NAME);
            }
        }
    }
    for table in TABLES {
        visit_kind(table.table, Compare(view, rows)).expect("a table of the registry has a kind");
    }
    assert_same_keys::<Due>(view, rows, FIRST_DUE, LAST_DUE);
    let (first, last) = (Revision::new(0), Revision::new(u64::MAX));
    assert_same_keys::<ReceiptsByScope>(view, rows, (0, first), (u128::MAX, last));
    for pool in shop::POOLS {
        let first = (pool, Millis::new(i64::MIN), OrderId::new(0));
        let last = (pool, Millis::new(i64::MAX), OrderId::new(u128::MAX));
        assert_same_keys::<HoldsDue>(view, rows, first, last);
    }
    assert!(view.error().is_none(), "the disk can be read");
}

fn assert_same_keys<I: Index>(view: &ReadView, rows: &Memory, first: I::Key, last: I::Key) {
    let found = view.scan::<I>(first, last, usize::MAX);
    assert_eq!(found, rows.scan::<I>(first, last, usize::MAX), "{}", I::NAME);
}

fn policy(amount: u8) -> Policy {
    let seed = u64::from(amount / 6);
    match amount % 6 {
        0 => Policy::KeepAll,
        1 => Policy::DropUnsynced,
        2 => Policy::KeepPrefix(seed),
        3 => Policy::KeepSome(seed),
        4 => Policy::TearLast(seed),
        _ => Policy::HoldNames,
    }
}
