//! What is purged while a snapshot is on its way, and after.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use firstcome_domain::{Action, Actor, Command};
use tokio::sync::mpsc;

use super::*;
use crate::application::Idle;
use crate::config::AppendRequest;
use crate::log_format::{self, LogId};
use crate::network::greeting::Greeting;
use crate::network::stream::{self, FrameReader, FrameWriter, TcpListener};
use crate::network::stub::{self, DEADLINE};
use crate::protocol::{Appended, Channel, SnapshotHead, Welcome};
use crate::{Node, Options};

const PATIENCE: Duration = Duration::from_mins(2);

/// A newcomer: it agrees to all that goes on from what it has.
#[derive(Default)]
struct Newcomer {
    has: Mutex<Option<LogId>>,
    /// It takes no entries; connections that bring some break.
    deaf: AtomicBool,
    /// How often one did.
    broken: AtomicU64,
}

/// Takes connections, and hands snapshots over to the test.
async fn join(
    listener: TcpListener,
    newcomer: Arc<Newcomer>,
    offers: mpsc::UnboundedSender<Offer>,
) {
    while let Ok((socket, _)) = listener.accept().await {
        let (newcomer, offers) = (Arc::clone(&newcomer), offers.clone());
        tokio::spawn(async move {
            let (mut reader, mut writer) = stream::split(socket);
            let hello = stub::greeted(&mut reader).await?;
            match hello.channel {
                Channel::Append => {
                    writer.write_within(&Greeting::own(Welcome::Yes), DEADLINE).await?;
                    while let Some(append) = reader.read::<AppendRequest>().await? {
                        if newcomer.deaf.load(Ordering::Relaxed) && !append.entries.is_empty() {
                            newcomer.broken.fetch_add(1, Ordering::Relaxed);
                            break;
                        }
                        let appended = append_to(&mut newcomer.has.lock(), &append);
                        writer.write_within(&appended, DEADLINE).await?;
                    }
                }
                Channel::Snapshot => {
                    writer.write_within(&Greeting::own(Welcome::Yes), DEADLINE).await?;
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

fn append_to(has: &mut Option<LogId>, append: &AppendRequest) -> Appended {
    let prev = log_format::log_id(append.prev_log_id.as_ref());
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
/// next snapshot, and so on: it was never in sync (found by a soak).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_behind_a_snapshot_waits_for_its_receiver() {
    tokio::time::timeout(DEADLINE, receive()).await.expect("in time");
}

async fn receive() {
    let folder = tempfile::tempdir().unwrap();
    let own = stub::own_address();
    let mut options = Options::new("n1", folder.path().join("n1"));
    options.peer_listen = Some(own.parse().unwrap());
    options.bootstrap = true;
    options.retain_entries = 0;
    // Nothing here is late: a link that breaks was broken by the test.
    options.rpc_timeout = DEADLINE;
    let node = Node::start(options, Idle).await.unwrap();
    while purged(&node) == 0 {
        go_on(&node).await;
    }

    let listener = stream::listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let newcomer = Arc::<Newcomer>::default();
    let (offers, mut offered) = mpsc::unbounded_channel();
    let joining = tokio::spawn(join(listener, Arc::clone(&newcomer), offers));
    node.add_member("n2".to_owned(), String::new(), address).await.unwrap();
    let (head, mut reader, mut writer) = offered.recv().await.unwrap();
    let index = head.meta.last.map_or(0, LogId::index);
    for _ in 0..5 {
        go_on(&node).await;
    }
    assert!(purged(&node) <= index, "{} of {index}", purged(&node));

    // It has arrived, and what follows does not get through at first: each time a link breaks,
    // openraft purges what it was told to.
    newcomer.deaf.store(true, Ordering::Relaxed);
    while reader.read_bytes().await.unwrap().is_some_and(|chunk| !chunk.is_empty()) {}
    *newcomer.has.lock() = head.meta.last;
    writer.write_within(&head.vote, DEADLINE).await.unwrap();
    while newcomer.broken.load(Ordering::Relaxed) < 3 {
        go_on(&node).await;
    }
    assert!(purged(&node) <= index, "{} of {index}", purged(&node));
    newcomer.deaf.store(false, Ordering::Relaxed);

    let caught_up = async {
        while purged(&node) <= index {
            go_on(&node).await;
        }
    };
    tokio::select! {
        Some(_) = offered.recv() => panic!("it was sent another snapshot"),
        () = caught_up => {}
    }
    assert!(newcomer.has.lock().is_some_and(|has| has.index() > index), "it read on");
    node.shutdown().await;
    joining.abort();
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_does_not_come_closer_is_let_go() {
    let transfers = Transfers::default();
    let purgeable =
        |upto: u64, matched: u64| transfers.purgeable(upto, PATIENCE, |_| Some(matched));
    transfers.begin(2, 10).arrived();
    tokio::time::advance(PATIENCE / 2).await;
    assert_eq!(purgeable(50, 0), 10, "openraft has not noted that it arrived");
    tokio::time::advance(PATIENCE / 2).await;
    assert_eq!(purgeable(50, 20), 20, "it comes closer");
    tokio::time::advance(PATIENCE / 2).await;
    assert_eq!(purgeable(90, 50), 50, "it reads on, and no faster than is written");
    tokio::time::advance(PATIENCE / 2).await;
    assert_eq!(purgeable(130, 80), 130, "its time is over");
    assert_eq!(purgeable(130, 80), 130);
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

#[test]
fn a_transfer_that_is_broken_off_late_does_not_end_the_next() {
    let transfers = Transfers::default();
    let purgeable = || transfers.purgeable(50, PATIENCE, |_| None);
    let (old, new) = (transfers.begin(2, 10), transfers.begin(2, 20));
    assert_eq!(purgeable(), 10);
    drop(old);
    assert_eq!(purgeable(), 20);
    drop(new);
    assert_eq!(purgeable(), 50);
}
