//! The search, compared with brute force over all permutations and with two other implementations.
//! The object is a register of small numbers, so that both outcomes are common.

use std::cell::Cell;

use firstcome_jepsen::judge::check::wgl::search::{Outcome, Sequential, Span, search};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use stateright::semantics::register::{Register, RegisterOp, RegisterRet};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester};
use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};
use todc_utils::specifications::Specification;

const STEPS_MAX: u64 = 1_000_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ask {
    Write(u8),
    Read,
}

/// A register that starts at 0; a write returns what was written.
struct Cell8;

impl Sequential for Cell8 {
    type State = u8;
    type Call = Ask;
    type Answer = u8;

    fn start(&self) -> u8 {
        0
    }

    fn step(&self, state: &u8, call: &Ask, answer: Option<&u8>) -> Option<u8> {
        let next = match call {
            Ask::Write(value) => *value,
            Ask::Read => *state,
        };
        match answer {
            Some(answer) => (*answer == next).then_some(next),
            None => (next != *state).then_some(next),
        }
    }
}

type Asked = Span<Ask, u8>;

fn read(value: u8, called: u64, returned: u64) -> Asked {
    Span { call: Ask::Read, answer: Some(value), called, returned: Some(returned) }
}

fn write(value: u8, called: u64, returned: u64) -> Asked {
    let call = Ask::Write(value);
    Span { call, answer: Some(value), called, returned: Some(returned) }
}

fn lost_write(value: u8, called: u64) -> Asked {
    Span { call: Ask::Write(value), answer: None, called, returned: None }
}

fn is_linearizable(spans: &[Asked]) -> bool {
    match search(&Cell8, spans, STEPS_MAX).outcome {
        Outcome::Linearizable(order) => {
            assert!(holds(spans, &order), "{order:?} of {spans:?}");
            true
        }
        Outcome::Stuck(_) => false,
        Outcome::GaveUp => panic!("gave up on {spans:?}"),
    }
}

/// Whether this order of all answered and some lost operations is a linearization.
fn holds(spans: &[Asked], order: &[usize]) -> bool {
    let missing = (0..spans.len()).any(|at| spans[at].returned.is_some() && !order.contains(&at));
    let backwards = order.iter().enumerate().any(|(place, at)| {
        let late = |later: &usize| spans[*later].returned.is_some_and(|r| r < spans[*at].called);
        order[place + 1..].iter().any(late)
    });
    let mut state = 0;
    let right = order.iter().all(|at| match (spans[*at].call, spans[*at].answer) {
        (Ask::Write(value), answer) => {
            state = value;
            answer.is_none_or(|answer| answer == value)
        }
        (Ask::Read, answer) => answer.is_none_or(|answer| answer == state),
    });
    !missing && !backwards && right
}

/// Tries every permutation of every subset of the lost operations.
fn any_permutation_holds(spans: &[Asked]) -> bool {
    let (lost, answered): (Vec<usize>, Vec<usize>) =
        (0..spans.len()).partition(|at| spans[*at].returned.is_none());
    (0..1_usize << lost.len()).any(|choice| {
        let chosen = lost.iter().enumerate().filter(|(bit, _)| choice >> bit & 1 == 1);
        let mut order = answered.clone();
        order.extend(chosen.map(|(_, at)| *at));
        permutations(&mut order, 0, &mut |order| holds(spans, order))
    })
}

fn permutations(order: &mut [usize], from: usize, holds: &mut dyn FnMut(&[usize]) -> bool) -> bool {
    if from + 1 >= order.len() {
        return holds(order);
    }
    (from..order.len()).any(|at| {
        order.swap(from, at);
        let found = permutations(order, from + 1, holds);
        order.swap(from, at);
        found
    })
}

/// Up to seven operations of three processes; one in eight has no response.
fn histories() -> impl Strategy<Value = Vec<Asked>> {
    let ask = prop_oneof![(1..3_u8).prop_map(Ask::Write), Just(Ask::Read)];
    let operation = (0..3_usize, ask, 0..3_u8, 0..3_u64, 0..5_u64, 0..8_u8);
    prop::collection::vec(operation, 1..8).prop_map(|drawn| {
        let mut clocks = [0; 3];
        let mut spans = Vec::new();
        for (process, ask, answer, gap, length, luck) in drawn {
            let called = clocks[process] + gap;
            clocks[process] = called + length + 1;
            let answer = if let Ask::Write(value) = ask { value } else { answer };
            let is_lost = luck == 0;
            spans.push(Span {
                call: ask,
                answer: (!is_lost).then_some(answer),
                called,
                returned: (!is_lost).then_some(called + length),
            });
        }
        spans
    })
}

/// Compares many histories, and checks that both outcomes were common.
#[track_caller]
fn compare(agrees: impl Fn(&[Asked], bool) -> Result<bool, TestCaseError>) {
    let (yes, no) = (Cell::new(0_u32), Cell::new(0_u32));
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let ran = runner.run(&histories(), |spans| {
        let found = is_linearizable(&spans);
        if agrees(&spans, found)? {
            let count = if found { &yes } else { &no };
            count.set(count.get() + 1);
        }
        Ok(())
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
    let (yes, no) = (yes.get(), no.get());
    assert!(yes.min(no) * 10 >= yes + no, "{yes} linearizable, {no} not");
}

#[test]
fn search_equals_brute_force_up_to_seven_operations() {
    compare(|spans, found| {
        prop_assert_eq!(found, any_permutation_holds(spans));
        Ok(true)
    });
}

/// Calls and returns by time; at the same time calls come first.
fn edges(spans: &[Asked]) -> Vec<(u64, bool, usize)> {
    let calls = spans.iter().enumerate().map(|(at, span)| (span.called, false, at));
    let returns =
        spans.iter().enumerate().filter_map(|(at, span)| Some((span.returned?, true, at)));
    let mut edges: Vec<_> = calls.chain(returns).collect();
    edges.sort_unstable();
    edges
}

#[test]
fn search_equals_the_tester_of_stateright() {
    compare(|spans, found| {
        let mut tester = LinearizabilityTester::new(Register(0_u8));
        for (_, returns, at) in edges(spans) {
            // Every operation has a thread of its own, so that only the times order them.
            let told = match (returns, spans[at].call) {
                (false, Ask::Write(value)) => tester.on_invoke(at, RegisterOp::Write(value)),
                (false, Ask::Read) => tester.on_invoke(at, RegisterOp::Read),
                (true, Ask::Write(_)) => tester.on_return(at, RegisterRet::WriteOk),
                (true, Ask::Read) => {
                    tester.on_return(at, RegisterRet::ReadOk(spans[at].answer.unwrap_or_default()))
                }
            };
            prop_assert!(told.is_ok(), "{:?}", told.err());
        }
        prop_assert_eq!(found, tester.is_consistent());
        Ok(true)
    });
}

#[derive(Clone, Copy, Debug)]
struct Exchange(Ask, Option<u8>);

struct Spec;

impl Specification for Spec {
    type State = u8;
    type Operation = Exchange;

    fn init() -> u8 {
        0
    }

    fn apply(Exchange(ask, answer): &Exchange, state: &u8) -> (bool, u8) {
        match ask {
            Ask::Write(value) => (true, *value),
            Ask::Read => (*answer == Some(*state), *state),
        }
    }
}

#[test]
fn search_equals_the_checker_of_todc() {
    compare(|spans, found| {
        if spans.iter().any(|span| span.returned.is_none()) {
            return Ok(false); // It knows no lost answers.
        }
        let action = |(_, returns, at): (u64, bool, usize)| {
            let exchange = Exchange(spans[at].call, spans[at].answer.filter(|_| returns));
            (at, if returns { Action::Response(exchange) } else { Action::Call(exchange) })
        };
        let history = History::from_actions(edges(spans).into_iter().map(action).collect());
        prop_assert_eq!(found, WGLChecker::<Spec>::is_linearizable(history));
        Ok(true)
    });
}

#[test]
fn a_lost_write_may_come_late_or_never() {
    assert!(is_linearizable(&[lost_write(1, 0), read(0, 1, 2), read(1, 3, 4)]), "late");
    assert!(is_linearizable(&[lost_write(1, 0), read(0, 1, 2), read(0, 3, 4)]), "never");
    assert!(!is_linearizable(&[lost_write(1, 0), read(1, 1, 2), read(0, 3, 4)]), "taken back");
    assert!(!is_linearizable(&[read(1, 1, 2), lost_write(1, 3)]), "before it was asked");
}

#[test]
fn both_ends_belong_to_an_operation() {
    assert!(is_linearizable(&[write(1, 0, 5), read(0, 5, 6)]));
    assert!(!is_linearizable(&[write(1, 0, 5), read(0, 6, 7)]));
}

#[test]
fn a_stuck_search_tells_the_longest_prefix_and_what_cannot_follow() {
    let spans = [write(1, 0, 1), read(1, 2, 3), read(2, 4, 5), write(2, 5, 7), read(0, 8, 9)];
    let searched = search(&Cell8, &spans, STEPS_MAX);
    let Outcome::Stuck(stuck) = searched.outcome else { panic!("nobody wrote 0 again") };
    assert_eq!(searched.steps, 6, "what was taken back is not tried again");
    assert_eq!(stuck.prefix, [0, 1, 3, 2]);
    assert_eq!(stuck.window, [4]);
    // Of two prefixes of the same length, the first one.
    let spans = [write(1, 0, 9), write(2, 0, 9), read(3, 10, 11)];
    let Outcome::Stuck(stuck) = search(&Cell8, &spans, STEPS_MAX).outcome else {
        panic!("nobody wrote 3");
    };
    assert_eq!((stuck.prefix, stuck.window), (vec![0, 1], vec![2]));
}

#[test]
fn a_search_without_steps_left_gives_up() {
    let spans = [write(1, 0, 1), read(1, 2, 3)];
    assert_eq!(search(&Cell8, &spans, 1).outcome, Outcome::GaveUp);
    assert!(matches!(search(&Cell8, &spans, 2).outcome, Outcome::Linearizable(_)));
}

#[test]
fn four_hundred_operations_by_eight_processes_are_searched_in_few_steps() {
    let spans: Vec<Asked> = (0..400_u64)
        .map(|at| {
            let value = u8::try_from(at / 8 % 200).unwrap() + 1;
            // Eight at a time: one writes, the others read that value before the next eight begin.
            let (from, to) = (at / 8 * 10, at / 8 * 10 + 9);
            if at % 8 == 7 { write(value, from, to) } else { read(value, from, to) }
        })
        .collect();
    let searched = search(&Cell8, &spans, STEPS_MAX);
    assert!(matches!(searched.outcome, Outcome::Linearizable(_)));
    assert!(searched.steps < 10_000, "{}", searched.steps);
}
