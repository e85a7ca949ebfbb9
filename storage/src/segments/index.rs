//! Where entries are: one row per run of entries in a frame, in memory.

use std::collections::VecDeque;
use std::sync::Arc;

use super::segment::Segment;
use super::{Entry, frame};
use crate::error::Error;

/// Entries that follow each other in one record of one frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) first: u64,
    pub(crate) segment: u64,
    pub(crate) count: u32,
    /// Where the frame begins in the segment, and where the record is in its payload.
    pub(crate) frame: u32,
    pub(crate) payload_bytes: u32,
    pub(crate) record: u32,
}

impl Row {
    /// The first index that is not in it.
    fn end(&self) -> u64 {
        self.first.saturating_add(self.count.into())
    }
}

/// The segments that are there, and the rows of all entries in them.
#[derive(Default, Debug)]
pub(crate) struct Index {
    /// In order of their numbers, without gaps; the last one is being written.
    pub(crate) segments: VecDeque<Arc<Segment>>,
    rows: VecDeque<Row>,
}

impl Index {
    pub(crate) fn append(&mut self, row: Row) {
        if row.count > 0 {
            self.rows.push_back(row);
        }
    }

    pub(crate) fn truncate(&mut self, from: u64) {
        while self.rows.back().is_some_and(|row| row.first >= from) {
            self.rows.pop_back();
        }
        if let Some(last) = self.rows.back_mut() {
            let kept = u32::try_from(from - last.first).unwrap_or(u32::MAX);
            last.count = last.count.min(kept);
        }
    }

    pub(crate) fn purge(&mut self, upto: u64) {
        while self.rows.front().is_some_and(|row| row.end() <= upto.saturating_add(1)) {
            self.rows.pop_front();
        }
    }

    pub(crate) fn first(&self) -> Option<u64> {
        self.rows.front().map(|row| row.first)
    }

    pub(crate) fn last(&self) -> Option<u64> {
        self.rows.back().map(|row| row.end().saturating_sub(1))
    }

    /// The first entry and how many there are, if any.
    pub(crate) fn extent(&self) -> Option<(u64, u32)> {
        let first = self.first()?;
        let count = self.rows.back()?.end() - first;
        Some((first, u32::try_from(count).unwrap_or(u32::MAX)))
    }

    /// The segment in which the first entry is.
    pub(crate) fn first_segment(&self) -> Option<u64> {
        self.rows.front().map(|row| row.segment)
    }

    /// The oldest segment, if no entry in it is needed and it is not being written.
    pub(crate) fn obsolete(&self) -> Option<Arc<Segment>> {
        let (oldest, newest) = (self.segments.front()?, self.segments.back()?);
        let needed = self.first_segment().unwrap_or(newest.number);
        (oldest.number < needed).then(|| Arc::clone(oldest))
    }

    /// The rows that hold `first..=last`, in order; stops behind `bytes_max`, but not before the
    /// first row. A gap is damage.
    pub(crate) fn find(
        &self,
        first: u64,
        last: u64,
        bytes_max: usize,
    ) -> Result<Vec<(Arc<Segment>, Row)>, Error> {
        let gap = |index| self.missing(index);
        let mut place = self.rows.partition_point(|row| row.end() <= first);
        let (mut found, mut next, mut bytes) = (Vec::new(), first, 0_usize);
        while next <= last && (found.is_empty() || bytes < bytes_max) {
            let row = self.rows.get(place).filter(|row| row.first <= next);
            let row = row.ok_or_else(|| gap(next))?;
            let oldest = self.segments.front().map_or(0, |segment| segment.number);
            let segment = usize::try_from(row.segment - oldest).ok();
            let segment = segment.and_then(|at| self.segments.get(at)).ok_or_else(|| gap(next))?;
            found.push((Arc::clone(segment), *row));
            bytes = bytes.saturating_add(usize::try_from(row.payload_bytes).unwrap_or(usize::MAX));
            next = row.end();
            place += 1;
        }
        Ok(found)
    }

    fn missing(&self, index: u64) -> Error {
        let path = self.segments.back().map(|segment| segment.path.clone()).unwrap_or_default();
        Error::corrupt(&path, format!("entry {index} is missing"))
    }
}

/// Reads the entries of a row. Their frame was whole when the file was opened, so anything else is
/// damage.
pub(crate) fn read(
    segment: &Segment,
    row: &Row,
    mut keep: impl FnMut(Entry) -> bool,
) -> Result<bool, Error> {
    let bytes =
        segment.read(row.frame.into(), frame::HEADER_BYTES + frame::to_usize(row.payload_bytes))?;
    let damaged = |why: &str| Error::corrupt(&segment.path, format!("at {}: {why}", row.frame));
    let payload = frame::open(&bytes, segment.number).map_err(damaged)?;
    let record = payload.get(frame::to_usize(row.record)..).unwrap_or_default();
    let entries = match frame::records(record).next() {
        Some(Ok((_, frame::Record::Entries(entries)))) if entries.first == row.first => entries,
        _ => return Err(damaged("there is no record of these entries")),
    };
    let kept = frame::to_usize(row.count);
    for (index, bytes) in (row.first..).zip(entries.iter()).take(kept) {
        if !keep(Entry { index, bytes: bytes::Bytes::copy_from_slice(bytes) }) {
            return Ok(false);
        }
    }
    Ok(true)
}
