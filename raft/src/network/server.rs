//! The peer port: accepts connections, checks who calls, and serves each kind of connection.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use openraft::raft::{TransferLeaderRequest, VoteRequest};
use tokio::sync::mpsc;

use super::greeting::Greeting;
use super::stream::{self, FrameReader, FrameWriter, TcpListener, TcpStream};
use super::{HELLO_MAX, take_introduction};
use crate::config::AppendRequest;
use crate::core::Core;
use crate::log_format::{Vote, log_id, raft_log_id};
use crate::protocol::{
    Appended, Channel, Contact, ContactReply, Failed, Hello, Request, Response, SnapshotHead,
    VoteReply, Welcome,
};
use crate::state_machine::Snapshot;
use crate::state_machine::{SnapshotData, aside};
use crate::{admin, bootstrap, propose, read_index};

/// Appends read from one connection ahead of the log.
const APPENDS_MAX: usize = 64;

/// The most responses in one frame. One that holds a product with the longest description takes 22
/// KiB, and a frame of those stays below 16 MiB, which is the limit.
const ANSWERS_MAX: usize = 512;

/// If writing a response takes longer, the caller is taken for gone.
const WRITE_MAX: Duration = Duration::from_secs(5);

/// Takes peer connections until the task is aborted.
pub(crate) async fn run(core: Arc<Core>, listener: TcpListener) {
    // Owned here, so that ending this task ends every connection.
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((socket, _)) => {
                let core = Arc::clone(&core);
                connections.spawn(async move {
                    if let Err(error) = serve(core, socket).await {
                        tracing::debug!(%error, "a peer connection ended");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take a peer connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve(core: Arc<Core>, socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let (mut reader, mut writer) = stream::split(socket);
    let hello = take_introduction(&mut reader, &mut writer, HELLO_MAX).await?;
    if hello.channel == Channel::Contact {
        writer.write_within(&Greeting::own(Welcome::Yes), WRITE_MAX).await?;
        let contact: Contact = reader.expect(HELLO_MAX).await?;
        return writer.write_within(&contact_reply(&core, &contact), WRITE_MAX).await;
    }
    let welcome = check(&core, &hello);
    writer.write_within(&Greeting::own(welcome.clone()), WRITE_MAX).await?;
    if welcome != Welcome::Yes {
        tracing::warn!(from = hello.from, answer = ?welcome, "turned a peer away");
        return Ok(());
    }
    match hello.channel {
        Channel::Append => serve_append(&core, reader, writer).await,
        Channel::Control | Channel::Forward => {
            serve_questions(&core, hello.from, reader, writer).await
        }
        Channel::Snapshot => serve_snapshot(&core, reader, writer).await,
        Channel::Contact => Ok(()),
    }
}

fn check(core: &Core, hello: &Hello) -> Welcome {
    let own = &core.identity;
    if hello.cluster_uuid != own.cluster_uuid || hello.incarnation != own.incarnation {
        return Welcome::No(format!("this is cluster {}", own.cluster_uuid));
    }
    if hello.to != own.node_id {
        return Welcome::No(format!("this is node {}", own.node_id));
    }
    if is_removed(core, hello.from) { Welcome::Removed } else { Welcome::Yes }
}

/// Whether an id belonged to a former member: ids are never reused.
pub(crate) fn is_removed(core: &Core, id: u64) -> bool {
    core.meta().is_ok_and(|meta| {
        id <= meta.node_id_max && meta.stored_membership().get_node(&id).is_none()
    })
}

fn contact_reply(core: &Core, contact: &Contact) -> ContactReply {
    let own = &core.identity;
    match contact {
        Contact::Adopt { cluster_uuid, node_id, .. }
            if *cluster_uuid == own.cluster_uuid && *node_id == own.node_id =>
        {
            ContactReply::Adopted
        }
        Contact::Adopt { .. } => {
            ContactReply::Refused(format!("it already is node {} of a cluster", own.node_id))
        }
        Contact::Probe => ContactReply::Taken {
            name: own.name.clone(),
            cluster_uuid: own.cluster_uuid.clone(),
            node_id: own.node_id,
            initialized: bootstrap::is_initialized(&core.log),
        },
    }
}

/// Appends flow through openraft's own pipeline; answers keep their order.
async fn serve_append(
    core: &Core,
    mut reader: FrameReader,
    mut writer: FrameWriter,
) -> io::Result<()> {
    let (tx, rx) = mpsc::channel::<AppendRequest>(APPENDS_MAX);
    let reading = async move {
        while let Some(append) = reader.read().await? {
            if tx.send(append).await.is_err() {
                break;
            }
        }
        Ok::<(), io::Error>(())
    };
    let requests = futures_util::stream::unfold(rx, |mut rx| async move {
        let request = rx.recv().await?;
        Some((request, rx))
    });
    let mut results = Box::pin(core.raft.stream_append(requests));
    let answering = async {
        while let Some(result) = results.next().await {
            let (answer, goes_on) = match result {
                Ok(result) => {
                    let goes_on = result.is_ok();
                    if goes_on {
                        core.leadership.heard();
                    }
                    (Appended::from(result), goes_on)
                }
                Err(_) => (Appended::Stopped, false),
            };
            writer.write_within(&answer, WRITE_MAX).await?;
            if !goes_on {
                break;
            }
        }
        Ok::<(), io::Error>(())
    };
    tokio::pin!(reading, answering);
    tokio::select! {
        ended = &mut answering => ended,
        ended = &mut reading => {
            ended?;
            // The leader closed the connection: it does not wait for the remaining responses.
            Ok(())
        }
    }
}

/// Control and forward connections: many requests at once, answered as they are ready.
async fn serve_questions(
    core: &Arc<Core>,
    from: u64,
    mut reader: FrameReader,
    mut writer: FrameWriter,
) -> io::Result<()> {
    let (answers, mut ready) = mpsc::unbounded_channel::<(u64, Response)>();
    // Reads and writes concurrently: two ends that only wrote would wait for each other.
    let writing = async move {
        while let Some(first) = ready.recv().await {
            let mut batch = vec![first];
            while batch.len() < ANSWERS_MAX
                && let Ok(answer) = ready.try_recv()
            {
                batch.push(answer);
            }
            writer.write_within(&batch, WRITE_MAX).await?;
        }
        Ok::<(), io::Error>(())
    };
    let reading = async move {
        while let Some(questions) = reader.read::<Vec<(u64, Request)>>().await? {
            // The periodic request tells a member that it was removed while connected.
            if questions.iter().any(|(_, q)| *q == Request::Clock) && is_removed(core, from) {
                for (id, _) in questions {
                    drop(answers.send((id, Response::Failed(Failed::Removed))));
                }
                continue;
            }
            take_questions(core, questions, &answers);
        }
        Ok::<(), io::Error>(())
    };
    tokio::select! {
        ended = writing => ended,
        ended = reading => ended,
    }
}

/// Answers in the background: one task for all commands of a frame, in their order, and one task
/// for each other request.
fn take_questions(
    core: &Arc<Core>,
    questions: Vec<(u64, Request)>,
    answers: &mpsc::UnboundedSender<(u64, Response)>,
) {
    let mut commands = Vec::new();
    for (id, request) in questions {
        if let Request::Propose(command) = request {
            commands.push((id, command));
            continue;
        }
        let (core, answers) = (Arc::clone(core), answers.clone());
        tokio::spawn(async move {
            let response = answer(&core, request).await;
            drop(answers.send((id, response)));
        });
    }
    if commands.is_empty() {
        return;
    }
    let (core, answers) = (Arc::clone(core), answers.clone());
    tokio::spawn(async move {
        for (id, command) in commands {
            let answers = answers.clone();
            let take = propose::take_forwarded(&core, command, move |result| {
                let response = match result {
                    Ok(decided) => Response::Decided(decided),
                    Err(failed) => Response::Failed(failed),
                };
                drop(answers.send((id, response)));
            });
            take.await;
        }
    });
}

async fn answer(core: &Arc<Core>, request: Request) -> Response {
    match request {
        Request::Vote(r) => {
            let mut rpc = VoteRequest::new(r.vote.into_raft(), raft_log_id(r.last));
            rpc.leadership_transfer = r.transfer;
            let reply =
                if r.pre { core.raft.pre_vote(rpc).await } else { core.raft.vote(rpc).await };
            match reply {
                Ok(reply) => Response::Vote(VoteReply {
                    vote: Vote::from(&reply.vote),
                    granted: reply.vote_granted,
                    last: log_id(reply.last_log_id.as_ref()),
                }),
                Err(_) => Response::Failed(Failed::Unknown),
            }
        }
        Request::Transfer(r) => {
            let last = raft_log_id(r.last);
            let request = TransferLeaderRequest::new(r.from.into_raft(), r.to, last);
            match core.raft.handle_transfer_leader(request).await {
                Ok(Ok(())) => Response::Transfer(None),
                Ok(Err(refused)) => Response::Transfer(Some(refused.to_string())),
                Err(fatal) => Response::Transfer(Some(fatal.to_string())),
            }
        }
        Request::ReadIndex => match read_index::local_index(core).await {
            Ok(index) => Response::ReadIndex(index),
            Err(failed) => Response::Failed(failed),
        },
        Request::Clock => Response::Clock { now: core.clock.answer() },
        Request::Status => Response::Status(admin::progress(core)),
        Request::Hash { revision } => Response::Hash(admin::own_hash(core, revision).await),
        Request::Admin(verb) => match admin::carry_out(core, verb).await {
            Ok(value) => Response::Admin(value),
            Err(failed) => Response::Failed(failed),
        },
        Request::Propose(_) => unreachable!("commands are taken together, by `take_questions`"),
    }
}

async fn serve_snapshot(
    core: &Core,
    mut reader: FrameReader,
    mut writer: FrameWriter,
) -> io::Result<()> {
    let limit = core.options.chunk_timeout;
    let head: SnapshotHead = reader.expect(limit).await?;
    // A bad stream closes the connection. A bad disk ends the node, and so does a leader whose rows
    // this release cannot hold.
    let refused = |error: firstcome_storage::Error| {
        use firstcome_storage::Error;
        if matches!(error, Error::Io { .. } | Error::Foreign { .. }) {
            core.failure.set_storage(&error);
        }
        io::Error::other(error)
    };
    let mut rows = aside(|| core.state.receive()).map_err(refused)?;
    loop {
        let chunk = tokio::time::timeout(limit, reader.read_bytes())
            .await??
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        if chunk.is_empty() {
            break;
        }
        aside(|| rows.write_chunk(&chunk)).map_err(refused)?;
    }
    let snapshot = Snapshot {
        meta: head.meta.snapshot_meta(),
        snapshot: SnapshotData::Incoming(Box::new(rows)),
    };
    let vote = head.vote.into_raft();
    let reply = core.raft.install_full_snapshot(vote, snapshot).await.map_err(io::Error::other)?;
    writer.write_within(&Vote::from(&reply.vote), WRITE_MAX).await
}
