//! The data directory and its identity.
//!
//! ```text
//! node.json        whose directory this is; replaced by temp file, fsync, rename, dir fsync
//! LOCK             flock, held by the kernel; a leftover file means nothing
//! CREATING         there while a directory is being made: it holds no node yet
//! log.00000001     Raft's log, vote and marks, from this number up; names cluster, node and format
//! state.redb       the rows; names cluster and format
//! state.new.N.redb a snapshot being received; deleted at start
//! ```
//!
//! `node.json` is written last, and `CREATING` goes after it: a crash while a directory is made
//! leaves one that may be made again, and a directory that lost its `node.json` is damaged, never
//! new. Other files are none of our business.

use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use firstcome_fault::{Bug, Point, reach};
use parking_lot::Mutex;
use redb::Database;
use serde::{Deserialize, Serialize};

use crate::codec::RELEASE;
use crate::disk::{self, Disk, DiskLock};
use crate::error::Error;
use crate::file::{self, FileIdentity};

use crate::panics;
use crate::seeded;
use crate::segments::segment;

/// Format of the directory that this release reads and writes.
pub const FORMAT: u32 = 1;

const NODE_JSON: &str = "node.json";
const NODE_JSON_NEW: &str = "node.json.new";
const LOCK: &str = "LOCK";
const CREATING: &str = "CREATING";
/// In the root of a fresh ext4 volume; counts as nothing.
const LOST_FOUND: &str = "lost+found";
pub(crate) const STATE_FILE: &str = "state.redb";
/// A snapshot being received is `state.new.N.redb`: each receiver has a file of its own, so that
/// one that was given up can never touch the file of another.
const STATE_NEW_PREFIX: &str = "state.new.";

/// Only identity rows are read through this cache: 1 MiB.
const CHECK_CACHE_BYTES: usize = 1024 * 1024;

/// Whose directory this is; `node.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// Format of the directory; 1.
    pub format: u32,
    /// The cluster, a UUID in its usual text form.
    pub cluster_uuid: String,
    /// Raised by recovery.
    pub incarnation: u32,
    /// Raft id, never reused.
    pub node_id: u64,
    /// Label.
    pub name: String,
    /// `active` or `removed`.
    pub state: IdentityState,
}

/// Whether the node may run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityState {
    /// May run.
    Active,
    /// Was removed from the cluster; must stay out (77).
    Removed,
}

/// What the log, the state and the directory handle share; the lock goes with the last of them.
#[derive(Debug)]
pub(crate) struct LockedDir {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) path: PathBuf,
    pub(crate) state_identity: FileIdentity,
    received: AtomicU64,
    _lock: Box<dyn DiskLock>,
}

/// An open redb file. Readers share it, so that it stays open, and its directory locked, until the
/// last of them is done, also when a snapshot has taken its place meanwhile.
pub(crate) struct OpenFile {
    /// Taken only when it is dropped.
    db: Option<Database>,
    _locked: Arc<LockedDir>,
}

impl OpenFile {
    pub(crate) const fn new(db: Database, locked: Arc<LockedDir>) -> Self {
        Self { db: Some(db), _locked: locked }
    }
}

impl Deref for OpenFile {
    type Target = Database;

    fn deref(&self) -> &Database {
        self.db.as_ref().expect("the file is open until it is dropped")
    }
}

impl Drop for OpenFile {
    /// redb may panic again when it closes a file whose page structure is inconsistent.
    fn drop(&mut self) {
        let db = self.db.take();
        if panics::caught(move || drop(db)).is_err() {
            tracing::warn!("a damaged file could not be closed in order");
        }
    }
}

/// The file of one snapshot being received; removed unless it became the state file.
#[derive(Debug)]
pub(crate) struct NewState {
    locked: Arc<LockedDir>,
    path: PathBuf,
}

impl NewState {
    pub(crate) fn create(locked: &Arc<LockedDir>) -> Self {
        let n = locked.received.fetch_add(1, Ordering::Relaxed);
        let path = locked.file(&format!("{STATE_NEW_PREFIX}{n}.redb"));
        Self { locked: Arc::clone(locked), path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it the state file's name; durable when this returns.
    pub(crate) fn swap_in(self) -> Result<(), Error> {
        let (locked, file) = (&self.locked, self.locked.file(STATE_FILE));
        reach(Point::SnapshotRenameBefore);
        locked.disk.rename(&self.path, &file).map_err(|error| Error::io(&file, error))?;
        reach(Point::SnapshotRenameAfter);
        seeded::unless(Bug::RenameWithoutDirSync, || locked.disk.sync_dir(&locked.path))
            .map_err(|error| Error::io(&locked.path, error))
    }
}

impl Drop for NewState {
    fn drop(&mut self) {
        // After `swap_in` there is nothing by this name; at the next start nothing is left anyway.
        if let Err(error) = self.locked.disk.remove(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove a given-up snapshot");
        }
    }
}

impl LockedDir {
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// An opened, locked data directory.
#[derive(Debug)]
pub struct DataDir {
    locked: Arc<LockedDir>,
    identity: Identity,
    /// The log as [`DataDir::open`] read it, until it is opened.
    log: Mutex<Option<segment::Loaded>>,
}

impl DataDir {
    /// Whether there is nothing of ours at `path` (missing or empty directory, or one whose
    /// making was cut short).
    pub fn is_vacant(path: &Path) -> Result<bool, Error> {
        Self::is_vacant_on(&*disk::system(), path)
    }

    /// [`DataDir::is_vacant`] on any disk.
    pub fn is_vacant_on(disk: &dyn Disk, path: &Path) -> Result<bool, Error> {
        let Some(names) = disk.list(path).map_err(|error| Error::io(path, error))? else {
            return Ok(true);
        };
        let has = |wanted: &str| names.iter().any(|name| name == wanted);
        Ok(!has(NODE_JSON)
            && (has(CREATING) || names.iter().all(|name| name == LOCK || name == LOST_FOUND)))
    }

    /// Makes a new directory for a node that never ran: identity, both files, all synced.
    pub fn create(path: &Path, identity: &Identity) -> Result<Self, Error> {
        Self::create_on(disk::system(), path, identity)
    }

    /// [`DataDir::create`] on any disk.
    pub fn create_on(disk: Arc<dyn Disk>, path: &Path, identity: &Identity) -> Result<Self, Error> {
        if identity.format != FORMAT {
            return Err(foreign_format(path, identity.format));
        }
        if !Self::is_vacant_on(&*disk, path)? {
            return Err(Error::Foreign {
                path: path.to_owned(),
                detail: "it is not empty; a new node needs a directory of its own".into(),
            });
        }
        disk.make_dir(path).map_err(|error| Error::io(path, error))?;
        let locked = lock(disk, path, identity)?;
        let marker = locked.file(CREATING);
        let sync_dir = || locked.disk.sync_dir(path).map_err(|error| Error::io(path, error));
        locked.disk.create(&marker).map_err(|error| Error::io(&marker, error))?;
        sync_dir()?;
        let of_log =
            FileIdentity { node_id: Some(identity.node_id), ..locked.state_identity.clone() };
        segment::create_first(&*locked.disk, path, &of_log)?;
        let file = locked.file(STATE_FILE);
        let handle = locked.disk.create(&file).map_err(|error| Error::io(&file, error))?;
        let db = file::create(handle, &file, CHECK_CACHE_BYTES, &locked.state_identity)?;
        db.close().map_err(|error| file::failed(&file, error))?;
        sync_dir()?;
        write_identity(&locked, identity)?;
        locked.disk.remove(&marker).map_err(|error| Error::io(&marker, error))?;
        sync_dir()?;
        Ok(Self { locked, identity: identity.clone(), log: Mutex::default() })
    }

    /// Opens and locks an existing one; checks that `node.json`, log and state agree, and that
    /// neither is damaged. Reads all of both.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_on(disk::system(), path)
    }

    /// [`DataDir::open`] on any disk.
    pub fn open_on(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, Error> {
        let identity = read_identity(&*disk, path)?;
        let locked = lock(disk, path, &identity)?;
        let log = open_log(&locked, &identity, |disk, path| disk.open(path))?;
        let file = locked.file(STATE_FILE);
        let handle =
            locked.disk.open_read_only(&file).map_err(|error| Error::missing(&file, error))?;
        let bytes = handle.len().map_err(|error| Error::io(&file, error))?;
        tracing::info!(file = %file.display(), bytes, "checking every page");
        let db = file::look_into(handle, &file, CHECK_CACHE_BYTES)?;
        let found = file::identity(&db, &file)?;
        // Pages first: a damaged identity row is damage, not somebody else's file.
        file::check_pages(db, &file)?;
        check_identity(&file, &found, &identity)?;
        let names = locked.disk.list(path).map_err(|error| Error::io(path, error))?;
        let half_received = names
            .unwrap_or_default()
            .into_iter()
            .filter(|name| name.to_str().is_some_and(|name| name.starts_with(STATE_NEW_PREFIX)));
        for name in half_received.chain([NODE_JSON_NEW.into(), CREATING.into()]) {
            let leftover = locked.path.join(name);
            locked.disk.remove(&leftover).map_err(|error| Error::io(&leftover, error))?;
        }
        Ok(Self { locked, identity, log: Mutex::new(Some(log)) })
    }

    /// Whose it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Replaces `node.json` (temp file, fsync, rename, directory fsync). Cluster, node id and
    /// format stay what they are: both files name them too.
    pub fn set_identity(&mut self, identity: Identity) -> Result<(), Error> {
        let same = identity.format == self.identity.format
            && identity.cluster_uuid == self.identity.cluster_uuid
            && identity.node_id == self.identity.node_id;
        if !same {
            return Err(Error::Foreign {
                path: self.locked.file(NODE_JSON),
                detail: "cluster, node id and format of a directory never change".into(),
            });
        }
        write_identity(&self.locked, &identity)?;
        self.identity = identity;
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.locked.path
    }

    pub(crate) fn locked(&self) -> &Arc<LockedDir> {
        &self.locked
    }

    /// The log as [`DataDir::open`] found it, once.
    pub(crate) fn take_log(&self) -> Option<segment::Loaded> {
        self.log.lock().take()
    }
}

/// Reads and checks `node.json` without taking the lock.
pub(crate) fn read_identity(disk: &dyn Disk, path: &Path) -> Result<Identity, Error> {
    let node_json = path.join(NODE_JSON);
    let names = disk.list(path).map_err(|error| Error::io(path, error))?.unwrap_or_default();
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    if !has(NODE_JSON) {
        let lost = !has(CREATING) && (segment::is_among(&names) || has(STATE_FILE));
        return Err(if lost {
            Error::corrupt(&node_json, "it is missing beside the node's files; restore it")
        } else {
            Error::Empty { path: path.to_owned() }
        });
    }
    let text = disk.read(&node_json).map_err(|error| Error::io(&node_json, error))?;
    let value: serde_json::Value = serde_json::from_slice(&text)
        .map_err(|error| Error::corrupt(&node_json, error.to_string()))?;
    // The format comes first: another format may have other fields.
    let format = value.get("format").and_then(serde_json::Value::as_u64);
    match format.map(u32::try_from) {
        Some(Ok(FORMAT)) => {}
        Some(Ok(other)) => return Err(foreign_format(&node_json, other)),
        _ => return Err(Error::corrupt(&node_json, "it names no format")),
    }
    serde_json::from_value(value).map_err(|error| Error::corrupt(&node_json, error.to_string()))
}

/// Takes the directory's lock; `InUse` if another process has it.
pub(crate) fn lock(
    disk: Arc<dyn Disk>,
    path: &Path,
    identity: &Identity,
) -> Result<Arc<LockedDir>, Error> {
    let file = path.join(LOCK);
    let lock = disk
        .try_lock(&file)
        .map_err(|error| Error::io(&file, error))?
        .ok_or(Error::InUse { path: file })?;
    let state_identity = FileIdentity {
        format: identity.format,
        cluster_uuid: identity.cluster_uuid.clone(),
        node_id: None,
    };
    let received = AtomicU64::new(0);
    Ok(Arc::new(LockedDir { disk, path: path.to_owned(), state_identity, received, _lock: lock }))
}

/// Reads the log without changing it, and checks that it belongs to the node that `node.json`
/// names.
pub(crate) fn open_log(
    locked: &LockedDir,
    wanted: &Identity,
    open: segment::Open,
) -> Result<segment::Loaded, Error> {
    let log = segment::load(&*locked.disk, &locked.path, open)?;
    check_identity(log.path(), log.identity(), wanted)?;
    Ok(log)
}

/// Whether a file belongs to the node that `node.json` names. A log names its node; a state does
/// not, because a snapshot may have come from another one.
pub(crate) fn check_identity(
    path: &Path,
    found: &FileIdentity,
    wanted: &Identity,
) -> Result<(), Error> {
    let foreign = |detail| Err(Error::Foreign { path: path.to_owned(), detail });
    if found.format != wanted.format {
        return Err(foreign_format(path, found.format));
    }
    if found.cluster_uuid != wanted.cluster_uuid {
        return foreign(format!(
            "belongs to cluster {}, but node.json names {}",
            found.cluster_uuid, wanted.cluster_uuid
        ));
    }
    match found.node_id {
        Some(id) if id != wanted.node_id => {
            foreign(format!("belongs to node {id}, but node.json names {}", wanted.node_id))
        }
        _ => Ok(()),
    }
}

fn foreign_format(path: &Path, format: u32) -> Error {
    Error::Foreign {
        path: path.to_owned(),
        detail: format!("format {format}; release {RELEASE} reads format {FORMAT}"),
    }
}

fn write_identity(locked: &LockedDir, identity: &Identity) -> Result<(), Error> {
    let (new, file) = (locked.file(NODE_JSON_NEW), locked.file(NODE_JSON));
    let mut text = serde_json::to_vec_pretty(identity)
        .map_err(|error| Error::io(&file, io::Error::other(error)))?;
    text.push(b'\n');
    let write = || -> io::Result<()> {
        let handle = locked.disk.create(&new)?;
        handle.write_at(0, &text)?;
        handle.sync()?;
        locked.disk.rename(&new, &file)?;
        locked.disk.sync_dir(&locked.path)
    };
    write().map_err(|error| Error::io(&file, error))
}
