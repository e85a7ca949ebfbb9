//! openraft's log storage on top of [`firstcome_storage::Log`].
//!
//! openraft asks for three things: entries are readable when `append` returns, the callback runs
//! only after they are durable, and a vote is durable before it is answered. The log thread gives
//! all three; this file only translates.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};

use bytes::Bytes;
use firstcome_storage::log::{Entry, Mark};
use firstcome_storage::{Log, codec};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::failure::FailureSlot;
use crate::types::{self, TypeConfig};
use crate::wire;

/// A huge payload must not stall the link.
const READ_BYTES_MAX: usize = 4 << 20;

/// Handle to the log; also its own reader.
#[derive(Clone)]
pub(crate) struct LogStore {
    log: Log,
    failure: FailureSlot,
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> io::Result<T> {
    codec::decode(bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e.to_string()))
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

    fn entries(&self, start: u64, end: u64, bytes_max: usize) -> io::Result<Vec<types::Entry>> {
        if start >= end {
            return Ok(Vec::new());
        }
        let read = self.log.read(start..end, bytes_max);
        read.inspect_err(|error| self.failure.set_storage(error))
            .map_err(io::Error::other)?
            .iter()
            .map(|entry| decode::<wire::Entry>(&entry.bytes).map(wire::Entry::into_raft))
            .collect()
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<R: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: R,
    ) -> io::Result<Vec<types::Entry>> {
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
        self.log.vote().map(|b| decode::<wire::Vote>(&b).map(wire::Vote::into_raft)).transpose()
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> io::Result<Vec<types::Entry>> {
        self.entries(start, end, READ_BYTES_MAX)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let purged = self.log.purged();
        let last_purged_log_id = purged
            .as_ref()
            .map(|mark| decode::<wire::LogId>(&mark.bytes).map(wire::LogId::into_raft))
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
        let bytes = Bytes::from(codec::encode(&wire::Vote::from(vote)));
        durable(|done| self.log.save_vote(bytes, done)).await
    }

    async fn save_committed(&mut self, committed: Option<types::LogId>) -> io::Result<()> {
        if let Some(id) = committed {
            self.log.save_committed(Bytes::from(codec::encode(&wire::LogId::from(&id))));
        }
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<types::LogId>> {
        let Some(bytes) = self.log.committed() else { return Ok(None) };
        let id = decode::<wire::LogId>(&bytes)?.into_raft();
        // The mark may have reached the disk with a later commit than a truncated tail.
        let known = self.log.last_index().is_some_and(|last| id.index <= last);
        Ok(known.then_some(id))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = types::Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let encoded = entries
            .into_iter()
            .map(|entry| Entry {
                index: entry.log_id.index,
                bytes: Bytes::from(codec::encode(&wire::Entry::from(&entry))),
            })
            .collect();
        self.log.append(encoded, Box::new(move |result| callback.io_completed(result)));
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<types::LogId>) -> io::Result<()> {
        durable(|done| self.log.truncate_after(last.map(|id| id.index), done)).await
    }

    async fn purge(&mut self, upto: types::LogId) -> io::Result<()> {
        let bytes = Bytes::from(codec::encode(&wire::LogId::from(&upto)));
        let mark = Mark { index: upto.index, bytes };
        // Not awaited: a purge goes on in small steps, and a crash in between only keeps more.
        self.log.purge(mark, Box::new(|_| ()));
        Ok(())
    }
}
