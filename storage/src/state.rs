//! The rows: applied in memory, checkpointed to `state.redb` behind the log barrier.
//!
//! The log is the write-ahead log, so apply touches no file. Each decision's changes go to the
//! active memtable. A checkpoint freezes it, waits until the log is durable (the barrier: a state
//! must never be ahead of its own log), writes the frozen rows and how far they are into redb in
//! one durable transaction, and drops them. A restart begins at the last checkpoint and Raft
//! replays the log from there.
//!
//! An error is never an answer: the state is poisoned, every later call returns the error, and
//! the hook given to [`State::on_failure`] stops the node.

pub(crate) mod checkpoint;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use firstcome_domain::kernel::row::TableId;
use firstcome_domain::kernel::version::Level;
use firstcome_domain::receipt::OutcomeBytes;
use firstcome_domain::{Command, Outcome, Recorded, Revision, Stamp};
use firstcome_fault::{Bug, Point, armed, reach};
use parking_lot::{Condvar, Mutex, RwLock};

use crate::dir::{DataDir, LockedDir, OpenFile, STATE_FILE};
use crate::error::Error;
use crate::file::{self, Backend};
use crate::hot::HotRows;
use crate::log::Log;
use crate::scan::{Base, Layers};
use crate::snapshot::{SnapshotReader, SnapshotWriter};
use crate::stored::{StateMeta, load_meta};
use crate::view::{OpenViews, Seen, Working};
use crate::write::Head;
use crate::{codec, indexes, panics, seeded, table};

pub use crate::stored::{Applied, StateHash};
pub use crate::view::ReadView;

/// Limits of the state.
#[derive(Clone, Copy, Debug)]
pub struct StateOptions {
    /// redb's page cache.
    pub cache_bytes: usize,
    /// Longest time between checkpoints while there is something to save.
    pub checkpoint_interval: std::time::Duration,
    /// Changed bytes after which a checkpoint starts at once.
    pub checkpoint_bytes: usize,
}

impl Default for StateOptions {
    /// 128 MiB of pages; a checkpoint every second or 16 MiB.
    fn default() -> Self {
        Self {
            cache_bytes: 128 * 1024 * 1024,
            checkpoint_interval: std::time::Duration::from_secs(1),
            checkpoint_bytes: 16 * 1024 * 1024,
        }
    }
}

/// Apply waits when this many times `checkpoint_bytes` are unsaved: memory stays bounded when
/// the disk is slower than the log.
const BACKLOG_FACTOR: usize = 4;

/// To see how far the file is takes a handful of pages.
const LOOK_CACHE_BYTES: usize = 1024 * 1024;

/// One committed log entry.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Revision and the leader's time; `now` is clamped so that log time never goes back.
    pub stamp: Stamp,
    /// `None` for Raft's own entries: only the revision moves.
    pub command: Option<Command>,
}

/// What became of one command.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Decided {
    /// The answer, as it was encoded for the receipt and the reply.
    pub outcome: OutcomeBytes,
    /// The stamp that decided it; an earlier one for a replay.
    pub decided: Stamp,
    /// Whether it came from a receipt.
    pub replayed: bool,
}

impl Decided {
    /// The answer, decoded; fails for one of a later release.
    pub fn outcome(&self) -> Result<Outcome, codec::DecodeError> {
        codec::decode_versioned(&self.outcome.0, "an outcome")
    }
}

/// Stops the node; called once, with the error that poisoned the state. It is called under the
/// state's locks: it must not call back, only wake the thread that ends the process.
pub use crate::error::FailureHook;

/// What the state hides behind its handle.
pub(crate) struct Shared {
    pub(crate) locked: Arc<LockedDir>,
    pub(crate) path: PathBuf,
    pub(crate) log: Log,
    pub(crate) options: StateOptions,
    /// What apply works on.
    pub(crate) head: Mutex<Head>,
    /// What new views begin with: replaced after each call of apply.
    published: RwLock<Published>,
    open: Arc<OpenViews>,
    /// The open file, and how far it is. Held during a checkpoint, a snapshot and an install:
    /// one of them at a time.
    pub(crate) saved: Mutex<Saved>,
    /// How far the last checkpoint is, for readers that must not wait for a running one.
    checkpointed: Mutex<Applied>,
    failure: Mutex<Failure>,
    /// Bytes in the active memtable.
    unsaved_bytes: AtomicUsize,
    wake: Mutex<Wake>,
    /// The checkpoint thread has something to do.
    wanted: Condvar,
    /// A checkpoint has taken the active memtable, or the state is poisoned.
    taken: Condvar,
}

/// The rows as they are after whole calls of apply.
struct Published {
    layers: Layers,
    hot: Arc<HotRows>,
    applied: Applied,
    level: Level,
}

impl Published {
    fn of(head: &Head) -> Self {
        let (layers, hot) = (head.layers.clone(), Arc::clone(&head.hot));
        Self { layers, hot, applied: head.meta.applied(), level: Level(head.meta.level) }
    }
}

/// The state file.
pub(crate) struct Saved {
    pub(crate) db: Arc<OpenFile>,
    pub(crate) meta: StateMeta,
}

#[derive(Default)]
struct Failure {
    error: Option<Error>,
    hook: Option<FailureHook>,
}

#[derive(Default)]
struct Wake {
    wanted: bool,
    closing: bool,
}

struct Owner {
    shared: Arc<Shared>,
    /// `None` if inline: the calling thread saves when there is enough.
    thread: Option<Mutex<Option<JoinHandle<()>>>>,
}

/// Handle to the state; cheap to clone.
#[derive(Clone)]
pub struct State {
    owner: Arc<Owner>,
}

impl State {
    /// Opens `state.redb` and starts the checkpoint thread; checkpoints wait for `log`.
    pub fn open(dir: &DataDir, options: StateOptions, log: Log) -> Result<Self, Error> {
        let shared = Self::load(dir, options, log)?;
        let thread = std::thread::Builder::new().name("checkpoint".into()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                if catch_unwind(AssertUnwindSafe(|| shared.run_checkpoints())).is_err() {
                    shared.fail(Error::Invariant("the checkpoint thread panicked".into()));
                }
            }
        });
        let thread = thread.map_err(|error| Error::io(&shared.path, error))?;
        Ok(Self { owner: Arc::new(Owner { shared, thread: Some(Mutex::new(Some(thread))) }) })
    }

    /// Opens `state.redb` without a thread: apply checkpoints by itself after
    /// `checkpoint_bytes`, and nothing else does but [`State::checkpoint`]. For simulation and
    /// tests.
    pub fn open_inline(dir: &DataDir, options: StateOptions, log: Log) -> Result<Self, Error> {
        let shared = Self::load(dir, options, log)?;
        Ok(Self { owner: Arc::new(Owner { shared, thread: None }) })
    }

    fn load(dir: &DataDir, options: StateOptions, log: Log) -> Result<Arc<Shared>, Error> {
        let locked = Arc::clone(dir.locked());
        let path = locked.file(STATE_FILE);
        // Nothing is written to rows of a later release, not even what redb writes by itself.
        let look =
            locked.disk.open_read_only(&path).map_err(|error| Error::missing(&path, error))?;
        file::guarded(&path, || {
            let look = file::look_into(look, &path, LOOK_CACHE_BYTES)?;
            load_meta(&look, &path).map(drop)
        })?;
        let handle = locked.disk.open(&path).map_err(|error| Error::missing(&path, error))?;
        let db = file::open(Backend(handle), &path, options.cache_bytes)?;
        let db = Arc::new(OpenFile::new(db, Arc::clone(&locked)));
        let meta = file::guarded(&path, || indexes::ensure(&db, &path, load_meta(&db, &path)?))?;
        let head = load_head(&db, &path, meta.clone(), None)?;
        Ok(Arc::new(Shared {
            locked,
            log,
            options,
            checkpointed: Mutex::new(meta.applied()),
            published: RwLock::new(Published::of(&head)),
            open: Arc::default(),
            head: Mutex::new(head),
            saved: Mutex::new(Saved { db, meta }),
            path,
            failure: Mutex::new(Failure::default()),
            unsaved_bytes: AtomicUsize::new(0),
            wake: Mutex::new(Wake::default()),
            wanted: Condvar::new(),
            taken: Condvar::new(),
        }))
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.owner.shared
    }

    /// How far it is, memory included.
    pub fn applied(&self) -> Applied {
        self.shared().published.read().applied.clone()
    }

    /// The feature level that the cluster runs at.
    pub fn level(&self) -> Level {
        self.shared().published.read().level
    }

    /// How far the last durable checkpoint is.
    pub fn checkpointed(&self) -> Applied {
        self.shared().checkpointed.lock().clone()
    }

    /// Says whom to call when the state is poisoned; at once if it already is.
    pub fn on_failure(&self, hook: FailureHook) {
        let mut failure = self.shared().failure.lock();
        if let Some(error) = &failure.error {
            hook(error);
        }
        failure.hook = Some(hook);
    }

    /// Applies committed entries in order; answers one item for each that has a command.
    /// `meta` is what `applied().meta` gives from then on.
    ///
    /// Readers see all of it or nothing, and do not wait. An error means that nothing of this call
    /// may be answered.
    pub fn apply(&self, entries: &[Committed], meta: Bytes) -> Result<Vec<Decided>, Error> {
        let shared = self.shared();
        shared.wait_for_room(self.owner.thread.is_some());
        reach(Point::ApplyCommitBefore);
        let mut head = shared.head.lock();
        shared.check()?;
        let result = apply_all(&mut head, &shared.open, entries, meta);
        let unsaved = head.layers.active.read().bytes();
        if result.is_ok() {
            *shared.published.write() = Published::of(&head);
        }
        // Under the lock: a checkpoint that takes these rows sets it back after this, not before.
        shared.unsaved_bytes.store(unsaved, Ordering::Relaxed);
        // Also under the lock: no checkpoint may take the rows of a call that failed halfway.
        let decided = result.map_err(|error| shared.fail(error))?;
        drop(head);
        reach(Point::ApplyCommitAfter);
        if unsaved >= shared.options.checkpoint_bytes {
            if self.owner.thread.is_some() {
                shared.want_checkpoint();
            } else {
                shared.checkpoint()?;
            }
        }
        Ok(decided)
    }

    /// Whether `apply` would go ahead now, without waiting for a checkpoint to take rows.
    pub fn has_room(&self) -> bool {
        self.shared().has_room()
    }

    /// The rows as the last applied entry left them. They stay as they are, and apply goes on.
    pub fn view(&self) -> Result<ReadView, Error> {
        let shared = self.shared();
        shared.check()?;
        let now = shared.published.read();
        let (layers, hot) = (now.layers.clone(), Arc::clone(&now.hot));
        Ok(ReadView::new(layers, hot, Arc::clone(&shared.open), now.applied.clone()))
    }

    /// Reads rows as the last applied entry left them. An error of the disk poisons the state.
    pub fn read<R>(&self, f: impl FnOnce(&ReadView) -> R) -> Result<R, Error> {
        let view = self.view()?;
        let answer = f(&view);
        match view.error() {
            None => Ok(answer),
            Some(error) => Err(self.shared().fail(error)),
        }
    }

    /// The hash right after a revision (or the last applied one before it), while remembered.
    /// `None` for a revision that is still ahead.
    pub fn hash_at(&self, revision: Revision) -> Option<StateHash> {
        self.shared().head.lock().hash_at(revision)
    }

    /// Rows per primary table, by name.
    pub fn row_counts(&self) -> Vec<(&'static str, u64)> {
        let head = self.shared().head.lock();
        let primary = table::all().filter(|table| table.is_primary());
        primary.map(|table| (table.name, head.meta.count(table.id))).collect()
    }

    /// Makes everything applied so far durable; blocks.
    pub fn checkpoint(&self) -> Result<Applied, Error> {
        self.shared().checkpoint()
    }

    /// A stream of everything at one revision; checkpoints first.
    pub fn snapshot(&self) -> Result<SnapshotReader, Error> {
        let shared = self.shared();
        let mut saved = shared.saved.lock();
        if !armed(Bug::SnapshotMetaAhead) {
            shared.checkpoint_into(&mut saved)?;
        }
        SnapshotReader::open(Arc::clone(&saved.db), &shared.path, &saved.meta)
    }

    /// Starts receiving a snapshot into a file of its own.
    pub fn receive(&self) -> Result<SnapshotWriter, Error> {
        let shared = self.shared();
        shared.check()?;
        SnapshotWriter::create(&shared.locked, shared.options.cache_bytes)
    }

    /// Verifies what was received, swaps it in, and answers how far the state is now. One that is
    /// behind the state is refused and changes nothing; [`SnapshotWriter::write_chunk`] refused one
    /// with rows that cannot be read.
    pub fn install(&self, writer: SnapshotWriter) -> Result<Applied, Error> {
        let shared = self.shared();
        let mut saved = shared.saved.lock();
        shared.check()?;
        let (db, meta, file) = writer.finish()?;
        let db = Arc::new(OpenFile::new(db, Arc::clone(&shared.locked)));
        // Before the swap: a state that cannot be read must not replace one that works.
        let meta = file::guarded(&shared.path, || indexes::ensure(&db, &shared.path, meta))?;
        let without = seeded::index_lost_with_snapshot();
        let loaded = load_head(&db, &shared.path, meta.clone(), without)?;
        let mut head = shared.head.lock();
        if meta.revision < head.meta.revision {
            return Err(Error::Invariant(format!(
                "a snapshot at {:?} cannot replace a state at {:?}",
                meta.revision, head.meta.revision
            )));
        }
        file.swap_in().map_err(|error| shared.fail(error))?;
        *head = loaded;
        *shared.published.write() = Published::of(&head);
        shared.unsaved_bytes.store(0, Ordering::Relaxed);
        *shared.checkpointed.lock() = meta.applied();
        let applied = meta.applied();
        *saved = Saved { db, meta };
        Ok(applied)
    }

    /// Last checkpoint, then ends the thread.
    pub fn close(&self) -> Result<(), Error> {
        self.owner.end_thread();
        self.shared().checkpoint().map(|_| ())
    }
}

/// The rows of a file, with the indexes that live in memory.
fn load_head(
    db: &Arc<OpenFile>,
    path: &std::path::Path,
    meta: StateMeta,
    without: Option<TableId>,
) -> Result<Head, Error> {
    let layers = file::guarded(path, || {
        let layers = Layers::over(Base::open(db, path)?);
        indexes::fill_live(&layers, without)?;
        Ok(layers)
    })?;
    Ok(Head::new(layers, meta))
}

/// Decides and writes entries one after the other.
fn apply_all(
    head: &mut Head,
    open: &OpenViews,
    entries: &[Committed],
    meta: Bytes,
) -> Result<Vec<Decided>, Error> {
    let mut answers = Vec::with_capacity(entries.len());
    // What new views begin at until this call is over.
    let readers = open.readers(head.meta.applied_index());
    head.tidy(readers);
    for entry in entries {
        let revision = entry.stamp.revision;
        if head.meta.revision.is_some_and(|last| revision <= last) {
            return Err(Error::Invariant(format!(
                "entry {revision} was applied before; the state is at {:?}",
                head.meta.revision
            )));
        }
        if let Some(command) = &entry.command {
            let now = seeded::log_time(head.meta.now.log_time(entry.stamp.now));
            let stamp = Stamp { revision, now };
            let (recorded, seen) = decide(head, command, stamp)?;
            head.write(recorded.changes, revision, &seen, readers)?;
            head.meta.now = now;
            answers.push(Decided {
                outcome: recorded.outcome,
                decided: recorded.decided,
                replayed: recorded.replayed,
            });
        }
        head.meta.revision = Some(revision);
        head.remember_hash();
    }
    head.meta.raft = meta;
    Ok(answers)
}

/// Decides one command over the rows as they are. A read error wins over whatever was concluded
/// from it, panics included: rules rely on rows that one bad disk may not deliver.
fn decide(head: &Head, command: &Command, stamp: Stamp) -> Result<(Recorded, Seen), Error> {
    let view = Working::new(&head.layers, &head.hot, head.meta.applied_index());
    let level = Level(head.meta.level);
    let decided = panics::caught(|| {
        let decision = firstcome_domain::decide(&view, command, stamp);
        decision.record(|outcome| codec::encode_at(outcome, level))
    });
    let (error, seen) = view.finish();
    match (error, decided) {
        (Some(error), _) => Err(error),
        (None, Ok(recorded)) => Ok((recorded, seen)),
        (None, Err(_panicked)) => {
            let (name, revision) = (command.action.name(), stamp.revision);
            Err(Error::Invariant(format!("deciding {name} at entry {revision} panicked")))
        }
    }
}

impl Shared {
    /// The error that poisoned the state, if one did.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.failure.lock().error.as_ref().map_or(Ok(()), |error| Err(error.again()))
    }

    /// Poisons the state; gives the error back for the caller.
    pub(crate) fn fail(&self, error: Error) -> Error {
        let mut failure = self.failure.lock();
        if failure.error.is_none() {
            tracing::error!(%error, "the state cannot go on; the node must stop");
            failure.error = Some(error.again());
            if let Some(hook) = &failure.hook {
                hook(&error);
            }
        }
        drop(failure);
        self.notify_taken();
        error
    }

    fn want_checkpoint(&self) {
        self.wake.lock().wanted = true;
        self.wanted.notify_one();
    }

    /// Wakes waiting appliers, under the lock that they hold from their check to their wait.
    fn notify_taken(&self) {
        let _wake = self.wake.lock();
        self.taken.notify_all();
    }

    fn has_room(&self) -> bool {
        let backlog = self.options.checkpoint_bytes.saturating_mul(BACKLOG_FACTOR);
        self.unsaved_bytes.load(Ordering::Relaxed) <= backlog
    }

    /// Waits while far too much is unsaved.
    fn wait_for_room(&self, threaded: bool) {
        if !threaded || self.has_room() {
            return;
        }
        let mut wake = self.wake.lock();
        while !self.has_room() && !wake.closing && self.check().is_ok() {
            wake.wanted = true;
            self.wanted.notify_one();
            self.taken.wait(&mut wake);
        }
    }

    /// Body of the checkpoint thread.
    fn run_checkpoints(&self) {
        loop {
            {
                let mut wake = self.wake.lock();
                if !wake.wanted && !wake.closing {
                    self.wanted.wait_for(&mut wake, self.options.checkpoint_interval);
                }
                if wake.closing {
                    return;
                }
                wake.wanted = false;
            }
            if self.checkpoint().is_err() {
                return;
            }
        }
    }
}

impl Owner {
    fn end_thread(&self) {
        let Some(thread) = &self.thread else { return };
        self.shared.wake.lock().closing = true;
        self.shared.wanted.notify_one();
        self.shared.taken.notify_all();
        let thread = thread.lock().take();
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the checkpoint thread panicked");
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.end_thread();
    }
}
