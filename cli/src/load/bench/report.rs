//! The result of a benchmark, as text or JSON.

use serde_json::{Value, json};

use super::audit::Audit;
use super::phase::Measured;
use super::plan::Plan;
use super::target::Target;
use crate::output;
use crate::version::VERSION;

/// Prints the result.
pub(super) fn print(
    plan: &Plan,
    target: &Target,
    ceiling: Option<&Measured>,
    purchases: &Measured,
    wanted: &str,
    audit: &Audit,
) {
    let rate = purchases.rate(|label| label == wanted);
    let top = ceiling.map(|ceiling| ceiling.rate(|label| label.starts_with('2')));
    let ratio = top.filter(|top| *top > 0.0).map(|top| (rate / top * 1000.0).round() / 1000.0);
    let document = json!({
        "object": "bench",
        "version": VERSION,
        "machine": machine(),
        "flags": {
            "nodes": target.addresses.len(), "own_nodes": target.own.is_some(),
            "connections": plan.connections, "seconds": plan.measured.as_secs(),
            "warmup": plan.warmup.as_secs(), "rate": plan.rate,
            "through": format!("{:?}", plan.through).to_lowercase(), "sold_out": plan.sold_out,
        },
        "counted": wanted,
        "ceiling": ceiling.map(Measured::to_json),
        "ceiling_per_second": top,
        "purchases": purchases.to_json(),
        "per_second": rate,
        "ratio": ratio,
        "ledger": audit.to_json(),
        "violations": audit.violations,
    });
    if plan.json {
        output::json(&document);
        return;
    }
    let mut text = format!("firstcome {}, {}\n", VERSION, machine());
    if let (Some(ceiling), Some(top)) = (ceiling, top) {
        text.push_str(&format!("ceiling    {top:>9.0} /s   {}\n", ceiling.latencies()));
    }
    text.push_str(&format!("{wanted:<10} {rate:>9.0} /s   {}\n", purchases.latencies()));
    if let Some(ratio) = ratio {
        text.push_str(&format!("ratio      {ratio:>9.3}\n"));
    }
    for (label, count) in &purchases.answers {
        text.push_str(&format!("answers    {count:>9} x {label}\n"));
    }
    output::write(&(text + &audit.to_text()));
}

/// Cores, kernel and architecture, without which the numbers mean little.
fn machine() -> Value {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    json!({"cores": cores, "kernel": kernel.trim(), "arch": std::env::consts::ARCH})
}
