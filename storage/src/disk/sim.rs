//! A disk in memory that loses what was not synced.
//!
//! Every call that changes something is written to a journal. [`SimDisk::crash_points`] replays
//! the journal call by call; at each point, [`CrashPoint::crash`] gives the disk that a machine
//! could find after losing power there, under a [`Policy`] that says which unsynced calls
//! survived. One run of a script is so enough to crash it everywhere.
//!
//! A long run needs no journal of everything: [`SimDisk::running`] forgets what became durable, and
//! [`SimDisk::crash_now`] loses power here and now.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, DiskFile, DiskLock};

/// Disks write sectors whole: a torn write ends and begins at multiples of this.
const SECTOR_BYTES: usize = 512;

type Inode = u64;

/// One call that changed something.
#[derive(Clone, Debug)]
enum Call {
    Write(Inode, u64, Arc<[u8]>),
    SetLen(Inode, u64),
    Sync(Inode),
    Create(PathBuf, Inode),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
    SyncDir(PathBuf),
}

/// Which unsynced calls survive a crash.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// All: the disk was quick.
    KeepAll,
    /// None.
    DropUnsynced,
    /// The first few, as many as the seed says.
    KeepPrefix(u64),
    /// Each or not, as the seed says.
    KeepSome(u64),
    /// All, but of the last write only the sectors that the seed chooses.
    TearLast(u64),
    /// All file contents, but no creation, rename or removal without a directory sync.
    HoldNames,
}

/// What is where.
#[derive(Clone, Default, Debug)]
struct Image {
    files: BTreeMap<Inode, Vec<u8>>,
    names: BTreeMap<PathBuf, Inode>,
}

impl Image {
    fn apply(&mut self, call: &Call) {
        match call {
            Call::Write(inode, offset, bytes) => {
                let file = self.files.entry(*inode).or_default();
                let start = usize::try_from(*offset).unwrap_or(usize::MAX);
                let end = start.saturating_add(bytes.len());
                if file.len() < end {
                    file.resize(end, 0);
                }
                if let Some(room) = file.get_mut(start..end) {
                    room.copy_from_slice(bytes);
                }
            }
            Call::SetLen(inode, len) => {
                let len = usize::try_from(*len).unwrap_or(usize::MAX);
                self.files.entry(*inode).or_default().resize(len, 0);
            }
            Call::Create(path, inode) => {
                self.files.entry(*inode).or_default();
                self.names.insert(path.clone(), *inode);
            }
            Call::Rename(from, to) => {
                if let Some(inode) = self.names.remove(from) {
                    self.names.insert(to.clone(), inode);
                }
            }
            Call::Remove(path) => {
                self.names.remove(path);
            }
            Call::Sync(_) | Call::SyncDir(_) => {}
        }
    }
}

impl Call {
    /// Whether a sync of this file makes the call durable.
    fn is_of_file(&self, file: Inode) -> bool {
        matches!(self, Self::Write(inode, ..) | Self::SetLen(inode, _) if *inode == file)
    }

    /// Whether a sync of this directory makes the call durable.
    fn is_of_dir(&self, dir: &Path) -> bool {
        match self {
            Self::Create(path, _) | Self::Rename(_, path) | Self::Remove(path) => {
                path.parent() == Some(dir)
            }
            _ => false,
        }
    }

    fn is_of_name(&self) -> bool {
        matches!(self, Self::Create(..) | Self::Rename(..) | Self::Remove(_))
    }
}

/// How the next calls go wrong.
#[derive(Clone, Copy, Debug)]
struct Fault {
    call: u64,
    error: i32,
}

#[derive(Default, Debug)]
struct Inner {
    image: Image,
    dirs: BTreeSet<PathBuf>,
    locked: BTreeSet<PathBuf>,
    /// Content at the beginning of the journal; all durable.
    origin: Image,
    journal: Vec<Call>,
    /// Whether the journal forgets what became durable.
    forgets: bool,
    /// Whether the machine is off: nothing changes any more.
    off: bool,
    inodes: Inode,
    calls: u64,
    fault: Option<Fault>,
}

impl Inner {
    /// Does a changing call, unless it is the one that fails.
    fn change(&mut self, call: Call) -> io::Result<()> {
        self.calls += 1;
        if let Some(fault) = self.fault.filter(|fault| fault.call == self.calls) {
            return Err(io::Error::from_raw_os_error(fault.error));
        }
        if self.off {
            return Err(io::Error::other("the machine is off"));
        }
        self.image.apply(&call);
        match &call {
            Call::Sync(inode) if self.forgets => self.settle(|call| call.is_of_file(*inode)),
            Call::SyncDir(dir) if self.forgets => self.settle(|call| call.is_of_dir(dir)),
            _ => self.journal.push(call),
        }
        Ok(())
    }

    /// Moves durable calls from the journal into the origin.
    fn settle(&mut self, is_durable: impl Fn(&Call) -> bool) {
        settle(&mut self.origin, &mut self.journal, is_durable);
    }

    fn inode(&self, path: &Path) -> io::Result<Inode> {
        self.image.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// A disk in memory; clones share it.
#[derive(Clone, Default, Debug)]
pub struct SimDisk {
    inner: Arc<Mutex<Inner>>,
}

impl SimDisk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same content on a disk for a long run: its journal holds only what is not durable, so
    /// [`SimDisk::crash_points`] of it says nothing and [`SimDisk::crash_now`] does.
    #[must_use]
    pub fn running(&self) -> Self {
        let copy = self.copy();
        copy.inner.lock().forgets = true;
        copy
    }

    /// The disk as it may be found after losing power now. This one is off from now on: handles
    /// that are still open no longer change anything.
    #[must_use]
    pub fn crash_now(&self, policy: Policy) -> Self {
        let mut inner = self.inner.lock();
        inner.off = true;
        let point = CrashPoint {
            durable: inner.origin.clone(),
            dirs: inner.dirs.clone(),
            unsynced: inner.journal.clone(),
            journal: Vec::new(),
            at: 0,
        };
        drop(inner);
        point.crash(policy)
    }

    /// The disk as the next process finds it when this one was killed: nothing is lost, and nothing
    /// more is durable. This one is off from now on.
    #[must_use]
    pub fn hand_over(&self) -> Self {
        let mut inner = self.inner.lock();
        inner.off = true;
        let next = Inner {
            image: inner.image.clone(),
            dirs: inner.dirs.clone(),
            origin: inner.origin.clone(),
            journal: inner.journal.clone(),
            forgets: inner.forgets,
            inodes: inner.inodes,
            ..Inner::default()
        };
        Self { inner: Arc::new(Mutex::new(next)) }
    }

    /// Takes away what is not durable for good, but not from who reads now: after a failed sync Linux
    /// may take the written pages for clean, and then no later sync writes them. For a disk that is
    /// [`SimDisk::running`].
    pub fn lose_unsynced(&self) {
        self.inner.lock().journal.retain(Call::is_of_name);
    }

    /// How many changing calls there were so far.
    pub fn calls(&self) -> u64 {
        self.inner.lock().calls
    }

    /// How many calls the journal holds; a place to crash at.
    pub fn journal_len(&self) -> usize {
        self.inner.lock().journal.len()
    }

    /// Makes one later changing call fail with an OS error (5 is EIO, 28 is ENOSPC).
    pub fn fail_call(&self, call: u64, os_error: i32) {
        self.inner.lock().fault = Some(Fault { call, error: os_error });
    }

    /// Whether the call that was to fail has come.
    pub fn has_failed(&self) -> bool {
        let inner = self.inner.lock();
        inner.fault.is_some_and(|fault| inner.calls >= fault.call)
    }

    /// The bytes of a file.
    pub fn bytes_of(&self, path: &Path) -> io::Result<Vec<u8>> {
        let inner = self.inner.lock();
        let inode = inner.inode(path)?;
        Ok(inner.image.files.get(&inode).cloned().unwrap_or_default())
    }

    /// Changes a file behind everybody's back.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut inner = self.inner.lock();
        let inode = inner.inode(path)?;
        change(inner.image.files.entry(inode).or_default());
        Ok(())
    }

    /// Another disk with the same content, all durable, and an empty journal.
    #[must_use]
    pub fn copy(&self) -> Self {
        let inner = self.inner.lock();
        Self::holding(inner.image.clone(), inner.dirs.clone())
    }

    fn holding(image: Image, dirs: BTreeSet<PathBuf>) -> Self {
        let inodes = image.files.keys().next_back().copied().unwrap_or(0);
        let inner = Inner { origin: image.clone(), image, dirs, inodes, ..Inner::default() };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Replays the journal; begins before its first call.
    pub fn crash_points(&self) -> CrashPoint {
        let inner = self.inner.lock();
        CrashPoint {
            durable: inner.origin.clone(),
            dirs: inner.dirs.clone(),
            unsynced: Vec::new(),
            journal: inner.journal.clone(),
            at: 0,
        }
    }
}

/// A place in a journal where the power may go.
#[derive(Debug)]
pub struct CrashPoint {
    durable: Image,
    dirs: BTreeSet<PathBuf>,
    unsynced: Vec<Call>,
    journal: Vec<Call>,
    at: usize,
}

impl CrashPoint {
    /// How many calls happened before the crash.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Lets one more call happen; `false` at the end.
    pub fn step(&mut self) -> bool {
        let Some(call) = self.journal.get(self.at).cloned() else { return false };
        self.at += 1;
        match &call {
            Call::Sync(inode) => self.settle(|call| call.is_of_file(*inode)),
            Call::SyncDir(dir) => self.settle(|call| call.is_of_dir(dir)),
            _ => self.unsynced.push(call),
        }
        true
    }

    fn settle(&mut self, is_durable: impl Fn(&Call) -> bool) {
        settle(&mut self.durable, &mut self.unsynced, is_durable);
    }

    /// The disk as it may be found after losing power here.
    #[must_use]
    pub fn crash(&self, policy: Policy) -> SimDisk {
        let mut image = self.durable.clone();
        for call in self.survivors(policy) {
            image.apply(&call);
        }
        // A file without a name is gone.
        let named: BTreeSet<Inode> = image.names.values().copied().collect();
        image.files.retain(|inode, _| named.contains(inode));
        SimDisk::holding(image, self.dirs.clone())
    }

    fn survivors(&self, policy: Policy) -> Vec<Call> {
        let all = || self.unsynced.iter().cloned();
        match policy {
            Policy::KeepAll => all().collect(),
            Policy::DropUnsynced => Vec::new(),
            Policy::KeepPrefix(seed) => {
                let count = Dice(seed).below(self.unsynced.len() + 1);
                all().take(count).collect()
            }
            Policy::KeepSome(seed) => {
                let mut dice = Dice(seed);
                all().filter(|_| dice.below(2) == 0).collect()
            }
            Policy::TearLast(seed) => {
                let mut calls: Vec<Call> = all().collect();
                let is_write = |call: &Call| matches!(call, Call::Write(..));
                if let Some(place) = calls.iter().rposition(is_write) {
                    let mut dice = Dice(seed);
                    let torn = sectors(&calls[place]).filter(|_| dice.below(2) == 0);
                    let torn: Vec<Call> = torn.collect();
                    calls.splice(place..=place, torn);
                }
                calls
            }
            Policy::HoldNames => all().filter(|call| !call.is_of_name()).collect(),
        }
    }
}

/// One write as a write of each sector that it touches.
fn sectors(call: &Call) -> impl Iterator<Item = Call> {
    let Call::Write(inode, offset, bytes) = call else { unreachable!("only writes are torn") };
    let (inode, mut at, mut rest) = (*inode, *offset, Arc::clone(bytes));
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let inside = usize::try_from(at).unwrap_or(usize::MAX) % SECTOR_BYTES;
        let (sector, later) = rest.split_at((SECTOR_BYTES - inside).min(rest.len()));
        let call = Call::Write(inode, at, sector.into());
        at += u64::try_from(sector.len()).unwrap_or(u64::MAX);
        rest = later.into();
        Some(call)
    })
}

/// Makes calls durable: from the unsynced ones into the image.
fn settle(durable: &mut Image, unsynced: &mut Vec<Call>, is_durable: impl Fn(&Call) -> bool) {
    unsynced.retain(|call| {
        let settled = is_durable(call);
        if settled {
            durable.apply(call);
        }
        !settled
    });
}

/// Small repeatable random numbers: `SplitMix64`, as published by Steele, Lea and Flood.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }
}

#[derive(Debug)]
struct SimFile {
    inner: Arc<Mutex<Inner>>,
    inode: Inode,
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        let inner = self.inner.lock();
        let len = inner.image.files.get(&self.inode).map_or(0, Vec::len);
        u64::try_from(len).map_err(io::Error::other)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = self.inner.lock();
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let bytes = inner
            .image
            .files
            .get(&self.inode)
            .and_then(|file| file.get(start..start.checked_add(out.len())?))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.inner.lock().change(Call::Write(self.inode, offset, bytes.into()))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.lock().change(Call::SetLen(self.inode, len))
    }

    fn sync(&self) -> io::Result<()> {
        self.inner.lock().change(Call::Sync(self.inode))
    }
}

#[derive(Debug)]
struct SimLock {
    inner: Arc<Mutex<Inner>>,
    path: PathBuf,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.inner.lock().locked.remove(&self.path);
    }
}

impl SimDisk {
    fn handle(&self, inode: Inode) -> Arc<dyn DiskFile> {
        Arc::new(SimFile { inner: Arc::clone(&self.inner), inode })
    }
}

impl Disk for SimDisk {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.lock().dirs.insert(path.to_owned());
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Option<Vec<OsString>>> {
        let inner = self.inner.lock();
        if !inner.dirs.contains(path) {
            return Ok(None);
        }
        let names = inner.image.names.keys().filter(|name| name.parent() == Some(path));
        Ok(Some(names.filter_map(|name| name.file_name()).map(OsString::from).collect()))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.inner.lock().inode(path)?;
        Ok(self.handle(inode))
    }

    fn open_read_only(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.open(path)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut inner = self.inner.lock();
        inner.inodes += 1;
        let inode = inner.inodes;
        inner.change(Call::Create(path.to_owned(), inode))?;
        drop(inner);
        Ok(self.handle(inode))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        inner.inode(from)?;
        inner.change(Call::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner.lock();
        if inner.inode(path).is_err() {
            return Ok(());
        }
        inner.change(Call::Remove(path.to_owned()))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.lock().change(Call::SyncDir(path.to_owned()))
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        if !self.inner.lock().locked.insert(path.to_owned()) {
            return Ok(None);
        }
        Ok(Some(Box::new(SimLock { inner: Arc::clone(&self.inner), path: path.to_owned() })))
    }
}
