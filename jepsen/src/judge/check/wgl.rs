//! The second opinion: is there any order at all, for each sale and each product, in which every
//! answer is right?
//!
//! The search ignores revisions, so a wrong revision cannot mislead it. Where the witness fails, it
//! tells a wrong result from a wrong revision. An object that is too hard to search is accepted
//! only if the order of its revisions fits every answer and every time.
//!
//! It looks at one object at a time. Answers that depend on other objects are left out, and so are
//! reads that may be older than their call (early refusals and local reads). Objects that are too
//! large, or whose units move without a request, are skipped and counted.

mod object;
pub mod search;

use std::collections::{BTreeMap, BTreeSet};

use super::witness::Resolved;
use super::{Evidence, Finding, Judgement, Verdict};
use crate::judge::model::{register, stock};
use crate::judge::operation::{Ended, OperationOf};
use object::{Asked, Object, Searchable};
use search::{Outcome, Sequential as _, Span, Stuck, search};

/// The most operations of one object.
const OPERATIONS_MAX: usize = 400;
/// The most concurrent operations of one object.
const CONCURRENT_MAX: usize = 12;
const TOO_CONCURRENT: &str = "more than 12 concurrent operations";
/// Gives up when at least this many responses were lost: each one doubles the search.
const LOST_MAX: usize = 10;
/// Steps for one object. An easy one needs about three per operation.
const STEPS_MAX: u64 = 5_000;
/// Steps for a whole run, so that judging ends.
const STEPS_ALL: u64 = 300_000;
/// Events that release units without a request.
const RELEASE_EVENTS: &[&str] = &["order.expired", "order.payment_failed"];
/// How much of the prefix is shown.
const TAIL: usize = 12;

type Spans<S> = Vec<SpanOf<S>>;
type SpanOf<S> = Span<Asked<S>, <S as crate::judge::model::Specification>::Answer>;

/// A sale or product without any valid order, as shown in a report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StuckObject {
    /// Its id.
    pub pool: String,
    /// How many operations the longest prefix has.
    pub placed: usize,
    /// The end of the longest prefix, in order.
    pub prefix: Vec<OperationText>,
    /// The operations that were open then, none of which can come next.
    pub window: Vec<OperationText>,
}

/// One operation of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OperationText {
    /// When it was called, in nanoseconds.
    pub called: u64,
    /// When it returned, in nanoseconds.
    pub returned: Option<u64>,
    /// What was asked.
    pub call: String,
    /// What was answered.
    pub answer: String,
    /// The state of the model after it; in the window, what the model would have answered.
    pub model: String,
}

/// What the searches of a run cost, and what they skipped.
#[derive(Default)]
struct Effort {
    steps: u64,
    given_up: u64,
    by_revision: u64,
    skipped: BTreeMap<&'static str, u64>,
}

/// Judges the run.
pub fn check(evidence: &Evidence) -> Finding {
    let mut finding = Finding::new("wgl");
    let mut effort = Effort::default();
    judge(sales(evidence), &mut effort, &mut finding);
    judge(products(evidence), &mut effort, &mut finding);
    if finding.checked == 0 {
        let note = "nothing was small enough to search";
        // Seven nodes have more concurrent clients than a search can handle.
        let only_busy =
            effort.skipped.keys().all(|why| *why == TOO_CONCURRENT) && !effort.skipped.is_empty();
        if only_busy { finding.note(note) } else { finding.unknown(note) }
    }
    if effort.given_up > 0 {
        finding.unknown(format!(
            "gave up on {} sales or products: too many sequences to try",
            effort.given_up
        ));
    }
    if effort.by_revision > 0 {
        finding.note(format!(
            "{} sales or products had too many sequences to try; for these only the order of \
             their revisions was checked, and it is valid",
            effort.by_revision
        ));
    }
    for (why, count) in effort.skipped {
        finding.note(format!("{count} sales or products skipped: {why}"));
    }
    finding
}

fn judge<S: Searchable>(objects: Objects<'_, S>, effort: &mut Effort, finding: &mut Finding) {
    for (id, spans) in objects {
        let spans = match spans {
            Ok(spans) => spans,
            Err(why) => {
                *effort.skipped.entry(why).or_default() += 1;
                continue;
            }
        };
        let steps_max = STEPS_MAX.min(STEPS_ALL - effort.steps);
        let searched = search(&Object::<S>::new(id), &spans, steps_max);
        effort.steps += searched.steps;
        match searched.outcome {
            // A creation alone shows nothing.
            Outcome::Linearizable(_) if spans.len() < 2 => {}
            Outcome::Linearizable(_) => finding.count(),
            Outcome::GaveUp if is_right(&Object::new(id), &spans, &by_revision(&spans)) => {
                finding.count();
                effort.by_revision += 1;
            }
            Outcome::GaveUp => effort.given_up += 1,
            Outcome::Stuck(stuck) => {
                finding.count();
                let first = stuck.window.iter().filter_map(|at| Some(spans.get(*at)?.called)).min();
                let note = format!(
                    "{id}: no order of its {} operations explains the answers; after {} of them \
                     none of {} open ones can be next",
                    spans.len(),
                    stuck.prefix.len(),
                    stuck.window.len()
                );
                finding.wrong_at(first.unwrap_or_default(), note);
            }
        }
    }
}

/// The operations with a known revision, in the order of the revisions.
fn by_revision<S: Searchable>(spans: &Spans<S>) -> Vec<usize> {
    let mut order: Vec<(u64, bool, u64, usize)> = Vec::with_capacity(spans.len());
    for (at, span) in spans.iter().enumerate() {
        let read = S::is_read(&span.call.call);
        order.extend(span.call.revision.map(|revision| (revision, read, span.called, at)));
    }
    order.sort_unstable();
    order.into_iter().map(|(.., at)| at).collect()
}

/// Whether this order of all answered and some lost operations is valid.
fn is_right<S: Searchable>(object: &Object<S>, spans: &Spans<S>, order: &[usize]) -> bool {
    let answered = |span: &SpanOf<S>| span.returned.is_some();
    let placed: BTreeSet<usize> = order.iter().copied().collect();
    let is_whole =
        spans.iter().enumerate().all(|(at, span)| placed.contains(&at) || !answered(span));
    let mut earliest_return = u64::MAX;
    let keeps_time = order.iter().rev().filter_map(|at| spans.get(*at)).all(|span| {
        let fits = span.called <= earliest_return;
        earliest_return = earliest_return.min(span.returned.unwrap_or(u64::MAX));
        fits
    });
    let mut state = object.start();
    let mut answers_fit = || {
        order.iter().filter_map(|at| spans.get(*at)).all(|span| {
            match object.step(&state, &span.call, span.answer.as_ref()) {
                Some(next) => {
                    state = next;
                    true
                }
                None => false,
            }
        })
    };
    is_whole && keeps_time && answers_fit()
}

/// Where the witness fails, says whether the result is wrong or only the revision.
pub(super) fn explain_false_witness(judgement: &mut Judgement) {
    let word = |name: &str| {
        judgement.findings.iter().find(|finding| finding.checker == name).map(|f| f.verdict)
    };
    if word("witness") != Some(Verdict::False) {
        return;
    }
    let note = match word("wgl") {
        Some(Verdict::True) => {
            "every sale searched has a valid order: what the witness found is \
             a wrong revision, or outside of the sales searched"
        }
        Some(Verdict::False) => "the witness fails too: results are wrong, not only revisions",
        _ => return,
    };
    if let Some(finding) = judgement.findings.iter_mut().find(|f| f.checker == "wgl") {
        finding.note(note);
    }
}

/// Every object without a valid order, with the end of the longest prefix and the state of the
/// model after each step of it.
pub fn stuck(evidence: &Evidence) -> Vec<StuckObject> {
    let mut found = stuck_of(sales(evidence));
    found.extend(stuck_of(products(evidence)));
    found
}

fn stuck_of<S: Searchable>(objects: Objects<'_, S>) -> Vec<StuckObject> {
    let mut found = Vec::new();
    for (id, spans) in objects {
        let Ok(spans) = spans else { continue };
        let object = Object::new(id);
        if let Outcome::Stuck(stuck) = search(&object, &spans, STEPS_MAX).outcome {
            found.push(explain(&object, &spans, &stuck));
        }
    }
    found
}

fn explain<S: Searchable>(object: &Object<S>, spans: &Spans<S>, stuck: &Stuck) -> StuckObject {
    let mut state = object.start();
    let mut prefix = Vec::new();
    for span in stuck.prefix.iter().filter_map(|at| spans.get(*at)) {
        state = object.step(&state, &span.call, span.answer.as_ref()).unwrap_or(state);
        prefix.push(operation_text(span, state.show(&object.id)));
    }
    let window = stuck.window.iter().filter_map(|at| spans.get(*at)).map(|span| {
        let expected = object.expected(&state, &span.call, span.answer.as_ref());
        operation_text(span, format!("{expected:?}"))
    });
    StuckObject {
        pool: object.id.clone(),
        placed: prefix.len(),
        window: window.collect(),
        prefix: prefix.split_off(prefix.len().saturating_sub(TAIL)),
    }
}

fn operation_text<S: Searchable>(span: &SpanOf<S>, model: String) -> OperationText {
    OperationText {
        called: span.called,
        returned: span.returned,
        call: format!("{:?}", span.call.call),
        answer: span.answer.as_ref().map_or_else(|| "unknown".into(), |a| format!("{a:?}")),
        model,
    }
}

/// The operations of every object, or the reason why they are not searched.
type Objects<'a, S> = BTreeMap<&'a str, Result<Spans<S>, &'static str>>;

fn sales(evidence: &Evidence) -> Objects<'_, stock::Model> {
    let mut sales = objects(&evidence.operations, &evidence.effects.resolved);
    // A product that is judged as a register has no stock to judge.
    let edited: BTreeSet<&str> =
        evidence.edits.operations.iter().filter_map(|o| object_of::<register::Model>(o)).collect();
    sales.retain(|id, _| !edited.contains(id));
    for id in with_unrequested_releases(evidence) {
        if let Some(spans) = sales.get_mut(id).filter(|spans| spans.is_ok()) {
            *spans = Err("units were released without a request");
        }
    }
    sales
}

fn products(evidence: &Evidence) -> Objects<'_, register::Model> {
    objects(&evidence.edits.operations, &evidence.edits.resolved)
}

fn objects<'a, S: Searchable>(
    operations: &'a [OperationOf<S>],
    resolved: &[Resolved<S::Answer>],
) -> Objects<'a, S> {
    let lost: BTreeMap<usize, (u64, &S::Answer)> =
        resolved.iter().map(|r| (r.operation, (r.revision, &r.answer))).collect();
    let mut found: BTreeMap<&str, Spans<S>> = BTreeMap::new();
    for (at, operation) in operations.iter().enumerate() {
        if let Some(id) = object_of::<S>(operation)
            && let Some(span) = span::<S>(at, operation, lost.get(&at).copied())
        {
            found.entry(id).or_default().push(span);
        }
    }
    let judged = |(id, spans)| match too_hard::<S>(&spans) {
        Some(why) => (id, Err(why)),
        None => (id, Ok(spans)),
    };
    found.into_iter().map(judged).collect()
}

/// What an operation is about. A new object is named by the answer that created it.
fn object_of<S: Searchable>(operation: &OperationOf<S>) -> Option<&str> {
    let created = operation.decided().and_then(|(_, answer)| S::created(answer));
    created.or(operation.pool.as_deref())
}

fn span<S: Searchable>(
    at: usize,
    operation: &OperationOf<S>,
    lost: Option<(u64, &S::Answer)>,
) -> Option<SpanOf<S>> {
    let (answer, returned) = match &operation.ended {
        _ if operation.early || operation.local => return None,
        Ended::Never => return None,
        Ended::Decided { answer, .. } if S::depends_on_other_sales(answer) => return None,
        Ended::Decided { at, answer, .. } => (Some(answer.clone()), Some(*at)),
        Ended::Unknown => (lost.map(|(_, answer)| answer.clone()), None),
    };
    let revision = operation.decided().map(|(rev, _)| rev).or(lost.map(|(revision, _)| revision));
    let call = Asked { call: operation.call.clone(), unseen: S::unseen(at), revision };
    Some(Span { call, answer, called: operation.called, returned })
}

fn too_hard<S: Searchable>(spans: &Spans<S>) -> Option<&'static str> {
    if !spans.iter().any(|span| S::creates(&span.call.call)) {
        Some("they share units with a product, or nobody saw their creation")
    } else if spans.len() > OPERATIONS_MAX {
        Some("more than 400 operations")
    } else if spans.iter().filter(|span| span.returned.is_none()).count() >= LOST_MAX {
        Some("10 or more lost responses")
    } else if concurrent(spans) > CONCURRENT_MAX {
        Some(TOO_CONCURRENT)
    } else {
        None
    }
}

fn concurrent<C, A>(spans: &[Span<C, A>]) -> usize {
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

/// Sales whose units were released without a request.
fn with_unrequested_releases(evidence: &Evidence) -> BTreeSet<&str> {
    let orders = &evidence.effects.orders;
    let events = evidence.effects.events.iter().flatten();
    let by_event = events
        .filter(|event| RELEASE_EVENTS.contains(&event.name.as_str()))
        .filter_map(|event| orders.get(&event.order));
    let by_row = orders.values().filter(|row| row.status == "expired");
    by_event.chain(by_row).map(|row| row.pool.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use register::{Answer, Call, Model};

    fn asked(call: Call, answer: Option<Answer>, time: (u64, Option<u64>)) -> SpanOf<Model> {
        let call = Asked { call, unseen: Model::unseen(0), revision: None };
        Span { call, answer, called: time.0, returned: time.1 }
    }

    const fn value(price: u64, version: u64) -> Answer {
        Answer::Value { price, version }
    }

    /// A product is created, changed, and read.
    fn life() -> Spans<Model> {
        let created = Answer::Created { product: "prd_1".into(), version: 1 };
        let mut spans = vec![
            asked(Call::Create { price: 5 }, Some(created), (0, Some(10))),
            asked(Call::Read, Some(value(6, 2)), (20, Some(40))),
            asked(Call::Write { version: 1, price: 6 }, Some(value(6, 2)), (20, Some(30))),
            asked(Call::Write { version: 2, price: 7 }, None, (30, None)),
        ];
        for (span, revision) in spans.iter_mut().zip([Some(3), Some(8), Some(8), None]) {
            span.call.revision = revision;
        }
        spans
    }

    /// Reads of the first price beside price changes whose responses were lost. That none of them
    /// happened explains everything, but a search first tries those that may have happened.
    fn puzzle(product: &str) -> Spans<Model> {
        let created = Answer::Created { product: product.into(), version: 1 };
        let mut spans = vec![asked(Call::Create { price: 1 }, Some(created), (0, Some(1)))];
        for price in 50..80 {
            spans.push(asked(Call::Write { version: 1, price }, None, (2, None)));
        }
        for _ in 0..30 {
            spans.push(asked(Call::Read, Some(value(1, 1)), (3, Some(4))));
        }
        for (span, revision) in spans.iter_mut().zip(5..) {
            span.call.revision = span.returned.map(|_| revision);
        }
        spans
    }

    #[test]
    fn what_a_search_costs_is_counted() {
        let judged = |spans: Vec<Result<Spans<Model>, &'static str>>| {
            let (mut effort, mut finding) = (Effort::default(), Finding::new("wgl"));
            let objects = ["prd_1", "prd_2", "prd_3"].into_iter().zip(spans).collect();
            judge(objects, &mut effort, &mut finding);
            (effort, finding)
        };
        let (effort, finding) = judged(vec![Ok(life()), Err("too large"), Err("too large")]);
        assert_eq!((finding.checked, effort.skipped["too large"]), (1, 2));
        let alone = search(&Object::<Model>::new("prd_1"), &life(), STEPS_MAX).steps;
        assert!(alone > 0 && effort.steps == alone, "{alone} steps, not {}", effort.steps);
        let (effort, finding) = judged(["prd_1", "prd_2", "prd_3"].map(puzzle).map(Ok).to_vec());
        assert_eq!((finding.checked, effort.by_revision, effort.given_up), (3, 3, 0));
        assert_eq!(effort.steps, 3 * STEPS_MAX);
        let mut spent = Effort { steps: STEPS_ALL, ..Effort::default() };
        judge([("prd_1", Ok(life()))].into(), &mut spent, &mut Finding::new("wgl"));
        assert_eq!(
            (spent.by_revision, spent.steps),
            (1, STEPS_ALL),
            "nothing is left to search with"
        );
        let (mut one, mut two) = (puzzle("prd_1"), puzzle("prd_2"));
        (one[0].call.revision, two[0].call.revision) = (Some(999), Some(999));
        let (effort, finding) = judged(vec![Ok(one), Ok(two)]);
        assert_eq!((finding.checked, effort.by_revision, effort.given_up), (0, 0, 2));
        assert_eq!(finding.verdict, Verdict::True, "who judges the run says that it is unsure");
    }

    #[test]
    fn a_false_witness_is_explained_by_the_search() {
        let given = |witness, wgl| {
            let finding = |checker: &str, verdict| Finding { verdict, ..Finding::new(checker) };
            let findings = vec![finding("witness", witness), finding("wgl", wgl)];
            let mut judgement = Judgement { verdict: Verdict::False, findings };
            explain_false_witness(&mut judgement);
            judgement.findings[1].notes.concat()
        };
        assert!(given(Verdict::False, Verdict::True).contains("a wrong revision"));
        assert!(given(Verdict::False, Verdict::False).contains("results are wrong"));
        assert_eq!(given(Verdict::False, Verdict::Unknown), "");
        assert_eq!(given(Verdict::True, Verdict::True), "");
    }

    #[test]
    fn an_object_is_shown_with_what_a_reader_wants_to_know() {
        use crate::judge::model::stock;
        let mut shop = stock::Model::default();
        assert_eq!(shop.show("sal_1"), "no such sale");
        let call = stock::Call::Sale { product: None, units: 3, limit: 1 };
        shop.step("", None, &call, &stock::Answer::Sale { sale: "sal_1".into() });
        assert_eq!(shop.show("sal_1"), "available 3, held 0, sold 0");
        assert_eq!(Model::default().show("prd_1"), "no such product");
        let (object, spans) = (Object::<Model>::new("prd_1"), life());
        let made = object.step(&object.start(), &spans[0].call, spans[0].answer.as_ref());
        assert_eq!(made.unwrap().show("prd_1"), "price 5, version 1");
    }

    #[test]
    fn labels_order_writes_before_the_reads_of_their_state() {
        assert_eq!(by_revision(&life()), [0, 2, 1]);
    }

    #[test]
    fn an_order_is_right_when_it_is_whole_keeps_time_and_explains_every_answer() {
        let object = Object::<Model>::new("prd_1");
        let right = |spans: &Spans<Model>, order: &[usize]| is_right(&object, spans, order);
        let spans = life();
        assert!(right(&spans, &[0, 2, 1]), "what was lost need not have happened");
        assert!(right(&spans, &[0, 2, 1, 3]), "and may have");
        assert!(!right(&spans, &[0, 2]), "an answered read is left out");
        assert!(!right(&spans, &[0, 1, 2]), "the read saw a write that came later");
        let mut spans = life();
        spans[0].returned = Some(20);
        assert!(right(&spans, &[0, 2, 1]), "called in the moment of the answer");
        let read = asked(Call::Read, Some(value(5, 1)), (41, Some(50)));
        let spans: Vec<_> = [life().remove(0), read, life().remove(2)].into();
        assert!(!right(&spans, &[0, 1, 2]), "the write was answered before the read was called");
    }

    #[test]
    fn operations_are_concurrent_from_their_call_to_their_answer() {
        let spans = |times: &[(u64, Option<u64>)]| -> Spans<Model> {
            times.iter().map(|time| asked(Call::Read, Some(value(5, 1)), *time)).collect()
        };
        assert_eq!(concurrent(&spans(&[])), 0);
        assert_eq!(concurrent(&spans(&[(0, Some(9)), (1, Some(5)), (6, Some(7))])), 2);
        assert_eq!(concurrent(&spans(&[(0, Some(9)), (9, Some(10))])), 2, "the same instant");
        assert_eq!(concurrent(&spans(&[(0, None), (1, Some(5))])), 1, "who waits for nothing");
    }
}
