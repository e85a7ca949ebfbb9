//! A disk that forgets what was not synced: in a fault build, killing the process is losing power.
//!
//! It stands over the machine's disk. Writes and lengths stay in this process until
//! [`DiskFile::sync`]; then they go through in small pieces, in an order drawn from a seed, so
//! that a process killed in the middle leaves a torn sync behind. Names made, changed or removed
//! wait for [`Disk::sync_dir`]: until then this process sees the new ones and the machine has the
//! old ones. A file whose name is not durable keeps its content in memory, because without a name
//! there is nothing to find after a crash.
//!
//! ```text
//! write ---> pages in memory --sync--> the machine's file (named)  -+- found after SIGKILL
//!                                  \-> a kept image (nameless) --sync_dir--> its file, whole
//! rename --> view of this process --sync_dir--> the machine's directory
//! ```
//!
//! Bytes that nobody synced and that the machine never got are gone with the process. Two things
//! it does not imitate: a rename that survives without its directory sync, and content that
//! survives without a sync. `SimDisk` tries those.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use firstcome_fault::File;
use parking_lot::Mutex;

use super::{Disk, DiskFile, DiskLock};

/// Memory keeps pages of this size; one that was not written whole is read first.
const PAGE_BYTES: usize = 4096;
/// Disks write sectors whole: a page is torn at a multiple of this.
const SECTOR_BYTES: usize = 512;
/// Under this name a file is made whole before it gets its own; never shown to anybody.
const UNNAMED: &str = ".unnamed";

type Page = Box<[u8; PAGE_BYTES]>;

/// Where a file's durable bytes are.
#[derive(Debug)]
enum Base {
    /// In the machine's file.
    Machine(Arc<dyn DiskFile>),
    /// Synced, but without a durable name: here.
    Kept(Vec<u8>),
}

impl Base {
    /// Reads what there is from `offset` on; the rest stays as it is.
    fn read(&self, offset: u64, out: &mut [u8], end: u64) -> io::Result<()> {
        let wanted = end.saturating_sub(offset).min(to_u64(out.len()));
        let Some(part) = out.get_mut(..to_usize(wanted)?) else { return Ok(()) };
        match self {
            Self::Machine(file) => file.read_at(offset, part),
            Self::Kept(bytes) => {
                let start = to_usize(offset)?;
                let found = start.checked_add(part.len()).and_then(|end| bytes.get(start..end));
                part.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }

    fn write(&mut self, offset: u64, piece: &[u8]) -> io::Result<()> {
        match self {
            Self::Machine(file) => file.write_at(offset, piece),
            Self::Kept(bytes) => {
                let start = to_usize(offset)?;
                let end = start.checked_add(piece.len()).ok_or(io::ErrorKind::FileTooLarge)?;
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes.get_mut(start..end).ok_or(io::ErrorKind::Other)?.copy_from_slice(piece);
                Ok(())
            }
        }
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        match self {
            Self::Machine(file) => file.set_len(len),
            Self::Kept(bytes) => {
                bytes.resize(to_usize(len)?, 0);
                Ok(())
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        match self {
            Self::Machine(file) => file.sync(),
            Self::Kept(_) => Ok(()),
        }
    }
}

/// A file as this process sees it.
#[derive(Debug)]
struct Content {
    base: Base,
    /// Length of the base.
    base_len: u64,
    /// Up to here the base's bytes still count: the shortest the file was since the last sync.
    shown_len: u64,
    /// Length as seen here.
    len: u64,
    /// Pages written since the last sync, by number.
    pages: BTreeMap<u64, Page>,
}

impl Content {
    fn of(base: Base, len: u64) -> Self {
        Self { base, base_len: len, shown_len: len, len, pages: BTreeMap::new() }
    }

    fn is_synced(&self) -> bool {
        self.pages.is_empty() && self.len == self.base_len && self.shown_len == self.base_len
    }

    /// A page as it is now: what was written, else what the base shows, else zeros.
    fn page(&self, number: u64) -> io::Result<Page> {
        if let Some(page) = self.pages.get(&number) {
            return Ok(page.clone());
        }
        let mut page = Box::new([0; PAGE_BYTES]);
        let offset = number * to_u64(PAGE_BYTES);
        if offset < self.shown_len {
            self.base.read(offset, page.as_mut_slice(), self.shown_len)?;
        }
        Ok(page)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(to_u64(out.len())).ok_or(io::ErrorKind::UnexpectedEof)?;
        if end > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let untouched = self.pages.range(first_page(offset)..=first_page(end)).next().is_none();
        if untouched && end <= self.shown_len {
            return self.base.read(offset, out, end);
        }
        let mut at = offset;
        let mut rest = out;
        while !rest.is_empty() {
            let inside = to_usize(at % to_u64(PAGE_BYTES))?;
            let count = rest.len().min(PAGE_BYTES - inside);
            let (now, later) = rest.split_at_mut(count);
            let page = self.page(first_page(at))?;
            now.copy_from_slice(page.get(inside..inside + count).unwrap_or_default());
            at += to_u64(count);
            rest = later;
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut at = offset;
        let mut rest = bytes;
        while !rest.is_empty() {
            let inside = to_usize(at % to_u64(PAGE_BYTES))?;
            let (now, later) = rest.split_at(rest.len().min(PAGE_BYTES - inside));
            let number = first_page(at);
            let mut page = self.page(number)?;
            page.get_mut(inside..inside + now.len())
                .ok_or(io::ErrorKind::Other)?
                .copy_from_slice(now);
            self.pages.insert(number, page);
            at += to_u64(now.len());
            rest = later;
        }
        self.len = self.len.max(at);
        Ok(())
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        if len < self.len {
            let inside = to_usize(len % to_u64(PAGE_BYTES))?;
            let whole = len.div_ceil(to_u64(PAGE_BYTES));
            self.pages.split_off(&whole);
            if let Some(page) = self.pages.get_mut(&first_page(len)) {
                page.get_mut(inside..).unwrap_or_default().fill(0);
            }
            self.shown_len = self.shown_len.min(len);
        }
        self.len = len;
        Ok(())
    }

    /// Lets everything through, piece by piece; killed in between, some of it is there.
    fn sync(&mut self, dice: &mut Dice) -> io::Result<()> {
        if self.shown_len < self.base_len {
            self.base.set_len(self.shown_len)?;
        }
        let mut pieces: Vec<Option<(u64, usize, usize)>> = Vec::new();
        for number in self.pages.keys() {
            let start = number * to_u64(PAGE_BYTES);
            let end = to_usize(self.len.saturating_sub(start).min(to_u64(PAGE_BYTES)))?;
            let cut = (dice.below(PAGE_BYTES / SECTOR_BYTES) * SECTOR_BYTES).min(end);
            pieces.extend([(0, cut), (cut, end)].map(|(from, to)| Some((*number, from, to))));
        }
        // Somewhere among the pieces, the length.
        pieces.push(None);
        dice.shuffle(&mut pieces);
        for piece in pieces {
            let Some((number, from, to)) = piece else {
                self.base.set_len(self.len)?;
                continue;
            };
            let bytes = self.pages.get(&number).and_then(|page| page.get(from..to));
            if let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty()) {
                self.base.write(number * to_u64(PAGE_BYTES) + to_u64(from), bytes)?;
            }
        }
        self.base.sync()?;
        self.pages.clear();
        self.base_len = self.len;
        self.shown_len = self.len;
        Ok(())
    }
}

/// One file, under whatever name.
struct Inode {
    kind: File,
    content: Mutex<Content>,
    dice: Arc<Mutex<Dice>>,
}

impl Debug for Inode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inode").field("content", &self.content).finish_non_exhaustive()
    }
}

/// An opened [`Inode`].
#[derive(Debug)]
struct VolatileFile {
    inode: Arc<Inode>,
    /// Whether it may be written.
    writable: bool,
}

impl VolatileFile {
    fn changing(&self) -> io::Result<&Inode> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        firstcome_fault::disk_call(self.inode.kind)?;
        Ok(&self.inode)
    }
}

impl DiskFile for VolatileFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.inode.content.lock().len)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.inode.content.lock().read(offset, out)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.changing()?.content.lock().write(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.changing()?.content.lock().set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        let inode = self.changing()?;
        let mut dice = inode.dice.lock().fork();
        inode.content.lock().sync(&mut dice)
    }
}

/// A change of names that waits for its directory.
#[derive(Debug)]
enum NameChange {
    Create(PathBuf, Arc<Inode>),
    Rename(PathBuf, PathBuf),
    Remove(PathBuf),
}

impl NameChange {
    fn is_in(&self, dir: &Path) -> bool {
        match self {
            Self::Create(path, _) | Self::Rename(_, path) | Self::Remove(path) => {
                path.parent() == Some(dir)
            }
        }
    }

    fn names(&self, wanted: &Path) -> bool {
        match self {
            Self::Create(path, _) | Self::Remove(path) => path == wanted,
            Self::Rename(from, to) => from == wanted || to == wanted,
        }
    }
}

/// What this process believes about names.
#[derive(Debug, Default)]
struct Names {
    /// Files by name where this differs from the machine, or is open; `None`: there is none.
    seen: BTreeMap<PathBuf, Option<Arc<Inode>>>,
    waiting: Vec<NameChange>,
}

impl Names {
    /// Forgets files that the machine knows as well as we do.
    fn tidy(&mut self) {
        let waiting = &self.waiting;
        self.seen.retain(|path, seen| {
            let settled = seen.as_ref().is_none_or(|inode| {
                Arc::strong_count(inode) == 1 && inode.content.lock().is_synced()
            });
            !settled || waiting.iter().any(|change| change.names(path))
        });
    }
}

/// The machine's disk, less what was not synced when the process ended; clones share it.
#[derive(Clone, Debug)]
pub struct VolatileDisk {
    machine: Arc<dyn Disk>,
    names: Arc<Mutex<Names>>,
    dice: Arc<Mutex<Dice>>,
}

impl VolatileDisk {
    /// A disk over another one; the seed decides in which order a sync goes through.
    pub fn new(machine: Arc<dyn Disk>, seed: u64) -> Self {
        let dice = Arc::new(Mutex::new(Dice(seed)));
        Self { machine, names: Arc::default(), dice }
    }

    fn inode(&self, path: &Path, base: Base, len: u64) -> Arc<Inode> {
        let content = Mutex::new(Content::of(base, len));
        Arc::new(Inode { kind: kind(path), content, dice: Arc::clone(&self.dice) })
    }

    fn find(&self, names: &mut Names, path: &Path) -> io::Result<Arc<Inode>> {
        match names.seen.get(path) {
            Some(Some(inode)) => Ok(Arc::clone(inode)),
            Some(None) => Err(io::ErrorKind::NotFound.into()),
            None => {
                let file = match self.machine.open(path) {
                    Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                        self.machine.open_read_only(path)?
                    }
                    opened => opened?,
                };
                let len = file.len()?;
                let inode = self.inode(path, Base::Machine(file), len);
                names.seen.insert(path.to_owned(), Some(Arc::clone(&inode)));
                Ok(inode)
            }
        }
    }

    fn opened(&self, path: &Path, writable: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut names = self.names.lock();
        names.tidy();
        let inode = self.find(&mut names, path)?;
        Ok(Arc::new(VolatileFile { inode, writable }))
    }

    /// Does one waiting change on the machine.
    fn settle(&self, change: &NameChange) -> io::Result<()> {
        match change {
            NameChange::Create(path, inode) => {
                let mut content = inode.content.lock();
                let Base::Kept(bytes) = &content.base else { return Ok(()) };
                // Whole under its name, or not there: what was synced before is durable now.
                let unnamed = path.with_file_name(UNNAMED);
                let file = self.machine.create(&unnamed)?;
                file.write_at(0, bytes)?;
                file.sync()?;
                self.machine.rename(&unnamed, path)?;
                content.base = Base::Machine(file);
                Ok(())
            }
            NameChange::Rename(from, to) => self.machine.rename(from, to),
            NameChange::Remove(path) => self.machine.remove(path),
        }
    }
}

impl Disk for VolatileDisk {
    /// Directories are made at once: the contract is that they are durable when this returns.
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.machine.make_dir(path)
    }

    fn list(&self, path: &Path) -> io::Result<Option<Vec<OsString>>> {
        let mut names = self.names.lock();
        names.tidy();
        let Some(found) = self.machine.list(path)? else { return Ok(None) };
        let mut found: BTreeSet<OsString> = found.into_iter().collect();
        found.remove(OsStr::new(UNNAMED));
        let inside = names.seen.iter().filter(|(name, _)| name.parent() == Some(path));
        for (name, seen) in inside {
            let Some(name) = name.file_name() else { continue };
            match seen {
                Some(_) => found.insert(name.to_owned()),
                None => found.remove(name),
            };
        }
        Ok(Some(found.into_iter().collect()))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.opened(path, true)
    }

    fn open_read_only(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.opened(path, false)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        firstcome_fault::disk_call(kind(path))?;
        let mut names = self.names.lock();
        names.tidy();
        let inode = self.inode(path, Base::Kept(Vec::new()), 0);
        names.seen.insert(path.to_owned(), Some(Arc::clone(&inode)));
        names.waiting.push(NameChange::Create(path.to_owned(), Arc::clone(&inode)));
        Ok(Arc::new(VolatileFile { inode, writable: true }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        firstcome_fault::disk_call(kind(to))?;
        let mut names = self.names.lock();
        let inode = self.find(&mut names, from)?;
        names.seen.insert(from.to_owned(), None);
        names.seen.insert(to.to_owned(), Some(inode));
        names.waiting.push(NameChange::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        firstcome_fault::disk_call(kind(path))?;
        let mut names = self.names.lock();
        match self.find(&mut names, path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => drop(found?),
        }
        names.seen.insert(path.to_owned(), None);
        names.waiting.push(NameChange::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        firstcome_fault::disk_call(File::Other)?;
        let mut names = self.names.lock();
        // In order: a directory that was killed in between has the first few.
        while let Some(place) = names.waiting.iter().position(|change| change.is_in(path)) {
            if let Some(change) = names.waiting.get(place) {
                self.settle(change)?;
            }
            names.waiting.remove(place);
        }
        self.machine.sync_dir(path)
    }

    /// The kernel's lock: it ends with the process, and with nothing else.
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.machine.try_lock(path)
    }
}

/// What a file is, by its name.
fn kind(path: &Path) -> File {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    if name.starts_with("log.") {
        File::Log
    } else if name.starts_with("state.") {
        File::State
    } else {
        File::Other
    }
}

fn first_page(offset: u64) -> u64 {
    offset / to_u64(PAGE_BYTES)
}

fn to_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn to_usize(len: u64) -> io::Result<usize> {
    usize::try_from(len).map_err(io::Error::other)
}

/// Small repeatable random numbers: `SplitMix64`, as published by Steele, Lea and Flood.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    fn fork(&mut self) -> Self {
        Self(self.next())
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % to_u64(end).max(1)).unwrap_or(0)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for place in (1..items.len()).rev() {
            let other = self.below(place + 1);
            items.swap(place, other);
        }
    }
}
