//! The seam between storage and the operating system.
//!
//! Everything that touches a directory goes through [`Disk`]: both redb files, `node.json`,
//! renames, directory syncs and the lock. [`RealDisk`] is the operating system. `SimDisk` (cargo
//! feature `sim`) keeps files in memory and loses what was not synced, so that a test can crash
//! at every call. `VolatileDisk` stands over the operating system in a fault build and loses what
//! was not synced when the process is killed.
//!
//! Contract: what [`DiskFile::write_at`] and [`DiskFile::set_len`] did is durable after
//! [`DiskFile::sync`]; that a name exists, is gone or was renamed is durable after
//! [`Disk::sync_dir`]. Before that, any part of it may be lost in a crash, in any order.

mod real;
#[cfg(feature = "sim")]
pub mod sim;
#[cfg(any(feature = "sim", feature = "volatile"))]
pub mod volatile;

use std::ffi::OsString;
use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use real::RealDisk;

/// The disk of a node: the machine's, and in a fault build one that loses what was not synced.
#[cfg(not(feature = "volatile"))]
pub fn system() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

/// The disk of a node in a fault build; one per process, because names are kept in it.
#[cfg(feature = "volatile")]
pub fn system() -> Arc<dyn Disk> {
    static DISK: std::sync::OnceLock<volatile::VolatileDisk> = std::sync::OnceLock::new();
    let make = || volatile::VolatileDisk::new(Arc::new(RealDisk), firstcome_fault::seed());
    Arc::new(DISK.get_or_init(make).clone())
}

/// Held while a directory is in use; dropping it lets go.
pub trait DiskLock: Send + Sync + Debug {}

/// One open file.
pub trait DiskFile: Send + Sync + Debug {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether it has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Fills `out` from `offset` on; an error if the file ends before.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the file, or extends it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Makes content and length durable.
    fn sync(&self) -> io::Result<()>;
}

/// A file system, as far as storage needs one.
pub trait Disk: Send + Sync + Debug {
    /// Makes a directory, readable by its owner only, and its parents; fine if it exists.
    fn make_dir(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory; `None` if there is no such directory.
    fn list(&self, path: &Path) -> io::Result<Option<Vec<OsString>>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens an existing file for reading only.
    fn open_read_only(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Makes an empty file, readable by its owner only; replaces what was there.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Gives a file another name; replaces what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; fine if there is none.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes names durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Takes the lock file; `None` if somebody else has it.
    fn try_lock(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>>;

    /// Reads a whole small file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open_read_only(path)?;
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        file.read_at(0, &mut bytes)?;
        Ok(bytes)
    }
}
