//! Log time, and nodes whose clocks are wrong.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::cluster::{Cluster, insist, open_sale, order};

fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before year 292 million")
}

async fn sells_at_the_majority_time(tune: fn(&mut firstcome_raft::Options)) {
    let cluster = Cluster::start(3, tune).await;
    open_sale(&cluster.node(0), 5).await;
    let off = 0;
    for n in 0..3 {
        let reply = insist(&cluster.node(n), order(n as u128)).await;
        let skew = (reply.decided.now.get() - wall_ms()).abs();
        assert!(skew < 60_000, "log time is {skew} ms from the majority's clocks");
    }
    assert_ne!(cluster.leader().await, off, "a node with a wrong clock must not lead");
    let refused = cluster.node(1).transfer_leader(Some(off as u64 + 1)).await;
    let lasting = crate::cluster::eventually("leadership returns to a good clock", || async {
        let leader = cluster.leader().await;
        (leader != off).then_some(leader)
    })
    .await;
    assert_ne!(lasting, off, "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_ten_minutes_ahead_does_not_lead() {
    let ahead = |options: &mut firstcome_raft::Options| {
        if options.name == "n1" {
            options.clock_offset_ms = 600_000;
        }
    };
    sells_at_the_majority_time(ahead).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_ten_minutes_behind_does_not_lead() {
    let behind = |options: &mut firstcome_raft::Options| {
        if options.name == "n1" {
            options.clock_offset_ms = -600_000;
        }
    };
    sells_at_the_majority_time(behind).await;
}
