//! Growing, shrinking, handing over.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use firstcome_raft::{FailureReason, MemberRole, Node, StartError};
use futures_util::future::join_all;

use crate::cluster::{Cluster, accounts, eventually, insist, open_sale, order};
use crate::shop::Shop;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_node_catches_up_by_snapshot_and_becomes_a_voter() {
    let mut cluster = Cluster::start(3, |options| options.retain_entries = 0).await;
    open_sale(&cluster.node(0), 50).await;
    for n in 0..20 {
        insist(&cluster.node(0), order(n)).await;
    }
    // Twice: the purge goes up to the mark before this one.
    for _ in 0..2 {
        for node in cluster.running() {
            node.snapshot().await.expect("a mark");
        }
    }
    eventually("the leader purged its log", || async {
        for node in cluster.running() {
            node.snapshot().await.expect("a mark");
        }
        let leader = cluster.node(cluster.leader().await);
        let text = leader.metrics_text();
        let purged = text.lines().find_map(|l| l.strip_prefix("firstcome_raft_purged_index "))?;
        (purged.parse::<u64>().ok()? > 10).then_some(())
    })
    .await;

    let (options, peer) = cluster.newcomer();
    let joining = tokio::spawn(Node::start(options, Shop));
    let id = eventually("the newcomer is waiting", || async {
        let node = cluster.node(0);
        node.add_member(peer.name.clone(), peer.api.clone(), peer.peer.clone()).await.ok()
    })
    .await;
    assert_eq!(id, 4);
    let newcomer = joining.await.expect("no panic").expect("a node");
    cluster.nodes.push(Some(newcomer.clone()));
    eventually("the newcomer can be promoted", || async { cluster.node(1).promote(id).await.ok() })
        .await;
    newcomer.linearize().await.expect("a leader");
    assert_eq!(accounts(&newcomer).held, 20);
    insist(&newcomer, order(99)).await;
    cluster.assert_equal_hashes().await;
    let status = newcomer.cluster(false).await.expect("a status");
    assert_eq!(status.members.len(), 4);
    assert!(status.members.iter().all(|m| m.role == MemberRole::Voter && m.reachable));
    assert_eq!(status.can_lose, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_node_stops_and_stays_out() {
    let mut cluster = Cluster::start(3, |_| ()).await;
    open_sale(&cluster.node(0), 5).await;
    let leader = cluster.leader().await;
    let gone = (leader + 1) % 3;
    let id = gone as u64 + 1;
    cluster.node(leader).remove_member(id).await.expect("removed");
    let (code, reason) = cluster.node(gone).failed().await;
    assert_eq!(code, 77, "{reason}");
    cluster.stop(gone).await;
    let again = Node::start(cluster.options(gone), Shop).await;
    assert!(matches!(again.err(), Some(StartError::Removed)));
    insist(&cluster.node(leader), order(1)).await;
    let failure = cluster.node(leader).remove_member(id).await.expect_err("gone already");
    assert!(matches!(failure.reason, FailureReason::Rejected(_)), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_is_handed_over_from_any_node() {
    let cluster = Cluster::start(3, |_| ()).await;
    let leader = cluster.leader().await;
    let target = (leader + 1) % 3;
    let asked = cluster.node((leader + 2) % 3);
    let now = eventually("the target's clock is known to be good", || async {
        asked.transfer_leader(Some(target as u64 + 1)).await.ok()
    })
    .await;
    assert_eq!(now, target as u64 + 1);
    assert_eq!(cluster.leader().await, target);
    open_sale(&cluster.node(leader), 5).await;
    let failure = asked.transfer_leader(Some(9)).await.expect_err("no such member");
    assert!(matches!(failure.reason, FailureReason::Rejected(_)), "{failure:?}");
}

/// Buyers on every node, as many as `buying` lets.
async fn buy_until_told(cluster: &Cluster, from: u128, stop: &AtomicBool, bought: &AtomicUsize) {
    let node = cluster.node(usize::try_from(from % 3).expect("small"));
    let mut buyer = from;
    while !stop.load(Ordering::Relaxed) {
        buyer += 3;
        insist(&node, order(buyer)).await;
        bought.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_sticks_while_everybody_buys() {
    let cluster = Cluster::start(3, |_| ()).await;
    open_sale(&cluster.node(0), 1_000_000).await;
    let (stop, bought) = (AtomicBool::new(false), AtomicUsize::new(0));
    let buyers =
        join_all((0..12).map(|n| buy_until_told(&cluster, n * 10_000_000, &stop, &bought)));
    let transfers = async {
        for _ in 0..4 {
            let leader = cluster.leader().await;
            let target = (leader + 1) % 3;
            let asked = cluster.node((leader + 2) % 3);
            let before = bought.load(Ordering::Relaxed);
            let now = eventually("a transfer", || async {
                asked.transfer_leader(Some(target as u64 + 1)).await.ok()
            })
            .await;
            assert_eq!(now, target as u64 + 1);
            assert_eq!(cluster.leader().await, target, "the asked node leads");
            eventually("the sale goes on", || async {
                (bought.load(Ordering::Relaxed) > before + 50).then_some(())
            })
            .await;
            assert_eq!(cluster.leader().await, target, "and still does after 50 orders");
        }
        stop.store(true, Ordering::Relaxed);
    };
    tokio::join!(buyers, transfers);
    let held = accounts(&cluster.node(cluster.leader().await)).held;
    assert_eq!(usize::try_from(held).expect("small"), bought.load(Ordering::Relaxed));
    cluster.assert_equal_hashes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removing_below_a_majority_is_refused() {
    let mut cluster = Cluster::start(3, |_| ()).await;
    let leader = cluster.leader().await;
    cluster.stop((leader + 1) % 3).await;
    let id = ((leader + 2) % 3) as u64 + 1;
    let failure = eventually("the leader notices the silent voter", || async {
        cluster.node(leader).remove_member(id).await.err()
    })
    .await;
    assert!(matches!(failure.reason, FailureReason::Rejected(_)), "{failure:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_node_does_not_come_back_under_its_id() {
    let mut cluster = Cluster::start(3, |_| ()).await;
    let leader = cluster.leader().await;
    let wiped = (leader + 1) % 3;
    cluster.stop(wiped).await;
    std::fs::remove_dir_all(cluster.data_dir(wiped)).expect("wiped");
    let again = Node::start(cluster.options(wiped), Shop).await;
    assert!(matches!(again.err(), Some(StartError::Bootstrap(_))));
}
