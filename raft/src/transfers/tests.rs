//! What is purged while a snapshot is on its way, and after.

use std::sync::Arc;

use firstcome_domain::{Action, Actor, Command};
use tokio::sync::mpsc;

use super::*;
use crate::network::stream::{self, FrameReader, FrameWriter, TcpListener};
use crate::network::stub::{self, DEADLINE};
use crate::wire::{self, Append, Appended, Channel, Hello, LogId, SnapshotHead, Welcome};
use crate::{Node, Options};

const PATIENCE: Duration = Duration::from_mins(2);

/// Which log index a newcomer has; it agrees to all that goes on from there.
type Has = Arc<Mutex<Option<LogId>>>;

/// A newcomer that hands snapshots over to the test.
async fn join(listener: TcpListener, has: Has, offers: mpsc::UnboundedSender<Offer>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (has, offers) = (Arc::clone(&has), offers.clone());
        tokio::spawn(async move {
            let (mut reader, mut writer) = stream::split(socket);
            let hello: Hello = reader.expect(DEADLINE).await?;
            match hello.channel {
                Channel::Append => {
                    writer.write_within(&Welcome::Yes, DEADLINE).await?;
                    while let Some(append) = reader.read::<Append>().await? {
                        let appended = append_to(&mut has.lock(), append);
                        writer.write_within(&appended, DEADLINE).await?;
                    }
                }
                Channel::Snapshot => {
                    writer.write_within(&Welcome::Yes, DEADLINE).await?;
                    let head = reader.expect(DEADLINE).await?;
                    drop(offers.send((head, reader, writer)));
                }
                _ => stub::agree_on("n2", &hello, reader, writer).await?,
            }
            std::io::Result::Ok(())
        });
    }
}

type Offer = (SnapshotHead, FrameReader, FrameWriter);

fn append_to(has: &mut Option<LogId>, append: Append) -> Appended {
    let append = append.into_raft();
    let prev = wire::log_id(append.prev_log_id.as_ref());
    if let Some(prev) = prev
        && has.is_none_or(|has| has.index() < prev.index())
    {
        return Appended::Conflict(prev);
    }
    if let Some(last) = append.entries.last() {
        *has = Some((&last.log_id).into());
        return Appended::Matches(*has);
    }
    Appended::Matches(prev)
}

/// Decides something, and purges what may be purged.
async fn go_on(node: &Node) {
    for _ in 0..5 {
        let tick = Command { actor: Actor::Node, receipt: None, action: Action::Tick };
        while node.propose(tick.clone()).await.is_err() {}
    }
    node.snapshot().await.unwrap();
}

fn purged(node: &Node) -> u64 {
    node.core.log.purged().map_or(0, |mark| mark.index)
}

/// Story: while a new member installed a snapshot the leader purged the log behind it, sent it the
/// next snapshot, and so on: it was never in sync (found by a soak, issue 3).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_behind_a_snapshot_waits_for_its_receiver() {
    let folder = tempfile::tempdir().unwrap();
    let pid = std::process::id();
    let own = format!("127.{}.{}.253:7000", 1 + (pid >> 8) % 250, pid & 0xff);
    let mut options = Options::new("n1", folder.path().join("n1"));
    options.peer_listen = Some(own.parse().unwrap());
    options.bootstrap = true;
    options.retain_entries = 0;
    let node = Node::start(options).await.unwrap();
    while purged(&node) == 0 {
        go_on(&node).await;
    }

    let listener = stream::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (has, (offers, mut offered)) = (Has::default(), mpsc::unbounded_channel());
    let newcomer = tokio::spawn(join(listener, Arc::clone(&has), offers));
    node.add_member("n2".to_owned(), String::new(), address).await.unwrap();
    let (head, mut reader, mut writer) = offered.recv().await.unwrap();
    let index = head.meta.last.map_or(0, LogId::index);
    for _ in 0..5 {
        go_on(&node).await;
    }
    assert!(purged(&node) <= index, "{} of {index}", purged(&node));
    while reader.read_bytes().await.unwrap().is_some_and(|chunk| !chunk.is_empty()) {}
    *has.lock() = head.meta.last;
    writer.write_within(&head.vote, DEADLINE).await.unwrap();

    let caught_up = async {
        while purged(&node) <= index {
            go_on(&node).await;
        }
    };
    tokio::select! {
        _ = offered.recv() => panic!("it was sent another snapshot"),
        done = tokio::time::timeout(DEADLINE, caught_up) => done.expect("purged in the end"),
    }
    assert!(has.lock().is_some_and(|has| has.index() > index), "it read on");
    node.shutdown().await;
    newcomer.abort();
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_does_not_move_is_let_go() {
    let transfers = Transfers::default();
    let purgeable = |matched: Option<u64>| transfers.purgeable(50, PATIENCE, |_| matched);
    transfers.begin(2, 10).arrived();
    tokio::time::advance(PATIENCE / 2).await;
    assert_eq!(purgeable(Some(0)), 10, "openraft has not noted that it arrived");
    assert_eq!(purgeable(Some(20)), 20, "it reads on");
    tokio::time::advance(PATIENCE / 2).await;
    assert_eq!(purgeable(Some(20)), 20, "its time began anew");
    tokio::time::advance(PATIENCE / 2).await;
    assert_eq!(purgeable(Some(20)), 50, "its time is over");
    assert_eq!(purgeable(Some(20)), 50);
}

#[tokio::test]
async fn what_is_not_needed_any_more_holds_nothing() {
    let transfers = Transfers::default();
    let purgeable = |matched: Option<u64>| transfers.purgeable(50, PATIENCE, |_| matched);
    let (two, three) = (transfers.begin(2, 10), transfers.begin(3, 7));
    assert_eq!(purgeable(None), 7, "both are on their way");
    drop(three);
    assert_eq!(purgeable(None), 10, "one was broken off");
    two.arrived();
    assert_eq!(purgeable(Some(49)), 49, "almost");
    assert_eq!(purgeable(Some(50)), 50, "it has all that is purged");
    transfers.begin(2, 10).arrived();
    assert_eq!(purgeable(None), 50, "it is no member any more, or this no leader");
}
