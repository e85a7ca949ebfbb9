//! Prometheus lines about agreement and the files below it.

use openraft::async_runtime::WatchReceiver;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::core::Core;

pub(crate) fn text(core: &Core) -> String {
    let mut out = String::with_capacity(2048);
    let mut line = |name: &str, kind: &str, help: &str, value: i128| {
        let written = writeln!(
            out,
            "# HELP firstcome_{name} {help}\n# TYPE firstcome_{name} {kind}\nfirstcome_{name} {value}"
        );
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    };
    let count = |counter: &AtomicU64| i128::from(counter.load(Ordering::Relaxed));
    // Copied out: the watch must not be borrowed twice at once.
    let metrics = core.leadership.metrics().borrow_watched().clone();
    let leader = metrics.current_leader;
    let applied = *core.applied.borrow();
    let committed = metrics.local_committed.map_or(0, |id| id.index);
    line("raft_term", "gauge", "Current term.", metrics.current_term.into());
    line("raft_is_leader", "gauge", "1 on the leader.", (leader == Some(core.id())).into());
    line("raft_has_leader", "gauge", "1 if a leader is known.", leader.is_some().into());
    line(
        "raft_log_index",
        "gauge",
        "Last log index here.",
        metrics.last_log_index.unwrap_or(0).into(),
    );
    line("raft_committed_index", "gauge", "Last index known to be decided.", committed.into());
    line("raft_applied_index", "gauge", "Last applied revision.", applied.into());
    let purged = metrics.purged.map_or(0, |id| id.index);
    line("raft_purged_index", "gauge", "Last index that is gone from the log.", purged.into());
    let saved = core.state.checkpointed().revision.map_or(0, firstcome_domain::Revision::get);
    line("checkpoint_revision", "gauge", "Revision of the last durable checkpoint.", saved.into());
    let offset = core.clock.offset_ms();
    line("clock_offset_ms", "gauge", "This clock against the voters' median.", offset.into());
    let fit = core.clock.is_fit();
    line("clock_fit", "gauge", "1 if this clock is fit to lead.", fit.into());
    let in_flight = i128::try_from(core.admission.in_flight()).unwrap_or(i128::MAX);
    line("admission_in_flight", "gauge", "Commands taken and not answered yet.", in_flight);
    let c = &core.counters;
    line("commands_proposed_total", "counter", "Commands of clients here.", count(&c.proposed));
    line("commands_forwarded_total", "counter", "Of them sent to a leader.", count(&c.forwarded));
    line("commands_encoded_total", "counter", "Commands encoded here.", count(&c.commands_encoded));
    line("commands_decoded_total", "counter", "Commands decoded here.", count(&c.commands_decoded));
    line("early_refusals_total", "counter", "Refusals without a log entry.", count(&c.early));
    line("outcome_unknown_total", "counter", "Answers that said maybe.", count(&c.unknown));
    line("overloaded_total", "counter", "Commands refused by admission.", count(&c.overloaded));
    line(
        "no_quorum_total",
        "counter",
        "Commands refused for want of a majority.",
        count(&c.no_quorum),
    );
    line("read_index_rounds_total", "counter", "Read index rounds.", count(&c.read_index_rounds));
    out
}
