//! openraft's state machine on top of [`firstcome_storage::State`].
//!
//! A chunk of committed entries is applied at once; answers go out right after, because the
//! entries are already durable on a majority. What openraft calls a snapshot is our durable
//! checkpoint, opened for reading.

#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use firstcome_domain::{Millis, Revision, Stamp};
use firstcome_fault::{Bug, Point, armed, reach};
use firstcome_storage::codec::DecodeError;
use firstcome_storage::snapshot::{SnapshotReader, SnapshotWriter};
use firstcome_storage::state::{Applied, Committed};
use firstcome_storage::{Error, State, codec};
use futures_util::{FutureExt, Stream, StreamExt};
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::type_config::alias::SnapshotOf;
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::watch;

use crate::application::Application;
use crate::command;
use crate::config::TypeConfig;
use crate::counters::Counters;
use crate::failure::FailureSlot;
use crate::log_format;
use crate::seeded;
use crate::types;

/// Entries applied at once, which takes about a millisecond. Readers do not wait for it: they keep
/// the view that they have. What waits is the next request to Raft's state machine.
const CHUNK_ENTRIES_MAX: usize = 256;

/// Room for the entries of a usual chunk, so that it is not moved while it grows.
const CHUNK_ENTRIES_USUAL: usize = 64;

/// A snapshot that is being sent or was received.
pub(crate) enum SnapshotData {
    /// Streams rows at the revision of its meta.
    Outgoing(Box<SnapshotReader>),
    /// Received completely, but not yet verified as a whole.
    Incoming(Box<SnapshotWriter>),
}

/// openraft over this crate's log and state.
pub(crate) type Raft = openraft::Raft<TypeConfig, StateMachine>;
pub(crate) type Snapshot = SnapshotOf<TypeConfig, SnapshotData>;

/// The applying side of a node.
pub(crate) struct StateMachine {
    state: State,
    meta: log_format::Meta,
    applied: watch::Sender<u64>,
    failure: FailureSlot,
    counters: Arc<Counters>,
    application: Arc<dyn Application>,
}

/// Makes the snapshot mark.
pub(crate) struct Marker {
    state: State,
    failure: FailureSlot,
}

/// Runs work that may block, and lets other threads take over this one's tasks meanwhile.
pub(crate) fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// Raft's own row of the state.
pub(crate) fn meta_of(applied: &Applied) -> Result<log_format::Meta, Error> {
    if applied.meta.is_empty() {
        return Ok(log_format::Meta::default());
    }
    codec::decode(&applied.meta).map_err(|error| {
        let error = match error {
            DecodeError::Malformed(detail) => {
                DecodeError::malformed(format!("raft's own row: {detail}"))
            }
            DecodeError::Newer { what } => {
                DecodeError::Newer { what: format!("raft's own row, {what},") }
            }
        };
        Error::undecodable("state.redb".as_ref(), error)
    })
}

/// Saves a checkpoint and opens it for reading, with the meta of exactly these rows.
fn open_snapshot(state: &State, failure: &FailureSlot) -> io::Result<Snapshot> {
    let opened = aside(|| {
        let reader = state.snapshot()?;
        let meta = meta_of(&seeded::applied_of(&reader, state))?;
        Ok((reader, meta))
    });
    let (reader, meta) = opened.map_err(|error: Error| {
        failure.set_storage(&error);
        io::Error::other(error)
    })?;
    let snapshot = SnapshotData::Outgoing(Box::new(reader));
    Ok(Snapshot { meta: meta.snapshot_meta(), snapshot })
}

/// Refuses a snapshot whose head names another position than its rows.
fn check_head(meta: &types::SnapshotMeta, rows: Option<&Applied>) -> Result<(), Error> {
    let agrees = match rows {
        Some(rows) => meta_of(rows)?.snapshot_meta().last_log_id == meta.last_log_id,
        None => false,
    };
    if agrees || armed(Bug::SnapshotMetaAhead) {
        return Ok(());
    }
    let detail = "its head and its rows name different positions".to_owned();
    Err(Error::Corrupt { path: "state.new.redb".into(), detail })
}

impl StateMachine {
    pub(crate) fn open(
        state: State,
        applied: watch::Sender<u64>,
        failure: FailureSlot,
        counters: Arc<Counters>,
        application: Arc<dyn Application>,
    ) -> Result<Self, Error> {
        let now = state.applied();
        let meta = meta_of(&now)?;
        applied.send_replace(now.revision.map_or(0, Revision::get));
        Ok(Self { state, meta, applied, failure, counters, application })
    }

    fn fail(&self, error: Error) -> io::Error {
        self.failure.set_storage(&error);
        io::Error::other(error)
    }

    /// Applies a chunk up to the first entry that cannot be read, if there is one: what comes
    /// before it may say more about who wrote it (the level that a later release raised).
    fn apply_chunk(&mut self, chunk: Vec<EntryResponder<TypeConfig>>) -> Result<(), Error> {
        let mut unreadable = None;
        let mut committed = Vec::with_capacity(chunk.len());
        let mut responders: Vec<(bool, Option<ApplyResponder<TypeConfig>>)> =
            Vec::with_capacity(chunk.len());
        let mut membership = None;
        let mut last = None;
        for (entry, responder) in chunk {
            let mut stamp =
                Stamp { revision: Revision::new(entry.log_id.index), now: Millis::default() };
            let mut command = None;
            match entry.payload {
                EntryPayload::Normal(proposal) => {
                    stamp.now = Millis::new(proposal.now);
                    let decoded = match command::decode(&proposal.command, &self.counters) {
                        Ok(decoded) => decoded,
                        Err(error) => {
                            tracing::error!(revision = %stamp.revision, "a command cannot be read");
                            unreadable = Some(Error::undecodable("log".as_ref(), error));
                            break;
                        }
                    };
                    stamp = seeded::stamped(&*self.application, stamp, &decoded);
                    command = Some(decoded);
                }
                EntryPayload::Membership(m) => {
                    // Not only the last one: a member that came and went in one chunk keeps its id.
                    let largest = m.nodes().map(|(id, _)| *id).max().unwrap_or(0);
                    self.meta.node_id_max = self.meta.node_id_max.max(largest);
                    membership = Some(types::StoredMembership::new(Some(entry.log_id), m));
                }
                EntryPayload::Blank => {}
            }
            responders.push((command.is_some(), responder));
            committed.push(Committed { stamp, command });
            last = Some(entry.log_id);
        }
        if committed.is_empty() {
            return unreadable.map_or(Ok(()), Err);
        }
        let changes_members = membership.is_some();
        if changes_members {
            reach(Point::MembershipSaveBefore);
        }
        if let Some(membership) = membership {
            self.meta = log_format::Meta::new(last.as_ref(), &membership, self.meta.node_id_max);
        } else {
            self.meta.last = log_format::log_id(last.as_ref());
        }
        let meta = Bytes::from(codec::encode(&self.meta));
        // A chunk takes about a millisecond. Waiting until a checkpoint has made room takes longer,
        // and Raft's core must go on meanwhile. Always leaving the scheduler would cost a quarter
        // of the throughput.
        let decided = if self.state.has_room() {
            self.state.apply(&committed, meta)?
        } else {
            aside(|| self.state.apply(&committed, meta))?
        };
        if changes_members {
            reach(Point::MembershipSaveAfter);
        }
        if let Some(id) = last {
            self.applied.send_replace(id.index);
        }
        let mut decided = decided.into_iter();
        for (is_command, responder) in responders {
            let answer = if is_command { decided.next() } else { None };
            if let Some(responder) = responder {
                responder.send(answer);
            }
        }
        unreadable.map_or(Ok(()), Err)
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Marker;

    async fn applied_state(
        &mut self,
    ) -> io::Result<(Option<types::LogId>, types::StoredMembership)> {
        Ok((log_format::raft_log_id(self.meta.last), self.meta.stored_membership()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some(first) = entries.next().await {
            let mut chunk = Vec::with_capacity(CHUNK_ENTRIES_USUAL);
            chunk.push(first?);
            while chunk.len() < CHUNK_ENTRIES_MAX {
                match entries.next().now_or_never() {
                    Some(Some(entry)) => chunk.push(entry?),
                    Some(None) | None => break,
                }
            }
            self.apply_chunk(chunk).map_err(|error| self.fail(error))?;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Marker {
        Marker { state: self.state.clone(), failure: self.failure.clone() }
    }

    async fn install_snapshot(
        &mut self,
        meta: &types::SnapshotMeta,
        snapshot: SnapshotData,
    ) -> io::Result<()> {
        // Before the rows take the place of those that work.
        let installed = aside(|| match snapshot {
            SnapshotData::Incoming(writer) => {
                check_head(meta, writer.applied().as_ref())?;
                self.state.install(*writer)
            }
            SnapshotData::Outgoing(mut reader) => {
                check_head(meta, Some(reader.applied()))?;
                let mut writer = self.state.receive()?;
                while let Some(chunk) = reader.next_chunk()? {
                    writer.write_chunk(&chunk)?;
                }
                self.state.install(writer)
            }
        });
        let applied = installed.map_err(|error| self.fail(error))?;
        self.meta = meta_of(&applied).map_err(|error| self.fail(error))?;
        self.applied.send_replace(applied.revision.map_or(0, Revision::get));
        tracing::info!(revision = ?applied.revision, "installed a snapshot from the leader");
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        if self.state.applied().revision.is_none() {
            return Ok(None);
        }
        open_snapshot(&self.state, &self.failure).map(Some)
    }
}

impl RaftSnapshotBuilder<TypeConfig> for Marker {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        open_snapshot(&self.state, &self.failure)
    }
}
