//! The result of a benchmark, as text or JSON.

use serde_json::{Value, json};

use super::audit::Audit;
use super::phase::Measured;
use super::plan::Plan;
use super::round::{Beside, Round};
use super::target::Target;
use crate::output;
use crate::version::VERSION;

/// Prints the result.
pub(super) fn print(
    plan: &Plan,
    target: &Target,
    ceiling: Option<&Measured>,
    rounds: &[Round],
    wanted: &str,
    audit: &Audit,
) {
    let Some(first) = rounds.first() else { return };
    let rate = |round: &Round| round.purchases.rate(|label| label == wanted);
    let top = ceiling.map(|ceiling| ceiling.rate(|label| label.starts_with('2')));
    let to_top = top.and_then(|top| ratio(rate(first), top));
    let compared: Vec<_> =
        rounds.iter().map(|round| (round, ratio(rate(round), rate(first)))).collect();
    if plan.json {
        let beside = compared.iter().filter_map(|(round, to_first)| {
            let beside = round.beside.as_ref()?;
            Some(json!({
                "path": beside.path, "reads": beside.reads.to_json(),
                "purchases": round.purchases.to_json(), "per_second": rate(round),
                "ratio_to_first": to_first, "elections": round.elections,
            }))
        });
        output::json(&json!({
            "object": "bench",
            "version": VERSION,
            "machine": machine(),
            "flags": {
                "nodes": target.addresses.len(), "own_nodes": target.own.is_some(),
                "connections": plan.connections, "seconds": plan.measured.as_secs(),
                "warmup": plan.warmup.as_secs(), "rate": plan.rate,
                "through": format!("{:?}", plan.through).to_lowercase(),
                "sold_out": plan.sold_out, "products": plan.products, "readers": plan.readers,
            },
            "counted": wanted,
            "ceiling": ceiling.map(Measured::to_json),
            "ceiling_per_second": top,
            // Of the first round.
            "purchases": first.purchases.to_json(),
            "per_second": rate(first),
            "ratio": to_top,
            "elections": first.elections,
            "beside": beside.collect::<Vec<_>>(),
            "ledger": audit.to_json(),
            "violations": audit.violations,
        }));
        return;
    }
    let mut text = format!("firstcome {}, {}\n", VERSION, machine());
    if let (Some(ceiling), Some(top)) = (ceiling, top) {
        text.push_str(&format!("ceiling    {top:>9.0} /s   {}\n", ceiling.latencies()));
    }
    for (round, to_first) in compared {
        if let Some(beside) = &round.beside {
            text.push_str(&format!(
                "beside {} connections per node that read {}\n",
                plan.readers, beside.path
            ));
        }
        let (rate, purchases) = (rate(round), &round.purchases);
        text.push_str(&format!("{wanted:<10} {rate:>9.0} /s   {}\n", purchases.latencies()));
        for (label, count) in &purchases.answers {
            text.push_str(&format!("answers    {count:>9} x {label}\n"));
        }
        if let Some(Beside { reads, .. }) = &round.beside {
            text.push_str(&format!(
                "reads      {:>9.0} /s   {} failed, {} lost\n",
                reads.rate(),
                reads.failed(),
                reads.lost
            ));
            text.push_str(&format!("elections  {:>9}\n", round.elections));
            if let Some(to_first) = to_first {
                text.push_str(&format!("ratio      {to_first:>9.3}   to the first round\n"));
            }
        }
    }
    if let Some(to_top) = to_top {
        text.push_str(&format!("ratio      {to_top:>9.3}   to the ceiling\n"));
    }
    output::write(&(text + &audit.to_text()));
}

/// A quotient with three digits; `None` if it has no meaning.
fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| (part / whole * 1000.0).round() / 1000.0)
}

/// Cores, kernel and architecture, without which the numbers mean little.
fn machine() -> Value {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    json!({"cores": cores, "kernel": kernel.trim(), "arch": std::env::consts::ARCH})
}
