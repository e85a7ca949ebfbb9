//! The crowd: distinct buyers that arrive on time, whatever the nodes do, and insist.
//!
//! Every buyer wants one unit and repeats with the same key until the answer is definite. Some
//! click twice at once, some come back for a second unit, and about half of those who got one
//! pay: the nodes have to keep all of them apart.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use firstcome_domain::{Role, UserId};
use hdrhistogram::Histogram;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::Plan;
use crate::cluster_process::ClusterProcess;
use crate::credentials::fresh_user;
use crate::load::{Answer, Caller, Lost, Post, histogram};

/// A buyer gives up after this, which is a violation.
const PATIENCE: Duration = Duration::from_mins(1);
/// Every so many buyers click twice at once.
const TWICE_EVERY: usize = 20;
/// Every so many winners try to get a second unit.
const AGAIN_EVERY: u64 = 25;

/// A buyer before the sale.
struct Buyer {
    id: UserId,
    token: String,
}

/// The sale as seen from outside: what was asked, what was answered.
pub(super) struct Sale {
    /// The sale's id.
    pub(super) id: String,
    buyers: Vec<Buyer>,
    nodes: Vec<String>,
    connections: usize,
    arrivals: Duration,
    staff: String,
    next: Cell<usize>,
    won: watch::Sender<u64>,
    killed: Cell<Option<Instant>>,
    first_after_kill: watch::Sender<Option<Instant>>,
    closed: watch::Sender<bool>,
    /// What is counted.
    pub(super) tally: RefCell<Tally>,
}

/// What is counted while the crowd is in.
pub(super) struct Tally {
    /// Definite answers by status and code.
    pub(super) answers: BTreeMap<String, u64>,
    /// Attempts without a definite answer, by reason.
    pub(super) retries: BTreeMap<String, u64>,
    /// Arrival to definite answer, in microseconds.
    pub(super) latency: Histogram<u64>,
    /// Every order that a 201 named, with its buyer.
    pub(super) acknowledged: BTreeMap<String, String>,
    /// Orders staff settled.
    pub(super) settled: u64,
    /// Buyers that clicked twice at once.
    pub(super) clicked_twice: u64,
    /// Winners that tried again, and what they were told.
    pub(super) tried_again: BTreeMap<String, u64>,
    /// Buyers without a definite answer.
    pub(super) unanswered: u64,
    /// Broken promises that only the crowd can see.
    pub(super) violations: Vec<String>,
}

impl Sale {
    /// Prepares the crowd.
    pub(super) fn new(plan: &Plan, cluster: &ClusterProcess, id: String) -> anyhow::Result<Self> {
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
            won: watch::Sender::new(0),
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

    /// New purchases so far.
    pub(super) fn won(&self) -> u64 {
        *self.won.borrow()
    }

    /// Definite answers so far.
    pub(super) fn answered(&self) -> u64 {
        self.tally.borrow().answers.values().sum()
    }

    /// Waits until so many purchases were acknowledged, or everybody has left.
    pub(super) async fn won_at_least(&self, count: u64) {
        let (mut won, mut closed) = (self.won.subscribe(), self.closed.subscribe());
        tokio::select! {
            _ = won.wait_for(|won| *won >= count) => {}
            _ = closed.wait_for(|closed| *closed) => {}
        }
    }

    /// Remembers when the leader was killed.
    pub(super) fn killed_at(&self, at: Instant) {
        self.killed.set(Some(at));
    }

    /// The first new purchase that was sent after the kill; `None` if there was none.
    pub(super) async fn first_after_kill(&self) -> Option<Instant> {
        let (mut first, mut closed) = (self.first_after_kill.subscribe(), self.closed.subscribe());
        tokio::select! {
            _ = first.wait_for(Option::is_some) => {}
            _ = closed.wait_for(|closed| *closed) => {}
        }
        *self.first_after_kill.borrow()
    }

    /// Says that everybody has left.
    pub(super) fn close(&self) {
        self.closed.send_replace(true);
    }

    /// Waits until everybody has left, or for `span`; whether everybody has.
    pub(super) async fn closed_within(&self, span: Duration) -> bool {
        let mut closed = self.closed.subscribe();
        tokio::time::timeout(span, closed.wait_for(|closed| *closed)).await.is_ok()
    }

    fn order(&self, host: &str) -> Post {
        let body = format!(r#"{{"lines":[{{"sale_id":"{}","quantity":1}}]}}"#, self.id);
        Post::new(host, "/v1/orders", &body)
    }
}

/// Lets everybody in, `connections` at a time, and waits until all have left.
pub(super) async fn all(sale: Rc<Sale>) {
    let started = Instant::now();
    let mut desks = JoinSet::new();
    for _ in 0..sale.connections.min(sale.buyers.len()) {
        desks.spawn_local(desk(Rc::clone(&sale), started));
    }
    while let Some(done) = desks.join_next().await {
        if done.is_err() {
            sale.tally.borrow_mut().violations.push("a buyer crashed".to_owned());
        }
    }
    sale.close();
}

/// Serves one buyer after the other, each at its time of arrival or later.
async fn desk(sale: Rc<Sale>, started: Instant) {
    let order = sale.order("firstcome");
    let mut caller = Caller::new(&sale.nodes);
    let mut second = Caller::new(&sale.nodes);
    loop {
        let at = sale.next.replace(sale.next.get() + 1);
        let Some(buyer) = sale.buyers.get(at) else { return };
        let share = u32::try_from(at).unwrap_or(u32::MAX);
        let all = u32::try_from(sale.buyers.len()).unwrap_or(u32::MAX);
        let arrival = started + sale.arrivals * share / all.max(1);
        sleep_until(arrival.into()).await;
        let deadline = arrival + PATIENCE;
        let key = format!("demo-{at}");
        let token = &buyer.token;
        let asked = if at % TWICE_EVERY == TWICE_EVERY / 2 {
            let (one, other) = tokio::join!(
                caller.insist(at, &order, token, &key, deadline),
                second.insist(at + 1, &order, token, &key, deadline),
            );
            compare(&sale, one.as_ref().ok(), other.as_ref().ok());
            one
        } else {
            caller.insist(at, &order, token, &key, deadline).await
        };
        let Some(order_id) = note(&sale, buyer, asked, arrival) else { continue };
        let won = sale.won() + 1;
        sale.won.send_replace(won);
        if won.is_multiple_of(AGAIN_EVERY) {
            again(&sale, &mut caller, at, token, deadline).await;
        }
        if won.is_multiple_of(2) {
            settle(&sale, &mut caller, at, &order_id, deadline).await;
        }
    }
}

/// Counts an answer; the order's id if the buyer got a unit.
fn note(
    sale: &Sale,
    buyer: &Buyer,
    asked: Result<Answer, Lost>,
    arrival: Instant,
) -> Option<String> {
    let mut tally = sale.tally.borrow_mut();
    let answer = match asked {
        Ok(answer) => answer,
        Err(Lost(reasons)) => {
            tally.unanswered += 1;
            let why = reasons.last().map_or("never asked", String::as_str);
            let complaint = format!("buyer {} had no definite answer in 60 s ({why})", buyer.id);
            tally.violations.push(complaint);
            return None;
        }
    };
    for reason in &answer.retries {
        *tally.retries.entry(reason.clone()).or_default() += 1;
    }
    *tally.answers.entry(answer.label()).or_default() += 1;
    let waited = answer.answered_at.duration_since(arrival).as_micros();
    tally.latency.saturating_record(u64::try_from(waited).unwrap_or(u64::MAX));
    match answer.status {
        201 | 200 => {}
        409 => return None,
        other => {
            tally.violations.push(format!("unexpected answer {other}: {}", answer.body));
            return None;
        }
    }
    let Some(id) = answer.body.get("id").and_then(Value::as_str) else {
        tally.violations.push(format!("an order without an id: {}", answer.body));
        return None;
    };
    if let Some(other) = tally.acknowledged.insert(id.to_owned(), buyer.id.to_string()) {
        tally.violations.push(format!("order {id} went to {other} and to {}", buyer.id));
    }
    let after_kill = sale.killed.get().is_some_and(|killed| answer.sent_at > killed);
    if after_kill && !answer.replayed && sale.first_after_kill.borrow().is_none() {
        sale.first_after_kill.send_replace(Some(answer.answered_at));
    }
    Some(id.to_owned())
}

/// Two clicks with one key are one request: both must be told the same.
fn compare(sale: &Sale, one: Option<&Answer>, other: Option<&Answer>) {
    let mut tally = sale.tally.borrow_mut();
    tally.clicked_twice += 1;
    let (Some(one), Some(other)) = (one, other) else { return };
    let same_order = one.body.get("id") == other.body.get("id");
    if one.label() != other.label() || !same_order {
        let told = format!("{} and {}", one.label(), other.label());
        tally.violations.push(format!("two clicks with one key were told {told}"));
    }
}

/// A winner comes back for a second unit, which the limit of one forbids.
async fn again(sale: &Sale, caller: &mut Caller, at: usize, token: &str, deadline: Instant) {
    let key = format!("demo-again-{at}");
    let asked = caller.insist(at + 1, &sale.order("firstcome"), token, &key, deadline).await;
    let mut tally = sale.tally.borrow_mut();
    let told = asked.map_or_else(|_| "no answer".to_owned(), |answer| answer.label());
    // An early refusal looks at the stock before it looks at the buyer.
    let right = ["409 already_holding", "409 limit_reached", "409 sold_out"];
    if !right.contains(&told.as_str()) {
        tally.violations.push(format!("a second order over the limit was told {told}"));
    }
    *tally.tried_again.entry(told).or_default() += 1;
}

/// Staff takes the money for an order.
async fn settle(sale: &Sale, caller: &mut Caller, at: usize, order_id: &str, deadline: Instant) {
    let path = format!("/v1/admin/orders/{order_id}/settlements");
    let post = Post::new("firstcome", &path, "{}");
    let key = format!("settle-{order_id}");
    let asked = caller.insist(at + 2, &post, &sale.staff, &key, deadline).await;
    let mut tally = sale.tally.borrow_mut();
    match asked {
        Ok(answer) if answer.status < 300 => tally.settled += 1,
        Ok(answer) => {
            let told = answer.label();
            tally.violations.push(format!("settling {order_id} was told {told}: {}", answer.body));
        }
        Err(_) => tally.violations.push(format!("settling {order_id} had no definite answer")),
    }
}
