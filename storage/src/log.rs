//! The Raft log on disk: one thread, one frame, one fsync for everything queued.
//!
//! The thread drains the queue (append, vote, truncate, purge, strictly in order) into one frame,
//! writes it behind the last one, syncs the file, then runs the callbacks in order.
//! Entries are readable as soon as they are queued; nothing is reported durable before the
//! sync. The files are segments ([`crate::segments`]); where which entry is, is kept in memory and
//! read from all of them at every start, and purging bounds that.
//!
//! ```text
//! append, vote, ... -> queue -> writer -> frame -> segment -> sync -> callbacks
//!                        |                            |
//! read  <-- entries in memory      index of older ones, read back from their frames
//! ```
//!
//! After an I/O error the log is poisoned: every callback and every later call gets the error.
//! Nothing is retried, because a failed fsync says nothing about what is on disk.

mod queue;
mod writer;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use crate::dir::{DataDir, LockedDir};
use crate::error::{Error, FailureHook};
use crate::seeded;
use crate::segments::index::{self, Index};
use crate::segments::{Marks, segment};

pub use crate::segments::{Entry, Mark};

use queue::{Op, Queue};
use writer::Writer;

/// Called by the log thread after the commit; `Err` stops the node.
pub type Done = Box<dyn FnOnce(std::io::Result<()>) + Send>;

/// Limits of the log.
#[derive(Clone, Copy, Debug)]
pub struct LogOptions {
    /// Entries kept in memory for replication and apply, in bytes of `Entry::bytes`.
    pub cache_bytes: usize,
    /// Size of a file of the log. Only whole files are removed when the log is purged.
    pub segment_bytes: u64,
}

impl Default for LogOptions {
    /// 32 MiB of entries in memory, about 100 000 purchases; files of 16 MiB.
    fn default() -> Self {
        Self { cache_bytes: 32 * 1024 * 1024, segment_bytes: 16 * 1024 * 1024 }
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
    locked: Arc<LockedDir>,
    /// Taken before `index` where both are.
    queue: Mutex<Queue>,
    /// What is durable.
    index: Mutex<Index>,
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
        writer: Box<Mutex<Writer>>,
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
    /// Opens the log and starts the log thread.
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
        let thread = thread.map_err(|error| Error::io(&shared.locked.path, error))?;
        let worker = Worker::Thread(Mutex::new(Some(thread)));
        Ok(Self { owner: Arc::new(Owner { shared, worker }) })
    }

    /// Opens the log without a thread: each call does its own writing and runs the callbacks
    /// before it returns. For simulation and tests.
    pub fn open_inline(dir: &DataDir, options: LogOptions) -> Result<Self, Error> {
        Self::open_without_thread(dir, options, false)
    }

    /// Opens the log without a thread: calls only queue, and [`Log::work`] or
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
        let worker = Worker::Inline { writer: Box::new(Mutex::new(writer)), on_demand };
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
        let loaded = match dir.take_log() {
            Some(loaded) => loaded,
            None => segment::load(&*locked.disk, &locked.path, |disk, path| disk.open(path))?,
        };
        let (marks, index, tail) = loaded.repair(&*locked.disk)?;
        let last = index.last().max(marks.purged.as_ref().map(|mark| mark.index));
        let began = index.first().unwrap_or(0);
        let writer = Writer::new(tail, marks.clone(), options.segment_bytes);
        let shared = Arc::new(Shared {
            locked,
            queue: Mutex::new(Queue::new(marks, began, last, options.cache_bytes)),
            index: Mutex::new(index),
            hook: Mutex::new(None),
            work: Condvar::new(),
            settled: Condvar::new(),
            counters: Counters::default(),
        });
        Ok((shared, writer))
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

    /// Drops all entries up to and including the mark. Durable in its effect when `done` is
    /// called; the space follows, a file at a time. A mark at or below the last one changes
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
        // Whatever is not in memory is durable, so the index has it.
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
        let older = if memory_from > first {
            shared.index.lock().find(first, memory_from - 1, bytes_max)?
        } else {
            Vec::new()
        };
        drop(queue);
        let mut next = first;
        for (segment, row) in older {
            let go_on = index::read(&segment, &row, |entry| {
                let wanted = (first..memory_from).contains(&entry.index);
                next = next.max(entry.index + 1);
                !wanted || keep(entry)
            })?;
            if !go_on {
                return Ok(entries);
            }
        }
        if next < memory_from {
            return Ok(entries);
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
