//! Selling on every node, with nodes going away and coming back.

use std::time::{Duration, Instant};

use firstcome_domain::{Outcome, Refusal};
use firstcome_raft::{Executed, FailureReason, Node};
use futures_util::future::join_all;

use crate::cluster::{Cluster, accounts, eventually, insist, is_order, open_sale, order, revision};
use crate::shop::Shop;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_sell_exactly_what_is_stocked() {
    let cluster = Cluster::start(3, |_| ()).await;
    open_sale(&cluster.node(0), 20).await;
    let replies = join_all((0..60).map(|n| {
        let node = cluster.node(n as usize % 3);
        async move { node.propose(order(n)).await }
    }))
    .await;
    let sold = replies.iter().filter(|reply| is_order(reply)).count();
    assert_eq!(sold, 20, "{replies:?}");
    for reply in replies.iter().filter(|reply| !is_order(reply)) {
        let refused = &reply.as_ref().expect("an outcome").outcome;
        assert!(matches!(refused, Outcome::Refused(Refusal::SoldOut { .. })), "{refused:?}");
    }
    cluster.assert_equal_hashes().await;
    for node in cluster.running() {
        node.linearize().await.expect("a leader");
        assert_eq!((accounts(&node).held, accounts(&node).available), (20, 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ref18_unknown_outcome_same_key_recovers() {
    let cluster = Cluster::start(3, |_| ()).await;
    open_sale(&cluster.node(0), 5).await;
    let first = insist(&cluster.node(0), order(1)).await;
    let again = insist(&cluster.node(1), order(1)).await;
    assert_eq!((first.outcome, first.decided), (again.outcome, again.decided));
    assert!(again.replayed && !first.replayed);
    cluster.node(2).linearize().await.expect("a leader");
    assert_eq!(accounts(&cluster.node(2)).held, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d05_done_survives_any_minority_loss() {
    let mut cluster = Cluster::start(3, |_| ()).await;
    open_sale(&cluster.node(0), 30).await;
    for round in 0..3_u128 {
        let leader = cluster.leader().await;
        insist(&cluster.node(leader), order(round * 10)).await;
        cluster.stop(leader).await;
        cluster.leader().await;
        let other = cluster.running()[0].clone();
        insist(&other, order(round * 10 + 1)).await;
        other.linearize().await.expect("a leader");
        assert_eq!(u128::from(accounts(&other).held), (round + 1) * 2);
        cluster.restart(leader).await;
        cluster.leader().await;
    }
    cluster.assert_equal_hashes().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d15_minority_refuses_writes() {
    let mut cluster = Cluster::start(3, |_| ()).await;
    open_sale(&cluster.node(0), 5).await;
    insist(&cluster.node(0), order(1)).await;
    let leader = cluster.leader().await;
    let left = (leader + 1) % 3;
    let node = cluster.node(left);
    node.linearize().await.expect("a leader");
    cluster.stop(leader).await;
    cluster.stop((leader + 2) % 3).await;
    eventually("the lone node knows that nobody leads", || async {
        node.leader_name().is_none().then_some(())
    })
    .await;
    let began = Instant::now();
    let failure = node.propose(order(2)).await.expect_err("no majority");
    assert_eq!((failure.reason, failure.executed), (FailureReason::NoQuorum, Executed::No));
    assert!(began.elapsed() < Duration::from_secs(2), "fast: {:?}", began.elapsed());
    let read = node.linearize().await.expect_err("no majority");
    assert_eq!(read.reason, FailureReason::NoQuorum);
    assert_eq!(accounts(&node).held, 1, "local reads go on");
    assert!(!node.not_ready().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ref09_restart_keeps_holds() {
    let mut cluster = Cluster::start(3, |_| ()).await;
    open_sale(&cluster.node(0), 5).await;
    insist(&cluster.node(1), order(1)).await;
    for i in 0..3 {
        cluster.stop(i).await;
    }
    let options: Vec<_> = (0..3).map(|i| cluster.options(i)).collect();
    let started = join_all(options.into_iter().map(|options| Node::start(options, Shop))).await;
    cluster.nodes = started.into_iter().map(|node| Some(node.expect("a node"))).collect();
    cluster.leader().await;
    let node = cluster.node(2);
    node.linearize().await.expect("a leader");
    assert_eq!((accounts(&node).held, accounts(&node).available), (1, 4));
    let again = insist(&node, order(1)).await;
    assert!(again.replayed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sold_out_is_answered_early_only_from_fresh_rows() {
    let cluster = Cluster::start(3, |_| ()).await;
    open_sale(&cluster.node(0), 1).await;
    insist(&cluster.node(0), order(1)).await;
    let before = revision(&cluster.node(0));
    for i in 0..3 {
        // Through the log when the rows could not be confirmed in time; on a busy machine too.
        // A buyer whose refusal was decided has a receipt, and gets that one from then on.
        let node = cluster.node(i);
        let mut buyer = 1000 * (1 + i as u128);
        let reply = eventually("an early refusal", || {
            buyer += 1;
            let asked = node.propose(order(buyer));
            async { asked.await.ok().filter(|reply| reply.early) }
        })
        .await;
        assert!(reply.decided.revision >= before);
        assert!(matches!(reply.outcome, Outcome::Refused(Refusal::SoldOut { .. })));
    }
}
