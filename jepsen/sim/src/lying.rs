//! A disk that lies: it says that everything is synced and syncs nothing. Only for seeing the
//! harness fail: with it the product cannot keep its word, and a run must say so.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use firstcome_storage::Disk;
use firstcome_storage::disk::sim::SimDisk;
use firstcome_storage::disk::{DiskFile, DiskLock};

/// The disk; it is honest until told to lie.
#[derive(Clone, Debug)]
pub struct LyingDisk {
    /// The disk below.
    pub disk: SimDisk,
    /// Whether it lies.
    pub lies: Arc<AtomicBool>,
}

#[derive(Debug)]
struct LyingFile {
    file: Arc<dyn DiskFile>,
    lies: Arc<AtomicBool>,
}

impl DiskFile for LyingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, out)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        if self.lies.load(Ordering::Relaxed) { Ok(()) } else { self.file.sync() }
    }
}

impl LyingDisk {
    fn file(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(LyingFile { file, lies: Arc::clone(&self.lies) })
    }
}

impl Disk for LyingDisk {
    fn make_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.make_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Option<Vec<OsString>>> {
        self.disk.list(path)
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path).map(|file| self.file(file))
    }
    fn open_read_only(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open_read_only(path)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.create(path).map(|file| self.file(file))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.disk.sync_dir(path)
    }
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.disk.try_lock(path)
    }
}
