//! The buyers: each arrives at a fixed time, whatever the nodes do, and retries until it has a
//! definite response.
//!
//! Every buyer wants one unit and retries with the same idempotency key. Some send the request
//! twice at once, some try to order a second unit, and about half of the winners pay. The nodes
//! have to tell all of these apart.

use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::sale::{Buyer, Sale};
use crate::load::connection::Post;
use crate::load::retry_client::{NoResponse, Response, RetryClient};

/// A buyer gives up after this time, which counts as a violation.
const PATIENCE: Duration = Duration::from_mins(1);
/// One in this many buyers sends its request twice at once.
const TWICE_EVERY: usize = 20;
/// One in this many winners tries to order a second unit.
const AGAIN_EVERY: u64 = 25;

/// Runs all buyers, `connections` at a time, and waits until they are done.
pub(super) async fn run_all(sale: Rc<Sale>) {
    let started = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..sale.connections.min(sale.buyers.len()) {
        clients.spawn_local(client_loop(Rc::clone(&sale), started));
    }
    while let Some(done) = clients.join_next().await {
        if done.is_err() {
            sale.tally.borrow_mut().violations.push("a buyer crashed".to_owned());
        }
    }
    sale.close();
}

/// Runs one buyer after the other, each at its time of arrival or later.
async fn client_loop(sale: Rc<Sale>, started: Instant) {
    let order = sale.order("firstcome");
    let mut client = RetryClient::new(&sale.nodes);
    let mut second = RetryClient::new(&sale.nodes);
    loop {
        let at = sale.next();
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
                client.post(at, &order, token, &key, deadline),
                second.post(at + 1, &order, token, &key, deadline),
            );
            compare(&sale, one.as_ref().ok(), other.as_ref().ok());
            one
        } else {
            client.post(at, &order, token, &key, deadline).await
        };
        let Some(order_id) = record(&sale, buyer, asked, arrival) else { continue };
        let won = sale.count_purchase();
        if won.is_multiple_of(AGAIN_EVERY) {
            order_again(&sale, &mut client, at, token, deadline).await;
        }
        if won.is_multiple_of(2) {
            settle(&sale, &mut client, at, &order_id, deadline).await;
        }
    }
}

/// Counts a response; returns the order's id if the buyer got a unit.
fn record(
    sale: &Sale,
    buyer: &Buyer,
    asked: Result<Response, NoResponse>,
    arrival: Instant,
) -> Option<String> {
    let mut tally = sale.tally.borrow_mut();
    let answer = match asked {
        Ok(answer) => answer,
        Err(NoResponse(reasons)) => {
            tally.unanswered += 1;
            let why = reasons.last().map_or("no attempt", String::as_str);
            let complaint = format!("buyer {} had no definite response in 60 s ({why})", buyer.id);
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
            tally.violations.push(format!("unexpected response {other}: {}", answer.body));
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
    if !answer.replayed {
        sale.note_purchase(answer.sent_at, answer.answered_at);
    }
    Some(id.to_owned())
}

/// Two requests with one key are one request: both must get the same response.
fn compare(sale: &Sale, one: Option<&Response>, other: Option<&Response>) {
    let mut tally = sale.tally.borrow_mut();
    tally.clicked_twice += 1;
    let (Some(one), Some(other)) = (one, other) else { return };
    let same_order = one.body.get("id") == other.body.get("id");
    if one.label() != other.label() || !same_order {
        let told = format!("{} and {}", one.label(), other.label());
        tally.violations.push(format!("two requests with one key got {told}"));
    }
}

/// A winner orders a second unit, which the limit of one forbids.
async fn order_again(
    sale: &Sale,
    client: &mut RetryClient,
    at: usize,
    token: &str,
    deadline: Instant,
) {
    let key = format!("demo-again-{at}");
    let asked = client.post(at + 1, &sale.order("firstcome"), token, &key, deadline).await;
    let mut tally = sale.tally.borrow_mut();
    let told = asked.map_or_else(|_| "no response".to_owned(), |answer| answer.label());
    // An early refusal checks the stock before the buyer's limit.
    let right = ["409 already_holding", "409 limit_reached", "409 sold_out"];
    if !right.contains(&told.as_str()) {
        tally.violations.push(format!("a second order over the limit got {told}"));
    }
    *tally.tried_again.entry(told).or_default() += 1;
}

/// Staff marks an order as paid.
async fn settle(
    sale: &Sale,
    client: &mut RetryClient,
    at: usize,
    order_id: &str,
    deadline: Instant,
) {
    let path = format!("/v1/admin/orders/{order_id}/settlements");
    let post = Post::new("firstcome", &path, "{}");
    let key = format!("settle-{order_id}");
    let asked = client.post(at + 2, &post, &sale.staff, &key, deadline).await;
    let mut tally = sale.tally.borrow_mut();
    match asked {
        Ok(answer) if answer.status < 300 => tally.settled += 1,
        Ok(answer) => {
            let told = answer.label();
            tally.violations.push(format!("settling {order_id} got {told}: {}", answer.body));
        }
        Err(_) => tally.violations.push(format!("settling {order_id} had no definite response")),
    }
}
