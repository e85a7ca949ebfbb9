//! Links under load, links that are given up, and peers of other releases.

use std::sync::Arc;

use bytes::Bytes;
use firstcome_storage::codec;
use futures_util::future::join_all;
use openraft::network::{RPCOption, RaftNetworkFactory as _, RaftNetworkV2 as _};
use openraft::raft::AppendEntriesRequest;

use super::rpc::Rpc;
use super::stub::DEADLINE;
use super::*;
use crate::application::Idle;
use crate::config::{AppendRequest, TypeConfig};
use crate::log_format;
use crate::members::Members;
use crate::protocol::{Admin, Failed, Request, Response, SnapshotHead};
use crate::types::{Address, Vote};
use crate::{Node, Options};

/// 24 MiB: loopback takes about 10 each way before a writer waits.
const MESSAGES: u64 = 1024;
const MESSAGE_BYTES: usize = 24 << 10;

fn dialer(cluster_uuid: String) -> Dialer {
    Dialer {
        cluster_uuid,
        incarnation: 0,
        node_id: 2,
        dial: BTreeMap::new(),
        connect_timeout: DEADLINE,
        failure: FailureSlot::default(),
        strangers: Strangers::default(),
        runtime: Handle::current(),
    }
}

async fn network_to(peer: String) -> peer::PeerNetwork {
    let dialer = dialer(String::new());
    let mut factory = peer::Factory {
        members: Arc::new(Members::new(dialer.clone())),
        dialer,
        transfers: Arc::default(),
        rpc_timeout: DEADLINE,
        chunk_timeout: DEADLINE,
    };
    factory.new_client(9, &Address { name: "n9".to_owned(), api: String::new(), peer }).await
}

fn heartbeat() -> AppendEntriesRequest<TypeConfig> {
    let vote = Vote::new(1, 2);
    AppendEntriesRequest { vote, prev_log_id: None, entries: Vec::new(), leader_commit: None }
}

/// Takes one connection, and reads nothing of it before it has sent all it has to say.
async fn talk_first(listener: stream::TcpListener) -> io::Result<()> {
    let (socket, _) = listener.accept().await?;
    let (mut reader, mut writer) = stream::split(socket);
    stub::greeted(&mut reader).await?;
    writer.write_within(&Greeting::own(Welcome::Yes), DEADLINE).await?;
    // To a question that nobody asked: the other end drops it.
    let long = Response::Failed(Failed::Rejected("x".repeat(MESSAGE_BYTES)));
    for _ in 0..MESSAGES {
        writer.write_within(&vec![(0_u64, long.clone())], DEADLINE).await?;
    }
    while let Some(questions) = reader.read::<Vec<(u64, Request)>>().await? {
        let answers: Vec<_> =
            questions.into_iter().map(|(id, _)| (id, Response::ReadIndex(id))).collect();
        writer.write_within(&answers, DEADLINE).await?;
    }
    Ok(())
}

/// Story: the asking end read no answers while a frame of questions waited for the socket, and
/// the answering end no questions while answers did: a busy forward link stood still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_asking_end_reads_answers_while_its_questions_wait_for_the_socket() {
    let listener = stream::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let peer = tokio::spawn(talk_first(listener));
    let rpc = Rpc::new(dialer(String::new()), 9, "n9".to_owned(), address, Channel::Forward);
    let question = Request::Propose(Bytes::from(vec![7; MESSAGE_BYTES]));
    let answers = join_all((0..MESSAGES).map(|_| rpc.call(question.clone(), DEADLINE))).await;
    for answer in answers {
        assert!(matches!(answer, Ok(Response::ReadIndex(_))), "{answer:?}");
    }
    drop(rpc);
    peer.await.unwrap().unwrap();
}

/// A link opened by a request handler must not live on the runtime of the handlers, where it would
/// wait behind them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_outlives_the_runtime_of_its_first_caller() {
    let listener = stream::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let peer = tokio::spawn(stub::run("n9", listener));
    let members = Members::new(dialer(String::new()));
    let address = Address { name: "n9".to_owned(), api: String::new(), peer: address };
    let handlers = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (link, answer) = handlers
        .spawn(async move {
            let link = members.control(9, &address);
            let answer = link.call(Request::ReadIndex, DEADLINE).await;
            (link, answer)
        })
        .await
        .unwrap();
    // Waits until nothing of it runs any more.
    tokio::task::spawn_blocking(move || drop(handlers)).await.unwrap();
    for answer in [answer, link.call(Request::ReadIndex, DEADLINE).await] {
        assert_eq!(answer, Ok(Response::Failed(Failed::NotLeader)));
    }
    peer.abort();
}

/// Story: openraft waits for a dead peer inside its stream of requests, and the dial came before
/// the first of them: a leader dialled a dead peer some hundred times a second, and logged each
/// (found by runs under SIGKILL).
#[tokio::test]
async fn a_peer_is_not_dialled_before_there_is_a_request() {
    let listener = stream::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let peer = listener.local_addr().unwrap().to_string();
    let mut network = network_to(peer).await;
    let (go, gone) = tokio::sync::oneshot::channel();
    let requests = futures_util::stream::once(async {
        gone.await.expect("told to go");
        heartbeat()
    });
    let mut sending = network.stream_append(Box::pin(requests), RPCOption::new(DEADLINE));
    tokio::select! {
        biased;
        _ = &mut sending => panic!("nobody has answered yet"),
        // Both were asked: the dial would stand in the backlog by the second look.
        () = tokio::task::yield_now() => {}
    }
    assert!(futures_util::poll!(Box::pin(listener.accept())).is_pending(), "it was dialled");
    go.send(()).unwrap();
    tokio::select! {
        _ = sending => panic!("nobody has answered yet"),
        accepted = listener.accept() => drop(accepted.unwrap()),
    }
}

/// Story: a heartbeat is given up after one interval, and its dial was given up with it. Where
/// connecting takes longer than that, no heartbeat ever arrived, and leaders kept losing their
/// leadership (found by simulation).
#[tokio::test]
async fn a_given_up_append_leaves_its_dial_to_the_next() {
    let listener = stream::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let peer = listener.local_addr().unwrap().to_string();
    let mut network = network_to(peer).await;
    let option = || RPCOption::new(DEADLINE);
    let first = network.append_entries(heartbeat(), option());
    let arrived = async {
        let (socket, _) = listener.accept().await.unwrap();
        let (mut reader, writer) = stream::split(socket);
        stub::greeted(&mut reader).await.unwrap();
        (reader, writer)
    };
    let (mut reader, mut writer) = tokio::select! {
        _ = first => panic!("nobody has answered yet"),
        halves = arrived => halves,
    };
    drop(listener);
    writer.write_within(&Greeting::own(Welcome::Yes), DEADLINE).await.unwrap();
    let second = network.append_entries(heartbeat(), option());
    let sent = reader.expect::<AppendRequest>(DEADLINE);
    tokio::select! {
        ended = second => panic!("nobody has answered yet: {ended:?}"),
        sent = sent => assert!(sent.is_ok(), "on the connection of the first"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answering_end_reads_questions_while_its_answers_wait_for_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let address = stub::own_address();
    let mut options = Options::new("n1", folder.path().join("n1"));
    options.peer_listen = Some(address.parse().unwrap());
    options.bootstrap = true;
    let node = Node::start(options, Idle).await.unwrap();
    let led = async { while node.linearize().await.is_err() {} };
    tokio::time::timeout(DEADLINE, led).await.expect("the node leads");
    let cluster = node.cluster(true).await.unwrap().cluster_uuid;
    let dialer = dialer(cluster);
    let (mut reader, mut writer) = dialer.open(1, "n1", &address, Channel::Forward).await.unwrap();
    // No address: the refusal repeats it, so the answer is as long as the question.
    let peer = "x".repeat(MESSAGE_BYTES);
    let newcomer = log_format::Address { name: "n2".to_owned(), api: String::new(), peer };
    let question = Request::Admin(Admin::Add(newcomer));
    for id in 1..=MESSAGES {
        writer.write_within(&vec![(id, question.clone())], DEADLINE).await.unwrap();
    }
    let mut answered = Vec::new();
    while answered.len() < usize::try_from(MESSAGES).unwrap() {
        for (id, answer) in reader.expect::<Vec<(u64, Response)>>(DEADLINE).await.unwrap() {
            let Response::Failed(Failed::Rejected(why)) = answer else { panic!("{answer:?}") };
            assert!(why.len() > MESSAGE_BYTES);
            answered.push(id);
        }
    }
    answered.sort_unstable();
    assert!(answered.into_iter().eq(1..=MESSAGES));
    node.shutdown().await;
}

/// A peer of a release that has no protocol in common with this one, for one connection.
async fn foreign_peer(listener: stream::TcpListener) -> io::Result<()> {
    let (socket, _) = listener.accept().await?;
    let (mut reader, mut writer) = stream::split(socket);
    stub::greeted(&mut reader).await?;
    writer.write_within(&Greeting::<Welcome>::foreign("7.8.9", 9), DEADLINE).await
}

fn names_both_releases(why: &str) -> bool {
    why.contains("7.8.9") && why.contains(codec::RELEASE)
}

#[tokio::test]
async fn a_peer_of_another_protocol_is_not_talked_to() {
    let listener = stream::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let peer = tokio::spawn(foreign_peer(listener));
    let dialer = dialer(String::new());
    let Err(error) = dialer.open(9, "n9", &address, Channel::Control).await else { panic!() };
    assert!(names_both_releases(&error.to_string()), "{error}");
    let why = dialer.strangers.majority(&[9]).expect("it is noted");
    assert!(names_both_releases(&why), "{why}");
    peer.await.unwrap().unwrap();
    // Its binary was replaced meanwhile.
    let listener = stream::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let peer = tokio::spawn(stub::run("n9", listener));
    dialer.open(9, "n9", &address, Channel::Control).await.unwrap();
    assert_eq!(dialer.strangers.majority(&[9]), None);
    peer.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_start_with_a_node_of_another_protocol_is_refused() {
    let listener = stream::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let peer = listener.local_addr().unwrap().to_string();
    let foreign = tokio::spawn(foreign_peer(listener));
    let folder = tempfile::tempdir().unwrap();
    let mut options = Options::new("n1", folder.path().join("n1"));
    let own = stub::own_address();
    options.peer_listen = Some(own.parse().unwrap());
    options.bootstrap = true;
    options.peers = [("n1", own), ("n2", peer)]
        .map(|(name, peer)| crate::Peer { name: name.to_owned(), api: String::new(), peer })
        .to_vec();
    let started =
        tokio::time::timeout(DEADLINE, Node::start(options, Idle)).await.expect("in time");
    let Err(crate::StartError::Bootstrap(why)) = started else { panic!("it started") };
    assert!(why.starts_with("n2: ") && names_both_releases(&why), "{why}");
    foreign.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_of_another_protocol_is_told_so_and_a_majority_of_them_ends_the_node() {
    let folder = tempfile::tempdir().unwrap();
    let address = stub::own_address();
    let mut options = Options::new("n1", folder.path().join("n1"));
    options.peer_listen = Some(address.parse().unwrap());
    options.bootstrap = true;
    let node = Node::start(options, Idle).await.unwrap();
    let socket = stream::connect(&address, DEADLINE).await.unwrap();
    let (mut reader, mut writer) = stream::split(socket);
    writer.write_within(&Greeting::<Hello>::foreign("7.8.9", 9), DEADLINE).await.unwrap();
    let answer: Greeting<Welcome> = reader.expect(DEADLINE).await.unwrap();
    let Ok(Welcome::No(why)) = answer.understood() else { panic!("it was welcome") };
    assert!(names_both_releases(&why), "{why}");

    node.core.members.strangers().add(1, "as if voter 1 were of another release");
    let (code, why) = tokio::time::timeout(DEADLINE, node.failed()).await.expect("it ends");
    assert_eq!(code, exit::IDENTITY);
    assert!(why.contains("voter 1"), "{why}");
    node.shutdown().await;
}

/// Of the build that stands in for a later release, at a level that this one does not know.
const LATER_SNAPSHOT: &str = include_str!("../../../storage/tests/golden/next/level-2.hex");

/// It can never follow this leader, so it must not ask for the same rows again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_of_a_later_release_ends_the_node() {
    let folder = tempfile::tempdir().unwrap();
    let address = stub::own_address();
    let mut options = Options::new("n1", folder.path().join("n1"));
    options.peer_listen = Some(address.parse().unwrap());
    options.bootstrap = true;
    let node = Node::start(options, Idle).await.unwrap();
    let dialer = dialer(node.core.identity.cluster_uuid.clone());
    let (mut reader, mut writer) = dialer.open(1, "n1", &address, Channel::Snapshot).await.unwrap();
    let head = SnapshotHead {
        vote: log_format::Vote::from(&Vote::new(9, 2)),
        meta: log_format::Meta::default(),
    };
    writer.write_within(&head, DEADLINE).await.unwrap();
    let digits: Vec<u8> = LATER_SNAPSHOT.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    let chunk: Vec<u8> = digits.chunks(2).map(byte).collect();
    writer.write_bytes(&chunk).await.unwrap();
    let (code, why) = tokio::time::timeout(DEADLINE, node.failed()).await.expect("it ends");
    assert_eq!(code, exit::IDENTITY, "{why}");
    assert!(why.contains("0.2.0-next") && why.contains(codec::RELEASE), "{why}");
    assert!(reader.read_bytes().await.unwrap().is_none(), "the connection is closed");
    node.shutdown().await;
}
