//! Progress of the sale: bars on a terminal, plain lines otherwise, nothing with `--json`.

use std::io::IsTerminal as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::sale::Sale;
use crate::client::{Client, Request};
use crate::output;

/// Interval between redraws on a terminal.
const REDRAW: Duration = Duration::from_millis(100);
/// Interval between lines otherwise.
const LINE: Duration = Duration::from_millis(500);
/// Timeout of one poll.
const POLL_LIMIT: Duration = Duration::from_millis(400);
/// Width of a full bar.
const BAR: u64 = 40;

/// Stock and leader at one moment.
#[derive(Default, Clone)]
struct Standing {
    sold: u64,
    held: u64,
    available: u64,
    leader: Option<String>,
}

/// Shows the sale until it is over.
pub(super) async fn show(
    sale: Rc<Sale>,
    units: u64,
    nodes: Vec<String>,
    token: String,
    json: bool,
) {
    if json {
        return;
    }
    let redraws = std::io::stdout().is_terminal();
    let pause = if redraws { REDRAW } else { LINE };
    let (mut before, mut at) = (0, Instant::now());
    let mut drawn = false;
    let mut last = Standing { available: units, ..Standing::default() };
    for turn in 0.. {
        let closed = sale.closed_within(pause).await;
        for step in 0..nodes.len() {
            let Some(node) = nodes.get((turn + step) % nodes.len().max(1)) else { continue };
            if let Some(polled) = poll(&sale.id, node, &token).await {
                last = polled;
                break;
            }
        }
        let answered = sale.answered();
        let seconds = at.elapsed().as_secs_f64().max(0.001);
        #[expect(clippy::cast_precision_loss, reason = "a rounded figure for display")]
        let rate = (answered - before) as f64 / seconds;
        (before, at) = (answered, Instant::now());
        if redraws {
            // Moves up over the four lines drawn before.
            let up = if drawn { "\x1b[4A" } else { "" };
            output::write(&format!("{up}{}", bars(&last, units, answered, rate)));
            drawn = true;
        } else {
            output::line(&plain(&last, answered, rate));
        }
        if closed {
            return;
        }
    }
}

/// Asks one node for its applied state.
async fn poll(sale_id: &str, node: &str, token: &str) -> Option<Standing> {
    let client = Client::new(&format!("http://{node}"), Some(token.to_owned()), POLL_LIMIT).ok()?;
    let path = format!("/v1/sales/{sale_id}/stock?consistency=local");
    let stock = client.send_ok(Request::get(&path)).await.ok()?.body;
    let cluster = client.send_ok(Request::get("/v1/cluster?consistency=local")).await.ok()?.body;
    let count = |name| stock.get(name).and_then(Value::as_u64);
    Some(Standing {
        sold: count("sold")?,
        held: count("held")?,
        available: count("available")?,
        leader: cluster.get("leader").and_then(Value::as_str).map(ToOwned::to_owned),
    })
}

fn bars(now: &Standing, units: u64, answered: u64, rate: f64) -> String {
    let mut text = String::new();
    for (name, count) in [("sold", now.sold), ("held", now.held), ("available", now.available)] {
        let full = usize::try_from(count * BAR / units.max(1)).unwrap_or(0).min(40);
        let bar = "#".repeat(full);
        text.push_str(&format!("\x1b[2K{name:>10} {count:>7} |{bar:<40}|\n"));
    }
    let leader = now.leader.as_deref().unwrap_or("none");
    text.push_str(&format!("\x1b[2K{answered:>10} answers, {rate:.0}/s, leader {leader}\n"));
    text
}

fn plain(now: &Standing, answered: u64, rate: f64) -> String {
    format!(
        "sold {:>5}  held {:>5}  available {:>5}  answers {answered:>6}  {rate:>6.0}/s  leader {}",
        now.sold,
        now.held,
        now.available,
        now.leader.as_deref().unwrap_or("none")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_proportional() {
        let now = Standing { sold: 25, held: 25, available: 50, leader: Some("n2".to_owned()) };
        let text = bars(&now, 100, 7, 3.0);
        assert!(text.contains("sold      25 |##########    "), "{text}");
        assert!(text.contains("leader n2"), "{text}");
        assert_eq!(text.lines().count(), 4);
    }
}
