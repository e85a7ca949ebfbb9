//! Snapshots: every table in key order, streamed out of one read transaction, in checked chunks.

use bytes::Bytes;

use crate::Error;
use crate::state::Applied;

/// A snapshot going out.
pub struct SnapshotReader {}

impl SnapshotReader {
    /// What it holds.
    pub fn applied(&self) -> &Applied {
        unimplemented!()
    }
    /// The next chunk of at most about 1 MiB; `None` at the end.
    pub fn next_chunk(&mut self) -> Result<Option<Bytes>, Error> {
        unimplemented!()
    }
}

/// A snapshot coming in.
pub struct SnapshotWriter {}

impl SnapshotWriter {
    /// Takes the next chunk, in order; a bad checksum is `Corrupt`.
    pub fn write_chunk(&mut self, _chunk: &[u8]) -> Result<(), Error> {
        unimplemented!()
    }
}
