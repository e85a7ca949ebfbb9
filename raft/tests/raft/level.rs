//! The feature level: what the cluster does not have yet must not get into the log.

use firstcome_domain::command::FeatureLevelRaise;
use firstcome_domain::kernel::version::{Level, RELEASE};
use firstcome_domain::{Action, Actor, Outcome, Refusal, Role, UserId};

use crate::cluster::{Cluster, command, insist, is_order, key, open_sale, order};

/// In the log, it would stop every node: none of them knows that level.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_level_that_this_release_does_not_know_is_refused_before_it_is_in_the_log() {
    let cluster = Cluster::start(3, |_| ()).await;
    open_sale(&cluster.node(0), 10).await;
    let to = Level::KNOWN.0 + 1;
    let admin = Actor::User { id: UserId::new(1), role: Role::Admin };
    let raise = Action::FeatureLevelRaise(FeatureLevelRaise { to, release: RELEASE.to_owned() });
    let mut raise = command(admin, raise);
    raise.receipt = Some(key(1));
    for (n, node) in (0..).zip(cluster.running()) {
        let reply = insist(&node, raise.clone()).await;
        let expected = Refusal::InvalidField { pointer: "/to".into(), code: "out_of_range".into() };
        assert_eq!(reply.outcome, Outcome::Refused(expected));
        assert!(reply.early, "it was not decided by a log entry");
        assert!(is_order(&node.propose(order(n)).await), "the cluster goes on");
    }
    cluster.assert_equal_hashes().await;
}
