//! The second opinion: is there any order at all, sale by sale, in which every answer is right?
//!
//! Revisions are not looked at, so a wrong label cannot mislead it; where the witness fails, this
//! tells a wrong result from a wrong label. It looks at sales one at a time: an answer that hangs
//! on other sales is left out, and so are early refusals, which may be older than their call.
//! Sales that are too large for a search, or whose units come back without a request, are skipped
//! and counted.

pub mod search;
mod stock;

use std::collections::{BTreeMap, BTreeSet};

use super::{Evidence, Finding, Judgement, Verdict};
use crate::model::stock::{Answer, Call, Model};
use crate::operation::{Ended, Operation};
use search::{Outcome, Sequential, Span, Stuck, search};
use stock::{Asked, Pool};

/// The most operations of one sale.
const OPERATIONS_MAX: usize = 400;
/// The most that were open at once.
const CONCURRENT_MAX: usize = 12;
/// As many lost answers are too many: each doubles the search.
const LOST_MAX: usize = 10;
/// Tries for one sale; an easy one needs about three for each operation.
const STEPS_MAX: u64 = 200_000;
/// Tries for a whole run, so that judging ends.
const STEPS_ALL: u64 = 4_000_000;
/// Refusals that are decided by what the customer does elsewhere.
const ELSEWHERE: &[&str] = &["too_many_pending_orders"];
/// Events by which units come back without a request.
const UNASKED: &[&str] = &["order.expired", "order.payment_failed"];
/// How much of the prefix is told.
const TAIL: usize = 12;

type Spans = Vec<Span<Asked, Answer>>;

/// A sale without any right order, for a reader.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StuckPool {
    /// The sale.
    pub pool: String,
    /// How many operations the longest prefix has.
    pub placed: usize,
    /// The end of the longest prefix, in its order.
    pub prefix: Vec<Told>,
    /// What was open then and cannot come next.
    pub window: Vec<Told>,
}

/// One operation of a stuck sale.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// When it was asked, ns.
    pub called: u64,
    /// When it was answered, ns.
    pub returned: Option<u64>,
    /// What was asked.
    pub call: String,
    /// What was answered.
    pub answer: String,
    /// The state of the model after it; in the window: what the model would have answered.
    pub model: String,
}

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("wgl");
    let mut steps = 0;
    let (mut given_up, mut skipped) = (0_u64, BTreeMap::new());
    for (id, spans) in sales(evidence) {
        let spans = match spans {
            Ok(spans) => spans,
            Err(why) => {
                *skipped.entry(why).or_insert(0_u64) += 1;
                continue;
            }
        };
        let searched =
            search(&Pool { id: id.to_owned() }, &spans, STEPS_MAX.min(STEPS_ALL - steps));
        steps += searched.steps;
        match searched.outcome {
            Outcome::Linearizable(_) => finding.looked_at += 1,
            Outcome::GaveUp => given_up += 1,
            Outcome::Stuck(stuck) => {
                finding.looked_at += 1;
                let first = stuck.window.iter().filter_map(|at| Some(spans.get(*at)?.called)).min();
                finding.wrong_at(first.unwrap_or_default(), refusal(id, &stuck, &spans));
            }
        }
    }
    if finding.looked_at == 0 {
        finding.unsure("no sale was small enough to be searched");
    }
    if given_up > 0 {
        finding.unsure(format!("{given_up} sales were given up: too many orders to try"));
    }
    for (why, count) in skipped {
        finding.tell(format!("{count} sales skipped: {why}"));
    }
    finding
}

/// Where the witness fails: was the result wrong, or only the label?
pub(super) fn tell_label_from_result(judgement: &mut Judgement) {
    let word = |name: &str| {
        judgement.findings.iter().find(|finding| finding.checker == name).map(|f| f.verdict)
    };
    if word("witness") != Some(Verdict::False) {
        return;
    }
    let note = match word("wgl") {
        Some(Verdict::True) => {
            "every sale searched has a right order: what the witness found is \
             a wrong revision, or lies outside of the sales searched"
        }
        Some(Verdict::False) => "the witness fails too: results are wrong, not only revisions",
        _ => return,
    };
    if let Some(finding) = judgement.findings.iter_mut().find(|f| f.checker == "wgl") {
        finding.tell(note);
    }
}

fn refusal(id: &str, stuck: &Stuck, spans: &Spans) -> String {
    format!(
        "{id}: no order of its {} operations explains the answers; after {} of them none of {} \
         open ones can come next",
        spans.len(),
        stuck.prefix.len(),
        stuck.window.len()
    )
}

/// Every sale that has no right order, with the end of the longest prefix and the state of the
/// model after each step of it.
pub fn stuck(evidence: &Evidence) -> Vec<StuckPool> {
    let mut found = Vec::new();
    for (id, spans) in sales(evidence) {
        let Ok(spans) = spans else { continue };
        let pool = Pool { id: id.to_owned() };
        if let Outcome::Stuck(stuck) = search(&pool, &spans, STEPS_MAX).outcome {
            found.push(explain(&pool, &spans, &stuck));
        }
    }
    found
}

fn explain(pool: &Pool, spans: &Spans, stuck: &Stuck) -> StuckPool {
    let mut state = pool.start();
    let mut prefix = Vec::new();
    for span in stuck.prefix.iter().filter_map(|at| spans.get(*at)) {
        state = pool.step(&state, &span.call, span.answer.as_ref()).unwrap_or(state);
        prefix.push(told(span, show(&state, &pool.id)));
    }
    let window = stuck.window.iter().filter_map(|at| spans.get(*at)).map(|span| {
        let expected = pool.expected(&state, &span.call, span.answer.as_ref());
        told(span, format!("{expected:?}"))
    });
    StuckPool {
        pool: pool.id.clone(),
        placed: prefix.len(),
        window: window.collect(),
        prefix: prefix.split_off(prefix.len().saturating_sub(TAIL)),
    }
}

fn told(span: &Span<Asked, Answer>, model: String) -> Told {
    Told {
        called: span.called,
        returned: span.returned,
        call: format!("{:?}", span.call.call),
        answer: span.answer.as_ref().map_or_else(|| "nobody knows".into(), |a| format!("{a:?}")),
        model,
    }
}

fn show(state: &Model, pool: &str) -> String {
    state.accounts(pool).map_or_else(
        || "no such sale".into(),
        |a| format!("available {}, held {}, sold {}", a.available, a.held, a.sold),
    )
}

/// The operations of every sale, or why they are not searched.
fn sales(evidence: &Evidence) -> BTreeMap<&str, Result<Spans, &'static str>> {
    let lost: BTreeMap<usize, &Answer> =
        evidence.effects.resolved.iter().map(|r| (r.operation, &r.answer)).collect();
    let mut sales: BTreeMap<&str, Spans> = BTreeMap::new();
    for (at, operation) in evidence.operations.iter().enumerate() {
        if let Some(id) = pool_of(operation)
            && let Some(span) = span(at, operation, lost.get(&at).copied())
        {
            sales.entry(id).or_default().push(span);
        }
    }
    let restless = restless(evidence);
    let judged = |(id, spans)| {
        let spans = match too_hard(&spans) {
            Some(why) => Err(why),
            None if restless.contains(id) => Err("units came back without a request"),
            None => Ok(spans),
        };
        (id, spans)
    };
    sales.into_iter().map(judged).collect()
}

/// The sale an operation is about; a new one is named by its answer.
fn pool_of(operation: &Operation) -> Option<&str> {
    match &operation.ended {
        Ended::Decided { answer: Answer::Sale { sale }, .. } => Some(sale),
        _ => operation.pool.as_deref(),
    }
}

fn span(at: usize, operation: &Operation, lost: Option<&Answer>) -> Option<Span<Asked, Answer>> {
    let (answer, returned) = match &operation.ended {
        _ if operation.early => return None,
        Ended::Never => return None,
        Ended::Decided { answer: Answer::Refused(code), .. } if ELSEWHERE.contains(&&**code) => {
            return None;
        }
        Ended::Decided { at, answer, .. } => (Some(answer.clone()), Some(*at)),
        Ended::Unknown => (lost.cloned(), None),
    };
    let asked = Asked { call: operation.call.clone(), unseen: format!("unseen {at}") };
    Some(Span { call: asked, answer, called: operation.called, returned })
}

fn too_hard(spans: &Spans) -> Option<&'static str> {
    let creates = |span: &Span<Asked, Answer>| matches!(span.call.call, Call::Sale { .. });
    if !spans.iter().any(creates) {
        Some("nobody was told of its creation")
    } else if spans.len() > OPERATIONS_MAX {
        Some("more than 400 operations")
    } else if spans.iter().filter(|span| span.returned.is_none()).count() >= LOST_MAX {
        Some("10 or more lost answers")
    } else if concurrent(spans) > CONCURRENT_MAX {
        Some("more than 12 open at once")
    } else {
        None
    }
}

fn concurrent(spans: &Spans) -> usize {
    let mut edges: Vec<(u64, bool)> = Vec::new();
    for span in spans {
        if let Some(returned) = span.returned {
            edges.extend([(span.called, false), (returned, true)]);
        }
    }
    edges.sort_unstable();
    let (mut open, mut most) = (0_usize, 0);
    for (_, ends) in edges {
        open = if ends { open - 1 } else { open + 1 };
        most = most.max(open);
    }
    most
}

/// Sales whose units came back without a request.
fn restless(evidence: &Evidence) -> BTreeSet<&str> {
    let orders = &evidence.effects.orders;
    let events = evidence.effects.events.iter().flatten();
    let by_event = events
        .filter(|event| UNASKED.contains(&event.name.as_str()))
        .filter_map(|event| orders.get(&event.order));
    let by_row = orders.values().filter(|row| row.status == "expired");
    by_event.chain(by_row).map(|row| row.pool.as_str()).collect()
}
