//! Without a quorum, writes fail fast with a true `executed`, and local reads still work.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use firstcome_api::Shop;
use firstcome_raft::{Node, Options, Peer};
use serde_json::json;

use crate::site::Site;

fn free_address() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_writes_are_503_and_local_reads_answer() {
    let dir = tempfile::tempdir().unwrap();
    let peers: Vec<Peer> = ["n1", "n2"]
        .into_iter()
        .map(|name| Peer { name: name.to_owned(), api: free_address(), peer: free_address() })
        .collect();
    let start = |at: usize| {
        let me = peers[at].clone();
        let mut options = Options::new(&me.name, dir.path().join(&me.name));
        options.peer_listen = Some(me.peer.parse().unwrap());
        options.api = me.api;
        options.peer = me.peer;
        options.peers.clone_from(&peers);
        options.bootstrap = true;
        Node::start(options, Shop)
    };
    let (one, two) = tokio::join!(start(0), start(1));
    let (one, two) = (one.unwrap(), two.unwrap());
    let site = Site::over(one, dir).await;
    site.led().await;
    let sale = site.sale(5, 5).await;
    two.shutdown().await;
    // The first failure may have to wait for the timeout of an in-flight commit.
    let lost = tokio::time::timeout(Duration::from_secs(30), async {
        while site.node.linearize().await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    lost.await.expect("the majority is gone");
    let since = Instant::now();
    let reply = site.order(1, "k", &sale, 1).send().await;
    let json = reply.json();
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    if reply.status == 503 {
        reply.is_problem(503, "no_quorum");
        assert_eq!(json["executed"], "no");
        assert!(reply.header("retry-after").is_some());
    } else {
        reply.is_problem(504, "outcome_unknown");
        assert_eq!(json["executed"], "maybe");
    }
    site.get("/v1/orders").token(&site.customer(1)).send().await.is_problem(503, "no_quorum");
    let local = site.get("/v1/sales").send().await.is(200);
    assert_eq!(local["data"][0]["id"], sale["id"]);
    let cluster = site.get("/v1/cluster?consistency=local").token(&site.operator());
    let cluster = cluster.send().await.is(200);
    assert_eq!(cluster["can_lose"], json!(0));
    site.get("/livez").send().await.is(200);
}
