//! A door for fuzz targets: rows of the log file as a damaged one would hold them. No API.

use std::path::Path;

use crate::error::Error;
use crate::log::{Entry, row};

/// Takes a row of entries apart, as reading the log does.
pub fn unpack_entries(first: u64, row: &[u8]) -> Result<Vec<Entry>, Error> {
    row::unpack(Path::new("log.redb"), first, row)
}

/// Puts entries into a row, as appending does.
pub fn pack_entries(entries: &[Entry]) -> Vec<u8> {
    row::pack(entries)
}
