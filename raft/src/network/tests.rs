//! Both ends of a link writing at once, more than the sockets hold: neither may wait for the
//! other to read first.

use bytes::Bytes;
use futures_util::future::join_all;

use super::rpc::Rpc;
use super::stub::DEADLINE;
use super::*;
use crate::wire::{self, Admin, Failed, Request, Response};
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
    }
}

/// Takes one connection, and reads nothing of it before it has sent all it has to say.
async fn talk_first(listener: stream::TcpListener) -> io::Result<()> {
    let (socket, _) = listener.accept().await?;
    let (mut reader, mut writer) = stream::split(socket);
    let _: Hello = reader.expect(DEADLINE).await?;
    writer.write_within(&Welcome::Yes, DEADLINE).await?;
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
/// the answering end no questions while answers did: a busy forward link stood still (issue 2).
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answering_end_reads_questions_while_its_answers_wait_for_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let pid = std::process::id();
    let address = format!("127.{}.{}.251:7000", 1 + (pid >> 8) % 250, pid & 0xff);
    let mut options = Options::new("n1", folder.path().join("n1"));
    options.peer_listen = Some(address.parse().unwrap());
    options.bootstrap = true;
    let node = Node::start(options).await.unwrap();
    let led = async { while node.linearize().await.is_err() {} };
    tokio::time::timeout(DEADLINE, led).await.expect("the node leads");
    let cluster = node.cluster(true).await.unwrap().cluster_uuid;
    let dialer = dialer(cluster);
    let (mut reader, mut writer) = dialer.open(1, "n1", &address, Channel::Forward).await.unwrap();
    // No address: the refusal repeats it, so the answer is as long as the question.
    let peer = "x".repeat(MESSAGE_BYTES);
    let newcomer = wire::Address { name: "n2".to_owned(), api: String::new(), peer };
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
