//! How often a command is encoded and decoded on its way through three nodes.

use firstcome_raft::Node;
use futures_util::future::join_all;

use crate::cluster::{Cluster, is_order, open_sale, order, revision};

const ORDERS: u128 = 30;

/// One counter of a node, from what it shows Prometheus.
fn counted(node: &Node, name: &str) -> u64 {
    let text = node.metrics_text();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("firstcome_{name} ")));
    line.expect("a counter").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_is_encoded_once_and_decoded_once_on_each_node() {
    let cluster = Cluster::start(3, |_| ()).await;
    open_sale(&cluster.node(0), 100).await;
    let nodes = cluster.running();
    let read = async || {
        let mut read = Vec::new();
        for node in &nodes {
            node.linearize().await.expect("a leader");
            let encoded = counted(node, "commands_encoded_total");
            read.push((revision(node).get(), encoded, counted(node, "commands_decoded_total")));
        }
        read
    };
    let before = read().await;
    let replies = join_all((0..ORDERS).map(|n| {
        let node = &nodes[usize::try_from(n).expect("few") % 3];
        async move { node.propose(order(n)).await }
    }))
    .await;
    assert!(replies.iter().all(is_order), "{replies:?}");
    let after = read().await;
    let mut encoded = 0;
    let mut entries = 0;
    for (before, after) in before.iter().zip(&after) {
        // Everything since: the orders, and a tick or an entry of Raft's own in between.
        entries = entries.max(after.0 - before.0);
        encoded += after.1 - before.1;
        let decoded = after.2 - before.2;
        assert!(decoded >= 30, "{decoded} decoded: not every command was counted");
        assert!(decoded <= after.0 - before.0, "{decoded} decoded of {before:?} to {after:?}");
    }
    assert!((30..=entries).contains(&encoded), "{encoded} encoded for {entries} entries");
}
