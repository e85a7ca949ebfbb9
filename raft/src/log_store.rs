//! openraft's log storage on top of [`firstcome_storage::Log`].
//!
//! openraft asks for three things: entries are readable when `append` returns, the callback runs
//! only after they are durable, and a vote is durable before it is answered. The log thread gives
//! all three; this file only translates.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

use bytes::Bytes;
use firstcome_storage::codec::DecodeError;
use firstcome_storage::log::{Entry, Mark};
use firstcome_storage::{Error, Log, codec};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::config::TypeConfig;
use crate::entry;
use crate::failure::FailureSlot;
use crate::log_format;
use crate::state_machine::aside;
use crate::types;

/// A huge payload must not stall the link.
const READ_BYTES_MAX: usize = 4 << 20;

/// Handle to the log; also its own reader.
#[derive(Clone)]
pub(crate) struct LogStore {
    log: Log,
    failure: FailureSlot,
}

async fn durable(queue: impl FnOnce(firstcome_storage::log::Done)) -> io::Result<()> {
    let (tx, rx) = oneshot::channel();
    queue(Box::new(move |result| drop(tx.send(result))));
    rx.await.unwrap_or_else(|_| Err(io::Error::other("the log thread is gone")))
}

impl LogStore {
    pub(crate) const fn new(log: Log, failure: FailureSlot) -> Self {
        Self { log, failure }
    }

    fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> io::Result<T> {
        self.readable(codec::decode(bytes))
    }

    /// Reports a row that cannot be decoded: openraft would keep only the text.
    fn readable<T>(&self, decoded: Result<T, DecodeError>) -> io::Result<T> {
        decoded.map_err(|error| {
            let error = Error::undecodable("log".as_ref(), error);
            self.failure.set_storage(&error);
            io::Error::other(error)
        })
    }

    fn entries(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<Vec<entry::Entry>> {
        if start >= end {
            return Ok(Vec::new());
        }
        let read = || self.log.read(start..end, bytes_max);
        // Always leaving the scheduler would slow down replication, which reads what is cached.
        let read = if self.log.is_cached(start) { read() } else { aside(read) };
        read.inspect_err(|error| self.failure.set_storage(error))
            .map_err(io::Error::other)?
            .iter()
            .map(|entry| self.readable(entry::Entry::decode(entry.bytes.clone())))
            .collect()
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> io::Result<Vec<entry::Entry>> {
        let start = match range.start_bound() {
            Bound::Included(i) => *i,
            Bound::Excluded(i) => i + 1,
            Bound::Unbounded => self.log.purged().map_or(0, |mark| mark.index + 1),
        };
        let past_last = self.log.last_index().map_or(0, |i| i + 1);
        let end = match range.end_bound() {
            Bound::Included(i) => i + 1,
            Bound::Excluded(i) => *i,
            Bound::Unbounded => past_last,
        };
        self.entries(start, end.min(past_last), usize::MAX)
    }

    async fn read_vote(&mut self) -> io::Result<Option<types::Vote>> {
        let vote = self.log.vote();
        vote.map(|bytes| self.decode(&bytes).map(log_format::Vote::into_raft)).transpose()
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> io::Result<Vec<entry::Entry>> {
        self.entries(start, end, READ_BYTES_MAX)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let purged = self.log.purged();
        let last_purged_log_id = purged
            .as_ref()
            .map(|mark| self.decode(&mark.bytes).map(log_format::LogId::into_raft))
            .transpose()?;
        let last_log_id = match self.log.last_index() {
            Some(last) if purged.is_none_or(|mark| mark.index < last) => {
                self.entries(last, last + 1, usize::MAX)?.pop().map(|entry| entry.log_id)
            }
            _ => last_purged_log_id,
        };
        Ok(LogState { last_purged_log_id, last_log_id })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &types::Vote) -> io::Result<()> {
        let bytes = Bytes::from(codec::encode(&log_format::Vote::from(vote)));
        durable(|done| self.log.save_vote(bytes, done)).await
    }

    async fn save_committed(&mut self, committed: Option<types::LogId>) -> io::Result<()> {
        if let Some(id) = committed {
            self.log.save_committed(Bytes::from(codec::encode(&log_format::LogId::from(&id))));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<types::LogId>> {
        let Some(bytes) = self.log.committed() else { return Ok(None) };
        let id = self.decode::<log_format::LogId>(&bytes)?.into_raft();
        // The mark may be on disk although the entry it names was truncated.
        let known = self.log.last_index().is_some_and(|last| id.index <= last);
        Ok(known.then_some(id))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = entry::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let stored = entries
            .into_iter()
            .map(|entry| Entry { index: entry.log_id.index, bytes: entry.bytes().clone() })
            .collect();
        self.log.append(stored, Box::new(move |result| callback.io_completed(result)));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<types::LogId>) -> io::Result<()> {
        durable(|done| self.log.truncate_after(last.map(|id| id.index), done)).await
    }

    async fn purge(&mut self, upto: types::LogId) -> io::Result<()> {
        let bytes = Bytes::from(codec::encode(&log_format::LogId::from(&upto)));
        let mark = Mark { index: upto.index, bytes };
        // Not awaited: a purge takes small steps, and a crash in between only keeps more entries.
        self.log.purge(mark, Box::new(|_| ()));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use firstcome_storage::dir::IdentityState;
    use firstcome_storage::{DataDir, Identity, LogOptions};

    use super::*;
    use crate::failure::exit;

    /// The code that a node ends with whose log holds this entry.
    async fn ends_with(entry: &'static [u8]) -> (i32, String) {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity {
            format: firstcome_storage::dir::FORMAT,
            cluster_uuid: "u".to_owned(),
            incarnation: 0,
            node_id: 1,
            name: "n1".to_owned(),
            state: IdentityState::Active,
        };
        let dir = DataDir::create(&folder.path().join("n1"), &identity).unwrap();
        let log =
            Log::open(&dir, LogOptions { cache_bytes: 1 << 20, ..LogOptions::default() }).unwrap();
        let (failure, bytes) = (FailureSlot::default(), Bytes::from_static(entry));
        log.append(vec![Entry { index: 0, bytes }], Box::new(|_| ()));
        let mut store = LogStore::new(log, failure.clone());
        assert!(store.try_get_log_entries(0..1).await.is_err());
        failure.first().expect("the node ends")
    }

    /// Story: openraft kept only the text, and the node exited as if by a bug (70).
    #[tokio::test]
    async fn an_entry_that_cannot_be_read_is_damage() {
        let (code, why) = ends_with(b"\x01 cut short").await;
        assert_eq!(code, exit::CORRUPT, "{why}");
    }

    /// Story: after a downgrade, the log of the newer release was called damaged (65).
    #[tokio::test]
    async fn an_entry_of_a_later_release_does_not_belong_here() {
        let (code, why) = ends_with(b"\xff none").await;
        assert_eq!(code, exit::IDENTITY, "{why}");
        assert!(why.contains("format 255") && why.contains(codec::RELEASE), "{why}");
    }
}
