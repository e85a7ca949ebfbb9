//! openraft's network towards one member: votes over the control connection, appends pipelined
//! over a connection of their own, snapshots streamed over another.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use firstcome_fault::{Bug, armed};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt, stream};
use openraft::errors::{
    ErrorSource, NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{RPCOption, RPCTypes, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, StorageError};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Dialer;
use super::rpc::CallError;
use super::stream::{FrameReader, FrameWriter};
use crate::config::{AppendResult, RpcError, TypeConfig};
use crate::log_format;
use crate::members::Members;
use crate::protocol::{self, Appended, Channel, Request, Response, SnapshotHead};
use crate::seeded;
use crate::state_machine::Snapshot;
use crate::state_machine::{SnapshotData, aside};
use crate::transfers::Transfers;
use crate::types::{Address, Vote};

/// Appends in flight on one connection.
const PIPELINE_MAX: usize = 64;

/// Makes a [`PeerNetwork`] for each purpose openraft has.
pub(crate) struct Factory {
    pub(crate) dialer: Dialer,
    pub(crate) members: Arc<Members>,
    pub(crate) transfers: Arc<Transfers>,
    pub(crate) rpc_timeout: Duration,
    pub(crate) chunk_timeout: Duration,
}

impl RaftNetworkFactory<TypeConfig> for Factory {
    type Network = PeerNetwork;

    async fn new_client(&mut self, target: u64, node: &Address) -> PeerNetwork {
        PeerNetwork {
            target,
            node: node.clone(),
            dialer: self.dialer.clone(),
            members: Arc::clone(&self.members),
            transfers: Arc::clone(&self.transfers),
            rpc_timeout: self.rpc_timeout,
            chunk_timeout: self.chunk_timeout,
            append: None,
            dialling: None,
        }
    }
}

/// The connections to one member for one purpose.
pub(crate) struct PeerNetwork {
    target: u64,
    node: Address,
    dialer: Dialer,
    members: Arc<Members>,
    transfers: Arc<Transfers>,
    rpc_timeout: Duration,
    chunk_timeout: Duration,
    /// The idle append connection; taken while a stream runs, kept only if it ended cleanly.
    append: Option<Connection>,
    /// The append connection being dialled. openraft gives up a heartbeat after one interval,
    /// which on a slow network is less than a dial takes: the next heartbeat continues it.
    dialling: Option<JoinHandle<io::Result<Connection>>>,
}

type Connection = (FrameReader, FrameWriter);

fn unreachable(error: &io::Error) -> RpcError {
    RPCError::Unreachable(Unreachable::new(error))
}

impl PeerNetwork {
    fn timeout(&self, action: RPCTypes) -> RpcError {
        RPCError::Timeout(Timeout {
            action,
            id: self.dialer.node_id,
            target: self.target,
            timeout: self.rpc_timeout,
        })
    }

    /// The append connection: the idle one, or a new one. Safe to cancel.
    async fn append_connection(&mut self) -> io::Result<Connection> {
        if let Some(idle) = self.append.take() {
            return Ok(idle);
        }
        let (dialer, target, node) = (&self.dialer, self.target, &self.node);
        let dialling = self.dialling.get_or_insert_with(|| {
            let (dialer, node) = (dialer.clone(), node.clone());
            tokio::spawn(async move {
                dialer.open(target, &node.name, &node.peer, Channel::Append).await
            })
        });
        let dialled = dialling.await;
        self.dialling = None;
        dialled.map_err(io::Error::other)?
    }

    async fn ask(&self, request: Request, action: RPCTypes) -> Result<Response, RpcError> {
        let control = self.members.control(self.target, &self.node);
        control.call(request, self.rpc_timeout).await.map_err(|error| match error {
            CallError::NotSent => unreachable(&io::ErrorKind::NotConnected.into()),
            CallError::Lost => self.timeout(action),
        })
    }

    async fn ask_vote(
        &self,
        rpc: VoteRequest<TypeConfig>,
        pre: bool,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let request = Request::Vote(protocol::VoteRequest {
            vote: (&rpc.vote).into(),
            last: log_format::log_id(rpc.last_log_id.as_ref()),
            transfer: rpc.leadership_transfer,
            pre,
        });
        match self.ask(request, RPCTypes::Vote).await? {
            Response::Vote(reply) => Ok(VoteResponse {
                vote: reply.vote.into_raft(),
                vote_granted: reply.granted,
                last_log_id: log_format::raft_log_id(reply.last),
            }),
            _ => Err(unexpected()),
        }
    }

    async fn send_snapshot(&self, vote: Vote, snapshot: Snapshot) -> io::Result<Vote> {
        let SnapshotData::Outgoing(mut rows) = snapshot.snapshot else {
            return Err(io::Error::other("only an opened snapshot can be sent"));
        };
        let meta = log_format::Meta::new(
            snapshot.meta.last_log_id.as_ref(),
            &snapshot.meta.last_membership,
            0,
        );
        let (name, address) = (&self.node.name, &self.node.peer);
        let opened = self.dialer.open(self.target, name, address, Channel::Snapshot).await;
        let (mut reader, mut writer) = opened?;
        let head = SnapshotHead { vote: (&vote).into(), meta };
        writer.write_within(&head, self.chunk_timeout).await?;
        let mut next = || aside(|| rows.next_chunk());
        while let Some(chunk) = next().map_err(io::Error::other)? {
            tokio::time::timeout(self.chunk_timeout, writer.write_bytes(&chunk)).await??;
        }
        tokio::time::timeout(self.chunk_timeout, writer.write_bytes(&[])).await??;
        let reply: log_format::Vote = reader.expect(self.chunk_timeout).await?;
        Ok(reply.into_raft())
    }
}

fn unexpected() -> RpcError {
    RPCError::Network(NetworkError::new(&io::Error::new(
        io::ErrorKind::InvalidData,
        "the peer answered another question",
    )))
}

impl RaftNetworkV2<TypeConfig> for PeerNetwork {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        let input = stream::iter([rpc]);
        let mut output = self.stream_append(input, option).await?;
        match output.next().await {
            Some(result) => result.map(AppendEntriesResponse::from),
            None => Err(unexpected()),
        }
    }

    fn stream_append<S>(
        &mut self,
        mut input: S,
        _option: RPCOption,
    ) -> BoxFuture<'_, Result<BoxStream<'_, Result<AppendResult, RpcError>>, RpcError>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        Box::pin(async move {
            // Before the dial, because openraft's backoff waits in this stream.
            let Some(first) = input.next().await else { return Ok(stream::empty().boxed()) };
            let input = stream::iter([first]).chain(input);
            let connection = match self.append_connection().await {
                Ok(connection) => connection,
                Err(_) if armed(Bug::CommitWithoutQuorum) => return Ok(seeded::as_if_heard(input)),
                Err(error) => return Err(unreachable(&error)),
            };
            let flow = Flow {
                connection: Some(connection),
                input: Some(input),
                sent: VecDeque::new(),
                peer: self,
            };
            let output = stream::unfold(flow, |mut flow| async move {
                let result = flow.next().await?;
                Some((result, flow))
            });
            Ok(output.boxed())
        })
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        self.ask_vote(rpc, false).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        self.ask_vote(rpc, true).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tracing::info!(peer = %self.node.name, meta = %snapshot.meta, "sending a snapshot");
        let index = snapshot.meta.last_log_id.map_or(0, |id| id.index);
        let transfer = self.transfers.begin(self.target, index);
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(vote, snapshot) => match sent {
                Ok(vote) => {
                    transfer.arrived();
                    Ok(SnapshotResponse::new(vote))
                }
                Err(error) if is_local(&error) => {
                    Err(StreamingError::StorageError(StorageError::read_snapshot(
                        None,
                        openraft::impls::BoxedErrorSource::from_error(&error),
                    )))
                }
                Err(error) => Err(StreamingError::Unreachable(Unreachable::new(&error))),
            },
        }
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<TypeConfig>,
        _option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        let request = Request::Transfer(protocol::TransferRequest {
            from: req.from_leader().into(),
            to: *req.to_node_id(),
            last: log_format::log_id(req.last_log_id()),
        });
        match self.ask(request, RPCTypes::TransferLeader).await? {
            Response::Transfer(None) => Ok(Ok(())),
            Response::Transfer(Some(reason)) => {
                tracing::info!(peer = %self.node.name, %reason, "leader transfer was refused");
                Ok(Err(openraft::raft::TransferLeaderError::VoteChanged {
                    expected: *req.from_leader(),
                    actual: *req.from_leader(),
                }))
            }
            _ => Err(unexpected()),
        }
    }
}

fn is_local(error: &io::Error) -> bool {
    error
        .get_ref()
        .is_some_and(<dyn std::error::Error + Send + Sync>::is::<firstcome_storage::Error>)
}

/// One running append stream: requests go out as they come, answers come back in order.
struct Flow<'s, S> {
    connection: Option<(FrameReader, FrameWriter)>,
    input: Option<S>,
    sent: VecDeque<Instant>,
    peer: &'s mut PeerNetwork,
}

impl<S> Flow<'_, S>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Unpin,
{
    async fn next(&mut self) -> Option<Result<AppendResult, RpcError>> {
        let (mut reader, mut writer) = self.connection.take()?;
        loop {
            let oldest = self.sent.front().copied();
            let may_send = self.input.is_some() && self.sent.len() < PIPELINE_MAX;
            if oldest.is_none() && self.input.is_none() {
                self.peer.append = Some((reader, writer));
                return None;
            }
            let limit = oldest.unwrap_or_else(Instant::now) + self.peer.rpc_timeout;
            tokio::select! {
                biased;
                frame = reader.read::<Appended>(), if oldest.is_some() => {
                    let appended = match frame {
                        Ok(Some(appended)) => appended,
                        Ok(None) => {
                            return Some(Err(unreachable(&io::ErrorKind::UnexpectedEof.into())));
                        }
                        Err(error) => return Some(Err(unreachable(&error))),
                    };
                    self.sent.pop_front();
                    let Some(result) = appended.into_raft() else {
                        let stopped = io::Error::other("the peer has stopped");
                        return Some(Err(unreachable(&stopped)));
                    };
                    if result.is_ok() {
                        self.connection = Some((reader, writer));
                    }
                    return Some(Ok(result));
                }
                () = tokio::time::sleep_until(limit), if oldest.is_some() => {
                    return Some(Err(self.peer.timeout(RPCTypes::AppendEntries)));
                }
                request = next_of(&mut self.input), if may_send => {
                    let Some(request) = request else {
                        self.input = None;
                        continue;
                    };
                    let written = writer.write_within(&request, self.peer.rpc_timeout).await;
                    if let Err(error) = written {
                        return Some(Err(unreachable(&error)));
                    }
                    self.sent.push_back(Instant::now());
                }
            }
        }
    }
}

async fn next_of<S: Stream + Unpin>(input: &mut Option<S>) -> Option<S::Item> {
    match input {
        Some(stream) => stream.next().await,
        None => None,
    }
}
