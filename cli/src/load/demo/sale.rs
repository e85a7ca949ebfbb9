//! The sale as its buyers see it, and the counts of what they were told.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use firstcome_domain::{Role, UserId};
use hdrhistogram::Histogram;
use tokio::sync::watch;

use super::plan::Plan;
use crate::credentials::fresh_user;
use crate::load::connection::Post;
use crate::load::latency::histogram;
use crate::load::local_cluster::LocalCluster;

/// A buyer with an access token.
pub(super) struct Buyer {
    pub(super) id: UserId,
    pub(super) token: String,
}

/// The sale as its buyers see it: what they request and what they are told.
pub(super) struct Sale {
    /// The sale's id.
    pub(super) id: String,
    /// All buyers, in order of arrival.
    pub(super) buyers: Vec<Buyer>,
    /// `host:port` of every node.
    pub(super) nodes: Vec<String>,
    /// Buyers served at the same time.
    pub(super) connections: usize,
    /// Time over which buyers arrive.
    pub(super) arrivals: Duration,
    /// A staff token.
    pub(super) staff: String,
    next: Cell<usize>,
    purchases: watch::Sender<u64>,
    killed: Cell<Option<Instant>>,
    first_after_kill: watch::Sender<Option<Instant>>,
    closed: watch::Sender<bool>,
    /// The counts so far.
    pub(super) tally: RefCell<Tally>,
}

/// Counts of requests and responses.
pub(super) struct Tally {
    /// Definite responses by status and code.
    pub(super) answers: BTreeMap<String, u64>,
    /// Attempts without a definite response, by reason.
    pub(super) retries: BTreeMap<String, u64>,
    /// Time from arrival to definite response, in microseconds.
    pub(super) latency: Histogram<u64>,
    /// Every acknowledged order, with its buyer.
    pub(super) acknowledged: BTreeMap<String, String>,
    /// Orders that staff marked as paid.
    pub(super) settled: u64,
    /// Buyers that sent the same request twice at once.
    pub(super) clicked_twice: u64,
    /// Responses to winners that tried to order again.
    pub(super) tried_again: BTreeMap<String, u64>,
    /// Buyers without a definite response.
    pub(super) unanswered: u64,
    /// Violations that only buyers can see.
    pub(super) violations: Vec<String>,
}

impl Sale {
    /// Prepares the buyers.
    pub(super) fn new(plan: &Plan, cluster: &LocalCluster, id: String) -> anyhow::Result<Self> {
        let buyer = |_| {
            let id = fresh_user();
            Buyer { id, token: cluster.keys.mint(id, Role::Customer, 3600) }
        };
        Ok(Self {
            id,
            buyers: (0..plan.buyers).map(buyer).collect(),
            nodes: cluster.addresses(),
            connections: plan.connections,
            arrivals: plan.arrivals(),
            staff: cluster.keys.mint(fresh_user(), Role::Admin, 3600),
            next: Cell::new(0),
            purchases: watch::Sender::new(0),
            killed: Cell::new(None),
            first_after_kill: watch::Sender::new(None),
            closed: watch::Sender::new(false),
            tally: RefCell::new(Tally {
                answers: BTreeMap::new(),
                retries: BTreeMap::new(),
                latency: histogram()?,
                acknowledged: BTreeMap::new(),
                settled: 0,
                clicked_twice: 0,
                tried_again: BTreeMap::new(),
                unanswered: 0,
                violations: Vec::new(),
            }),
        })
    }

    /// Purchases so far.
    pub(super) fn purchases(&self) -> u64 {
        *self.purchases.borrow()
    }

    /// Definite responses so far.
    pub(super) fn answered(&self) -> u64 {
        self.tally.borrow().answers.values().sum()
    }

    /// Waits for this many purchases, or until all buyers are done.
    pub(super) async fn wait_for_purchases(&self, count: u64) {
        let (mut purchases, mut closed) = (self.purchases.subscribe(), self.closed.subscribe());
        tokio::select! {
            _ = purchases.wait_for(|now| *now >= count) => {}
            _ = closed.wait_for(|closed| *closed) => {}
        }
    }

    /// Records when the leader was killed.
    pub(super) fn killed_at(&self, at: Instant) {
        self.killed.set(Some(at));
    }

    /// When the first purchase requested after the kill was acknowledged; `None` if there was none.
    pub(super) async fn first_after_kill(&self) -> Option<Instant> {
        let (mut first, mut closed) = (self.first_after_kill.subscribe(), self.closed.subscribe());
        tokio::select! {
            _ = first.wait_for(Option::is_some) => {}
            _ = closed.wait_for(|closed| *closed) => {}
        }
        *self.first_after_kill.borrow()
    }

    /// Marks the sale as over: all buyers are done.
    pub(super) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Waits until the sale is over, for `span` at most; whether it is.
    pub(super) async fn closed_within(&self, span: Duration) -> bool {
        let mut closed = self.closed.subscribe();
        tokio::time::timeout(span, closed.wait_for(|closed| *closed)).await.is_ok()
    }

    /// The next buyer's place in the order of arrival.
    pub(super) fn next(&self) -> usize {
        self.next.replace(self.next.get() + 1)
    }

    /// Counts one more purchase; how many there are now.
    pub(super) fn count_purchase(&self) -> u64 {
        self.purchases.send_modify(|count| *count += 1);
        self.purchases()
    }

    /// Notes a purchase that was requested at `sent_at`, in case it is the first after the kill.
    pub(super) fn note_purchase(&self, sent_at: Instant, answered_at: Instant) {
        let after_kill = self.killed.get().is_some_and(|killed| sent_at > killed);
        if after_kill && self.first_after_kill.borrow().is_none() {
            self.first_after_kill.send_replace(Some(answered_at));
        }
    }

    /// The request for one unit.
    pub(super) fn order(&self, host: &str) -> Post {
        let body = format!(r#"{{"lines":[{{"sale_id":"{}","quantity":1}}]}}"#, self.id);
        Post::new(host, "/v1/orders", &body)
    }
}
