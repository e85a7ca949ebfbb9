//! One redb file on a [`Disk`](crate::disk::Disk): opening, and what its errors mean.
//!
//! redb trusts a cleanly closed file and may panic on one that was damaged from outside, so every
//! page is compared with its checksum before a node opens its directory, and panics while redb
//! opens, checks or writes a file are caught and called damage.

use std::io;
use std::path::Path;
use std::sync::Arc;

use redb::{Builder, Database, StorageBackend};
use serde::{Deserialize, Serialize};

use crate::codec::{self, DecodeError};
use crate::disk::DiskFile;
use crate::error::Error;
use crate::panics;
use crate::scratch::Scratch;

/// Every table has bytes for keys and values: the codec and the key builders give them a form.
pub(crate) type Definition = redb::TableDefinition<'static, &'static [u8], &'static [u8]>;

/// A table that says whose file this is.
pub(crate) const IDENTITY: Definition = Definition::new("identity");
const IDENTITY_KEY: &[u8] = b"identity";

/// What a redb file says about itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct FileIdentity {
    /// Format of the directory.
    pub(crate) format: u32,
    /// The cluster.
    pub(crate) cluster_uuid: String,
    /// The node, in the log only: a state may have come from another node.
    pub(crate) node_id: Option<u64>,
}

/// A [`DiskFile`] as redb wants it.
#[derive(Debug)]
pub(crate) struct Backend(pub(crate) Arc<dyn DiskFile>);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }
    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, data)
    }
}

/// Makes a redb file out of an empty one and writes its identity row.
pub(crate) fn create(
    file: Arc<dyn DiskFile>,
    path: &Path,
    cache_bytes: usize,
    identity: &FileIdentity,
) -> Result<Database, Error> {
    let db = Builder::new()
        .set_cache_size(cache_bytes)
        .create_with_backend(Backend(file))
        .map_err(|error| failed(path, error))?;
    let txn = db.begin_write().map_err(|error| failed(path, error))?;
    {
        let mut table = txn.open_table(IDENTITY).map_err(|error| failed(path, error))?;
        table
            .insert(IDENTITY_KEY, codec::encode(identity).as_slice())
            .map_err(|error| failed(path, error))?;
    }
    txn.commit().map_err(|error| failed(path, error))?;
    Ok(db)
}

/// Opens an existing redb file; one of zero length is damaged, never new.
pub(crate) fn open(
    backend: impl StorageBackend,
    path: &Path,
    cache_bytes: usize,
) -> Result<Database, Error> {
    if backend.len().map_err(|error| Error::io(path, error))? == 0 {
        return Err(Error::corrupt(path, "the file is empty"));
    }
    guarded(path, || {
        let opened = Builder::new().set_cache_size(cache_bytes).create_with_backend(backend);
        opened.map_err(|error| failed(path, error))
    })
}

/// Opens a file to look at; what redb writes stays in memory.
pub(crate) fn look_into(
    file: Arc<dyn DiskFile>,
    path: &Path,
    cache_bytes: usize,
) -> Result<Database, Error> {
    let scratch = Scratch::new(file).map_err(|error| Error::io(path, error))?;
    open(scratch, path, cache_bytes)
}

/// Compares every page with its checksum, which redb does not when it reads one, nor when it opens
/// a file that was closed in order or allows quick repair.
pub(crate) fn check_pages(mut db: Database, path: &Path) -> Result<(), Error> {
    let checked = guarded(path, || match db.check_integrity() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::corrupt(path, "a page does not match its checksum")),
        Err(error) => Err(failed(path, error)),
    });
    // What is wrong may show again when redb lets go of the file.
    checked.and(guarded(path, move || {
        drop(db);
        Ok(())
    }))
}

/// Lets redb work on a file; where redb panics, the file is damaged.
pub(crate) fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    let inconsistent = |_| Err(Error::corrupt(path, "page structure is inconsistent"));
    panics::caught(work).unwrap_or_else(inconsistent)
}

/// Reads the identity row; a file without one is damaged.
pub(crate) fn identity(db: &Database, path: &Path) -> Result<FileIdentity, Error> {
    use redb::ReadableDatabase;
    let read = || -> Result<Option<Vec<u8>>, redb::Error> {
        let table = match db.begin_read()?.open_table(IDENTITY) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        Ok(table.get(IDENTITY_KEY)?.map(|row| row.value().to_vec()))
    };
    let row = guarded(path, || read().map_err(|error| failed(path, error)))?;
    let row = row.ok_or_else(|| Error::corrupt(path, "it has no identity row"))?;
    codec::decode(&row).map_err(|error| match error {
        DecodeError::Malformed(detail) => Error::corrupt(path, format!("identity row: {detail}")),
        newer @ DecodeError::Newer { .. } => Error::undecodable(path, newer),
    })
}

/// What a redb error means for the node.
pub(crate) fn failed(path: &Path, error: impl Into<redb::Error>) -> Error {
    match error.into() {
        redb::Error::Io(source)
            if matches!(
                source.kind(),
                io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
            ) =>
        {
            Error::corrupt(path, source.to_string())
        }
        redb::Error::Io(source) => Error::io(path, source),
        redb::Error::Corrupted(detail) => Error::corrupt(path, detail),
        redb::Error::UpgradeRequired(format) => Error::Foreign {
            path: path.to_owned(),
            detail: format!("redb file format {format}; this release needs a newer one"),
        },
        redb::Error::DatabaseAlreadyOpen => Error::InUse { path: path.to_owned() },
        redb::Error::TableTypeMismatch { table, .. } => {
            Error::corrupt(path, format!("table {table} has another type"))
        }
        // Tables and types never change: damage.
        error @ (redb::Error::TypeDefinitionChanged { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TableIsNotMultimap(_)) => Error::corrupt(path, error.to_string()),
        redb::Error::TableDoesNotExist(table) => {
            Error::corrupt(path, format!("table {table} is missing"))
        }
        other => Error::io(path, io::Error::other(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Story: a page that claims another type was taken for a failing disk (74) (found by
    /// simulation, seed 1185).
    #[test]
    fn another_type_than_ours_is_damage() {
        let name = || redb::TypeName::new("&[u8]");
        let definition =
            redb::Error::TypeDefinitionChanged { name: name(), alignment: 1, width: Some(0) };
        let errors = [
            definition,
            redb::Error::TableIsMultimap("orders".to_owned()),
            redb::Error::TableTypeMismatch {
                table: "orders".to_owned(),
                key: name(),
                value: name(),
            },
        ];
        for error in errors {
            let text = error.to_string();
            let failed = failed(Path::new("state.redb"), error);
            assert!(matches!(failed, Error::Corrupt { .. }), "{text}: {failed:?}");
        }
    }
}
