//! The Raft log on disk: one thread, one transaction, one fsync for everything queued.
//!
//! The thread drains the queue (append, vote, truncate, purge, strictly in order) into one write
//! transaction, commits it with `Durability::Immediate`, then runs the callbacks in order.
//! Entries are readable as soon as they are queued; nothing is reported durable before the
//! commit. Commits go without redb's quick repair, which would double the syncs: an unclean open
//! walks the file, and purging bounds that walk.
//!
//! After an I/O error the log is poisoned: every callback and every later call gets the error.
//! Nothing is retried, because a failed fsync says nothing about what is on disk.

mod queue;
pub(crate) mod row;
mod writer;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use redb::{Database, ReadableDatabase};

use crate::dir::{self, DataDir, LOG_FILE, LockedDir};
use crate::error::{Error, FailureHook};
use crate::file::{self, Backend, failed};
use crate::seeded;

use queue::{Op, Queue};
use writer::Writer;

/// redb's page cache for the log: appends touch few pages, and readers find recent entries in
/// memory.
const PAGE_CACHE_BYTES: usize = 32 * 1024 * 1024;

/// One log entry; opaque but for its index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Place in the log, from 0 (openraft's membership entry) up, without gaps.
    pub index: u64,
    /// Raft's own encoding of log id and payload.
    pub bytes: Bytes,
}

/// A position that was purged: the index, and Raft's own encoding of its log id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Last index that is gone.
    pub index: u64,
    /// Opaque.
    pub bytes: Bytes,
}

/// Called by the log thread after the commit; `Err` stops the node.
pub type Done = Box<dyn FnOnce(std::io::Result<()>) + Send>;

/// Limits of the log.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// Entries kept in memory for replication and apply, in bytes of `Entry::bytes`.
    pub cache_bytes: usize,
}

impl Default for LogOptions {
    /// 32 MiB: about 100 000 purchases.
    fn default() -> Self {
        Self { cache_bytes: 32 * 1024 * 1024 }
    }
}

/// What the log has done since it was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogStats {
    /// Commits, one fsync each.
    pub commits: u64,
    /// Entries appended by them.
    pub entries: u64,
    /// Bytes of those entries.
    pub bytes: u64,
    /// How long the last commit took, fsync included.
    pub commit_micros_last: u64,
    /// How long all commits took.
    pub commit_micros_total: u64,
}

/// Counters of the log thread.
#[derive(Default)]
struct Counters {
    commits: AtomicU64,
    entries: AtomicU64,
    bytes: AtomicU64,
    commit_micros_last: AtomicU64,
    commit_micros_total: AtomicU64,
}

/// What callers and the log thread share.
struct Shared {
    /// Keeps the directory locked while the log lives.
    _locked: Arc<LockedDir>,
    path: PathBuf,
    db: Arc<Database>,
    queue: Mutex<Queue>,
    /// There is work, or it is time to end.
    hook: Mutex<Option<FailureHook>>,
    work: Condvar,
    /// Something became durable, or never will.
    settled: Condvar,
    counters: Counters,
}

/// Who does the writing.
enum Worker {
    Thread(Mutex<Option<JoinHandle<()>>>),
    /// The calling thread: deterministic, for simulation and crash tests.
    Inline {
        writer: Mutex<Writer>,
        /// Only in `work` and `wait_durable`, not within each call.
        on_demand: bool,
    },
}

/// Ends the thread when the last handle is gone.
struct Owner {
    shared: Arc<Shared>,
    worker: Worker,
}

/// Handle to the log; cheap to clone.
#[derive(Clone)]
pub struct Log {
    owner: Arc<Owner>,
}

impl Log {
    /// Opens `log.redb` and starts the log thread.
    pub fn open(dir: &DataDir, options: LogOptions) -> Result<Self, Error> {
        let (shared, mut writer) = Self::load(dir, options)?;
        let thread = std::thread::Builder::new().name("log".into()).spawn({
            let shared = Arc::clone(&shared);
            move || {
                let work = || {
                    while shared.wait_for_work(&writer) {
                        writer.run(&shared);
                    }
                };
                if catch_unwind(AssertUnwindSafe(work)).is_err() {
                    shared.fail(Error::Invariant("the log thread panicked".into()));
                }
            }
        });
        let thread = thread.map_err(|error| Error::io(&shared.path, error))?;
        let worker = Worker::Thread(Mutex::new(Some(thread)));
        Ok(Self { owner: Arc::new(Owner { shared, worker }) })
    }

    /// Opens `log.redb` without a thread: each call does its own writing and runs the callbacks
    /// before it returns. For simulation and tests.
    pub fn open_inline(dir: &DataDir, options: LogOptions) -> Result<Self, Error> {
        Self::open_without_thread(dir, options, false)
    }

    /// Opens `log.redb` without a thread: calls only queue, and [`Log::work`] or
    /// [`Log::wait_durable`] does the writing. For simulation and tests.
    pub fn open_on_demand(dir: &DataDir, options: LogOptions) -> Result<Self, Error> {
        Self::open_without_thread(dir, options, true)
    }

    fn open_without_thread(
        dir: &DataDir,
        options: LogOptions,
        on_demand: bool,
    ) -> Result<Self, Error> {
        let (shared, writer) = Self::load(dir, options)?;
        let worker = Worker::Inline { writer: Mutex::new(writer), on_demand };
        Ok(Self { owner: Arc::new(Owner { shared, worker }) })
    }

    /// Without a thread: writes what is queued and runs the callbacks, now.
    pub fn work(&self) {
        if let Worker::Inline { writer, .. } = &self.owner.worker {
            run_inline(self.shared(), writer);
        }
    }

    fn load(dir: &DataDir, options: LogOptions) -> Result<(Arc<Shared>, Writer), Error> {
        let locked = Arc::clone(dir.locked());
        let path = locked.file(LOG_FILE);
        let handle = locked.disk.open(&path).map_err(|error| dir::missing(&path, error))?;
        let db = Arc::new(file::open(Backend(handle), &path, PAGE_CACHE_BYTES)?);
        let txn = db.begin_read().map_err(|error| failed(&path, error))?;
        let (marks, last) = row::load(&path, &txn)?;
        let purged = marks.purged.as_ref().map(|mark| mark.index);
        let last = last.max(purged);
        let began = row::first_index(&path, &txn)?.unwrap_or(0);
        let shared = Arc::new(Shared {
            _locked: locked,
            queue: Mutex::new(Queue::new(marks, began, last, options.cache_bytes)),
            path,
            db,
            hook: Mutex::new(None),
            work: Condvar::new(),
            settled: Condvar::new(),
            counters: Counters::default(),
        });
        Ok((shared, Writer::default()))
    }

    /// Says whom to call when the log is poisoned; at once if it already is.
    pub fn on_failure(&self, hook: FailureHook) {
        let shared = self.shared();
        let mut slot = shared.hook.lock();
        if let Some(error) = &shared.queue.lock().failure {
            hook(error);
        }
        *slot = Some(hook);
    }

    fn shared(&self) -> &Shared {
        &self.owner.shared
    }

    /// What was purged last.
    pub fn purged(&self) -> Option<Mark> {
        self.shared().queue.lock().marks.purged.clone()
    }

    /// The last entry's index; `None` in an empty log that was never purged; the purged index if
    /// everything was purged.
    pub fn last_index(&self) -> Option<u64> {
        self.shared().queue.lock().last
    }

    /// The last saved vote, durable.
    pub fn vote(&self) -> Option<Bytes> {
        self.shared().queue.lock().marks.vote.clone()
    }

    /// The last saved committed mark (rides on commits, so it may be behind after a crash).
    pub fn committed(&self) -> Option<Bytes> {
        self.shared().queue.lock().marks.committed.clone()
    }

    /// What it has done so far.
    pub fn stats(&self) -> LogStats {
        let counters = &self.shared().counters;
        LogStats {
            commits: counters.commits.load(Ordering::Relaxed),
            entries: counters.entries.load(Ordering::Relaxed),
            bytes: counters.bytes.load(Ordering::Relaxed),
            commit_micros_last: counters.commit_micros_last.load(Ordering::Relaxed),
            commit_micros_total: counters.commit_micros_total.load(Ordering::Relaxed),
        }
    }

    /// Queues entries; readable when this returns, durable when `done` is called. An index at or
    /// below the last one is a caller's bug: truncate first. So is a gap. Both are answered with
    /// an error and change nothing.
    pub fn append(&self, entries: Vec<Entry>, done: Done) {
        self.submit(|queue| {
            let begins = entries.first().map_or(0, |entry| entry.index);
            let expected = queue.last.map_or(begins, |last| last + 1);
            let in_order =
                entries.iter().zip(expected..).all(|(entry, index)| entry.index == index);
            if in_order {
                Ok(Op::Append(entries, done))
            } else {
                let text = format!("entries do not follow: the log goes on at {expected}");
                Err((done, std::io::Error::new(std::io::ErrorKind::InvalidInput, text)))
            }
        });
    }

    /// Queues a vote; `done` after it is durable.
    pub fn save_vote(&self, vote: Bytes, done: Done) {
        self.submit(|_| Ok(Op::Vote(vote, done)));
    }

    /// Remembers the committed mark; it rides on the next commit.
    pub fn save_committed(&self, mark: Bytes) {
        let mut queue = self.shared().queue.lock();
        queue.marks.committed = Some(mark);
        queue.committed_unsaved = true;
    }

    /// Drops all entries after `last` (`None`: all). Takes effect for readers at once.
    pub fn truncate_after(&self, last: Option<u64>, done: Done) {
        let first = last.map_or(0, |last| last.saturating_add(1));
        self.submit(|_| Ok(Op::Truncate(seeded::first_truncated(first), done)));
    }

    /// Drops all entries up to and including the mark, in small transactions. Durable in its
    /// effect when `done` is called; the space follows. A mark at or below the last one changes
    /// nothing.
    pub fn purge(&self, mark: Mark, done: Done) {
        self.submit(|queue| {
            if queue.purged_index().is_some_and(|purged| mark.index <= purged) {
                return Ok(Op::Append(Vec::new(), done));
            }
            Ok(Op::Purge(mark, done))
        });
    }

    /// Whether reading from `index` on touches no disk.
    pub fn is_cached(&self, index: u64) -> bool {
        let queue = self.shared().queue.lock();
        queue.cached_from().is_some_and(|from| from <= index)
    }

    /// Reads entries in order, stopping after `bytes_max` (but at least one). Missing indexes
    /// inside the log are an error; those before and after it are left out.
    pub fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<Entry>, Error> {
        let shared = self.shared();
        let mut entries = Vec::new();
        let mut bytes = 0;
        let mut keep = |entry: Entry| {
            bytes += entry.bytes.len();
            let fits = entries.is_empty() || bytes <= bytes_max;
            if fits {
                entries.push(entry);
            }
            fits
        };
        let queue = shared.queue.lock();
        if let Some(failure) = &queue.failure {
            return Err(failure.again());
        }
        let first = range.start.max(queue.first());
        let end = queue.last.map_or(0, |last| last + 1).min(range.end);
        if first >= end {
            return Ok(entries);
        }
        // Whatever is not in memory is durable, so a transaction begun under this lock sees it.
        let memory_from = queue.cached_from().unwrap_or(u64::MAX).clamp(first, end);
        let recent: Vec<Entry> = queue
            .cached(memory_from)
            .take_while(|entry| entry.index < end)
            .scan(0, |sum, entry| {
                let before = *sum;
                *sum += entry.bytes.len();
                (before <= bytes_max).then(|| entry.clone())
            })
            .collect();
        let txn = if memory_from > first {
            Some(shared.db.begin_read().map_err(|error| failed(&shared.path, error))?)
        } else {
            None
        };
        drop(queue);
        if let Some(txn) = txn {
            let mut full = false;
            row::read(&shared.path, &txn, first, memory_from - 1, |entry| {
                full = !keep(entry);
                !full
            })?;
            if full {
                return Ok(entries);
            }
        }
        for entry in recent {
            if !keep(entry) {
                break;
            }
        }
        Ok(entries)
    }

    /// Blocks until everything queued so far (truncations included) is durable. The barrier that
    /// runs before a checkpoint.
    pub fn wait_durable(&self) -> Result<(), Error> {
        self.work();
        let shared = self.shared();
        let mut queue = shared.queue.lock();
        let wanted = queue.queued;
        while queue.durable < wanted && queue.failure.is_none() {
            shared.settled.wait(&mut queue);
        }
        queue.failure.as_ref().map_or(Ok(()), |failure| Err(failure.again()))
    }

    /// Ends the thread after committing what is queued.
    pub fn close(&self) {
        self.owner.close();
    }

    /// Queues one op, or gives its callback back with an error; does the work if inline.
    fn submit(&self, make: impl FnOnce(&Queue) -> Result<Op, (Done, std::io::Error)>) {
        let shared = self.shared();
        let refused = {
            let mut queue = shared.queue.lock();
            let failure = match &queue.failure {
                Some(failure) => Some(failure.to_io()),
                None if queue.closing => Some(std::io::Error::other("the log is closed")),
                None => None,
            };
            match (make(&queue), failure) {
                (Ok(op), None) => {
                    queue.push(op);
                    None
                }
                (Ok(op), Some(error)) => Some((op.into_done(), error)),
                (Err(refused), _) => Some(refused),
            }
        };
        if let Some((done, error)) = refused {
            done(Err(error));
            return;
        }
        match &self.owner.worker {
            Worker::Thread(_) => {
                shared.work.notify_one();
            }
            Worker::Inline { on_demand: true, .. } => {}
            Worker::Inline { writer, .. } => run_inline(shared, writer),
        }
    }
}

/// Works until nothing is left. A callback that queues more finds the writer taken, and the
/// outer call picks it up.
fn run_inline(shared: &Shared, writer: &Mutex<Writer>) {
    if let Some(mut writer) = writer.try_lock() {
        while shared.has_work(&writer) {
            writer.run(shared);
        }
    }
}

impl Op {
    fn into_done(self) -> Done {
        match self {
            Self::Append(_, done)
            | Self::Vote(_, done)
            | Self::Truncate(_, done)
            | Self::Purge(_, done) => done,
        }
    }
}

impl Shared {
    /// Poisons the log: everybody who waits for a commit is told that it will not come.
    fn fail(&self, error: Error) {
        tracing::error!(%error, "the log cannot go on; the node must stop");
        let answer = error.to_io();
        let hook = self.hook.lock();
        if let Some(hook) = &*hook {
            hook(&error);
        }
        drop(hook);
        let stranded: Vec<Op> = {
            let mut queue = self.queue.lock();
            queue.failure.get_or_insert(error);
            queue.ops.drain(..).collect()
        };
        self.settled.notify_all();
        for op in stranded {
            op.into_done()(Err(crate::error::same_io_error(&answer)));
        }
    }

    fn has_work(&self, writer: &Writer) -> bool {
        let queue = self.queue.lock();
        queue.failure.is_none() && (!queue.ops.is_empty() || writer.is_purging())
    }

    /// Sleeps until there is something to commit; `false` when the log is to end.
    fn wait_for_work(&self, writer: &Writer) -> bool {
        let mut queue = self.queue.lock();
        loop {
            if queue.failure.is_some() {
                return false;
            }
            if !queue.ops.is_empty() || (writer.is_purging() && !queue.closing) {
                return true;
            }
            if queue.closing {
                return queue.committed_unsaved;
            }
            self.work.wait(&mut queue);
        }
    }
}

impl Owner {
    fn close(&self) {
        self.shared.queue.lock().closing = true;
        self.shared.work.notify_one();
        match &self.worker {
            Worker::Thread(thread) => {
                let thread = thread.lock().take();
                if let Some(thread) = thread
                    && thread.thread().id() != std::thread::current().id()
                    && thread.join().is_err()
                {
                    tracing::error!("the log thread panicked");
                }
            }
            Worker::Inline { writer, .. } => {
                run_inline(&self.shared, writer);
                let unsaved = {
                    let queue = self.shared.queue.lock();
                    queue.committed_unsaved && queue.failure.is_none()
                };
                if unsaved && let Some(mut writer) = writer.try_lock() {
                    writer.run(&self.shared);
                }
            }
        }
    }
}

impl Drop for Owner {
    /// Only a thread needs ending: without one, what nobody asked to write stays unwritten.
    fn drop(&mut self) {
        if matches!(self.worker, Worker::Thread(_)) {
            self.close();
        }
    }
}
