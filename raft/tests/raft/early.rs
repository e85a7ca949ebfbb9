//! Early refusals: answered from rows that were current at most 200 ms ago, or not at all.

use std::time::{Duration, Instant};

use firstcome_domain::command::ProductCreate;
use firstcome_domain::outcome::Kind;
use firstcome_domain::stock::PoolId;
use firstcome_domain::value::{Currency, Money};
use firstcome_domain::{Action, Command, Outcome, ProductId, Refusal};
use firstcome_raft::{Executed, FailureReason};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;

use crate::cluster::{Cluster, command, eventually, insist, key, open_sale, order, staff};

/// The age of rows from which an early refusal may be answered: docs/adr/0005-early-refusal-runs-the-rules-on-a-read.md.
const AGE_MAX: Duration = Duration::from_millis(200);

/// Asks as ever new buyers until a refusal comes early: the node has fresh rows of a sold-out sale.
async fn refused_early(cluster: &Cluster, at: usize, buyer: &mut u128) {
    eventually("an early refusal", || {
        *buyer += 1;
        let (node, ask) = (cluster.node(at), order(*buyer));
        async move { node.propose(ask).await.ok().filter(|reply| reply.early) }
    })
    .await;
}

/// A node that cannot ask the leader any more knows nothing that is fresh.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_a_majority_refuses_nobody_early() {
    let mut cluster = Cluster::start(3, |_| ()).await;
    open_sale(&cluster.node(0), 1).await;
    insist(&cluster.node(0), order(1)).await;
    let left = (cluster.leader().await + 1) % 3;
    let mut buyer = 1000;
    refused_early(&cluster, left, &mut buyer).await;
    for other in (0..3).filter(|at| *at != left) {
        cluster.stop(other).await;
    }
    // What it knew until then may still be told; after that it is too old.
    let since = Instant::now();
    eventually("the lone node knows that nobody leads", || async {
        let alone = cluster.node(left).leader_name().is_none();
        (alone && since.elapsed() > AGE_MAX).then_some(())
    })
    .await;
    let failure = cluster.node(left).propose(order(9999)).await.expect_err("no majority");
    assert_eq!((failure.reason, failure.executed), (FailureReason::NoQuorum, Executed::No));
}

/// Story: a stranger could have 20 invented ids per order written to the log of every node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_exist_is_not_ordered_through_the_log() {
    let cluster = Cluster::start(3, |_| ()).await;
    for at in 0..3 {
        let mut buyer = 1000 * (1 + at as u128);
        let reply = eventually("an early refusal", || {
            buyer += 1;
            let (node, ask) = (cluster.node(at), order(buyer));
            async move { node.propose(ask).await.ok().filter(|reply| reply.early) }
        })
        .await;
        assert_eq!(reply.outcome, Outcome::Refused(Refusal::NotFound(Kind::Sale)));
    }
}

/// Rows that may be 200 ms old do not say what does not exist: they say what was not there then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_just_created_is_never_not_found() {
    let cluster = Cluster::start(3, |_| ()).await;
    open_sale(&cluster.node(0), 1).await;
    let leader = cluster.leader().await;
    let (creator, buyer) = (cluster.node(leader), cluster.node((leader + 1) % 3));
    for n in 1..50u128 {
        // The buyer's node has fresh rows, in which the sale is missing.
        buyer.linearize().await.expect("a leader");
        let product = ProductId::new(1000 + n);
        let create = Action::ProductCreate(ProductCreate {
            id: product,
            name: "cup".to_owned(),
            description: None,
            image_url: None,
            no_shipping: true,
            price: Money { amount: 1, currency: Currency::new("KRW").expect("three letters") },
            stock: 1,
            waitlist: false,
        });
        let create = Command { receipt: Some(key(2_000_000 + n)), ..command(staff(), create) };
        insist(&creator, create).await;
        let mut ask = order(n);
        if let Action::OrderCreate(order) = &mut ask.action {
            order.lines[0].target = PoolId::Product(product);
        }
        let reply = insist(&buyer, ask).await;
        assert!(matches!(reply.outcome, Outcome::Done(_)), "order {n}: {reply:?}");
    }
}

/// Story: rows counted as fresh from the moment the leader's answer arrived, however long it had
/// been on the way; what was sold in the meantime was not seen.
#[test]
fn an_answer_that_took_longer_than_200_ms_makes_no_early_refusal() {
    let runtime =
        || Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let nodes: Vec<Runtime> = (0..3).map(|_| runtime()).collect();
    let handles: Vec<_> = nodes.iter().map(|runtime| runtime.handle().clone()).collect();
    runtime().block_on(async {
        // Nobody else stands for election while the leader stands still.
        let cluster = Cluster::start_on(&handles, |options| {
            options.election_min = Duration::from_secs(2);
            options.election_max = Duration::from_secs(3);
        })
        .await;
        open_sale(&cluster.node(0), 1).await;
        insist(&cluster.node(0), order(1)).await;
        let leader = cluster.leader().await;
        let asked = (leader + 1) % 3;
        let mut buyer = 1000;
        let mut slow_rounds = 0;
        while slow_rounds < 3 {
            refused_early(&cluster, asked, &mut buyer).await;
            let (standing, stands) = oneshot::channel();
            let pause = handles[leader].spawn(async move {
                standing.send(()).expect("somebody listens");
                // The leader's process stands still: the fault, not a way to wait.
                std::thread::sleep(AGE_MAX * 3);
                Instant::now()
            });
            stands.await.expect("the leader stands still");
            // What was fresh before the pause is not any more.
            let asks = async {
                tokio::time::sleep(AGE_MAX).await;
                let since = Instant::now();
                (since, cluster.node(asked).propose(order(buyer + 1_000_000)).await)
            };
            let (since, reply) = asks.await;
            let resumed = pause.await.expect("the leader goes on");
            let reply = reply.expect("an outcome");
            assert!(matches!(reply.outcome, Outcome::Refused(Refusal::SoldOut { .. })));
            // A test machine that stalls may ask too late to meet the pause: another round.
            if resumed.saturating_duration_since(since) > AGE_MAX {
                slow_rounds += 1;
                assert!(!reply.early, "refused from rows that are older than {AGE_MAX:?}");
            }
        }
        for node in cluster.running() {
            node.shutdown().await;
        }
    });
}
