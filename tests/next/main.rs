//! Nodes of two releases in one cluster: `PLAIN_BINARY=PATH cargo test -p firstcome
//! --features next --test next`, where PATH is a binary that was built without the feature.
//!
//! This test is built with the feature, and so is the binary that belongs to it: it stands in for a
//! later release (`domain/src/next`).

#[path = "../cli/cluster.rs"]
#[expect(dead_code, reason = "the other target uses more of it")]
mod cluster;
#[path = "../cli/http.rs"]
#[expect(dead_code, reason = "the other target uses more of it")]
mod http;
#[path = "../cli/process.rs"]
mod process;

use std::path::Path;

use serde_json::json;

use crate::cluster::{Cluster, one_unit, until};
use crate::http::{Request, Response};
use crate::process::{OWN, code, program, stderr, stdout};

const LONG_AGO: &str = "2026-01-01T00:00:00Z";

/// Nodes of this release, and the one of the next.
const PLAIN: [usize; 2] = [0, 1];
const NEXT: usize = 2;

/// What `--version` prints.
fn version(path: &str) -> String {
    let asked = program(path, Path::new("."), &["--version"]).output();
    let asked = asked.unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(code(&asked), 0, "{}", stderr(&asked));
    stdout(&asked)
}

/// The binary of this release.
fn plain() -> String {
    let path = std::env::var("PLAIN_BINARY").unwrap_or_else(|_| {
        panic!(
            "PLAIN_BINARY must be the path of a binary without the feature: \
             cargo build -p firstcome, and keep it where this build does not overwrite it"
        )
    });
    let path = std::fs::canonicalize(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let path = path.to_str().expect("a path in UTF-8").to_owned();
    let release = env!("CARGO_PKG_VERSION");
    assert!(version(&path).starts_with(&format!("firstcome {release} (")), "{}", version(&path));
    path
}

/// A cluster under test, and a sale in it.
struct Shop {
    cluster: Cluster,
    /// A body that orders one unit.
    order: String,
}

impl Shop {
    fn new(cluster: Cluster) -> Self {
        let order = one_unit(&cluster.sale(1_000, LONG_AGO));
        Self { cluster, order }
    }

    /// Sends a request with a key of its own until the answer is definite.
    fn ask(&self, at: usize, request: Request<'_>) -> Response {
        until("a definite response", || {
            request.send(self.cluster.api(at)).ok().filter(|answer| answer.status < 500)
        })
    }

    /// Buys through each of these nodes, pays, and asks once more through another one.
    fn buy_through(&self, nodes: &[usize]) -> Vec<String> {
        let mut bought = Vec::new();
        for (at, customer) in nodes.iter().zip(self.cluster.customers(nodes.len())) {
            let key = "only-once";
            let buy = Request::post("/v1/orders", &self.order).by(&customer).key(key);
            let first = self.ask(*at, buy);
            assert_eq!(first.status, 201, "{first:?}");
            let other = nodes.iter().rev().find(|other| *other != at).expect("more than one");
            let again = self.ask(*other, buy);
            assert_eq!((again.status, &again.body), (201, &first.body), "a replay");
            let pay = format!("/v1/admin/orders/{}/settlements", first.text("id"));
            let pay = Request::post(&pay, r#"{"reference":"bank"}"#).by(&self.cluster.admin);
            let paid = self.ask(*other, pay.key(first.text("id")));
            assert_eq!((paid.status, paid.text("status")), (201, "paid"), "{paid:?}");
            bought.push(first.text("id").to_owned());
        }
        bought
    }

    /// Asks a node for what only the next release has.
    fn note(&self, at: usize, order: &str) -> Response {
        let path = format!("/v1/admin/orders/{order}/notes");
        let body = json!({"text": "called"}).to_string();
        self.ask(at, Request::post(&path, &body).by(&self.cluster.admin))
    }

    /// The command is refused before it is in the log: in the log, it would end the plain nodes.
    fn refuses_notes(&self, order: &str) {
        let refused = self.note(NEXT, order);
        assert_eq!((refused.status, refused.text("code")), (409, "feature_unavailable"));
        assert_eq!((&refused.body["level"], &refused.body["early"]), (&json!(2), &json!(true)));
        assert_eq!(self.note(PLAIN[0], order).text("code"), "not_found");
    }

    /// Makes a node the leader.
    fn lead(&self, at: usize) {
        let to = json!({"to": at + 1}).to_string();
        let ask = Request::post("/v1/cluster/leader-transfers", &to).by(&self.cluster.admin);
        until("the leadership is transferred", || {
            let asked = ask.send(self.cluster.api(at)).ok();
            let done = asked.is_some_and(|answer| answer.status < 300);
            (done && self.cluster.leader_seen_by(at) == Some(at)).then_some(())
        });
    }

    #[track_caller]
    fn agree(&self) {
        let hashes = self.cluster.hashes();
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
    }

    /// Waits until a node has ended by itself; returns its exit code and the end of its log.
    fn ended(&mut self, at: usize) -> (Option<i32>, String) {
        let node = &mut self.cluster.nodes[at];
        let process = node.process.as_mut().expect("a running node");
        let status = until("the node ends", || process.0.try_wait().expect("a child"));
        node.process = None;
        let log = std::fs::read_to_string(&node.log).expect("a log");
        (status.code(), log)
    }
}

#[test]
fn the_version_names_the_build() {
    assert!(version(OWN).starts_with("firstcome 0.2.0-next ("), "{}", version(OWN));
}

#[test]
fn both_releases_agree_until_the_level_is_raised() {
    let plain = plain();
    let mut shop = Shop::new(Cluster::start_programs([&plain, &plain, OWN], &[]));
    let all = [PLAIN[0], PLAIN[1], NEXT];

    // Whichever leads, all decide and store alike.
    for leader in [NEXT, PLAIN[0]] {
        shop.lead(leader);
        let bought = shop.buy_through(&all);
        shop.refuses_notes(&bought[0]);
        shop.agree();
    }
    // And catch up after a crash, also of the leader.
    shop.lead(NEXT);
    for killed in [NEXT, PLAIN[1]] {
        shop.cluster.kill(&[killed]);
        let left: Vec<usize> = all.into_iter().filter(|at| *at != killed).collect();
        shop.buy_through(&left);
        shop.cluster.restart(&[killed]);
        shop.agree();
    }
    let bought = shop.buy_through(&all);
    shop.agree();

    // An operator who raises the level too early ends the nodes that do not know it.
    shop.lead(NEXT);
    let raise = Request::post("/v1/cluster/feature-levels", r#"{"to":2}"#).by(&shop.cluster.admin);
    // The answer may be lost with the majority.
    drop(raise.send(shop.cluster.api(NEXT)));
    for at in PLAIN {
        let (code, log) = shop.ended(at);
        let last = log.lines().last().unwrap_or_default();
        assert_eq!(code, Some(76), "{last}");
        assert!(last.contains("0.2.0-next"), "{last}");
        assert!(last.contains(concat!("release ", env!("CARGO_PKG_VERSION"))), "{last}");
        shop.cluster.nodes[at].program = OWN.to_owned();
    }
    // With the next release everywhere, the log goes on where it was.
    shop.cluster.restart(&PLAIN);
    for at in all {
        let noted = shop.note(at, &bought[0]);
        assert_eq!(
            (noted.status, noted.body["id"].as_str()),
            (201, Some(&*bought[0])),
            "{noted:?}"
        );
    }
    shop.buy_through(&all);
    shop.agree();
}
