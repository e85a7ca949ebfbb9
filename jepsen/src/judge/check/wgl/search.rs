//! The search of Wing and Gong with Lowe's memoisation, over any sequential model.
//!
//! Calls and returns are in one list, sorted by time. The search removes the first call that the
//! model allows and starts again at the head of the list. Reaching a return means that its
//! operation should have been placed already, so the latest choice is undone. A set of operations
//! that has led to a state before is not tried again. Choices are kept in a list, not on the call
//! stack, and every try counts as a step, so a hard history ends as "gave up", not as a stack
//! overflow.
//!
//! An operation without a return may be placed anywhere after its call, or left out.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A sequential specification of one object.
pub trait Sequential {
    /// What is remembered between two operations.
    type State: Clone + Eq + Hash;
    /// What is asked.
    type Call;
    /// What is answered.
    type Answer;
    /// The state before the first operation.
    fn start(&self) -> Self::State;
    /// The state after `call`, or `None` if this answer is not possible here. Without an answer:
    /// the state if it runs now, or `None` if it would change nothing.
    fn step(
        &self,
        state: &Self::State,
        call: &Self::Call,
        answer: Option<&Self::Answer>,
    ) -> Option<Self::State>;
}

/// One operation and the time during which it was open, both ends included.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span<C, A> {
    /// What was asked.
    pub call: C,
    /// What was answered, if that is known.
    pub answer: Option<A>,
    /// When it was asked.
    pub called: u64,
    /// When it returned. Without it the operation may be left out.
    pub returned: Option<u64>,
}

/// The result of a search. Operations are named by their index.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// In this order every answer is right.
    Linearizable(Vec<usize>),
    /// There is no such order.
    Stuck(Stuck),
    /// Out of steps.
    GaveUp,
}

/// How far the search got when there is no valid order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stuck {
    /// The longest linearizable prefix.
    pub prefix: Vec<usize>,
    /// The operations that were open then, none of which can come next.
    pub window: Vec<usize>,
}

/// An outcome and what it cost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Searched {
    /// What was found.
    pub outcome: Outcome,
    /// Tries.
    pub steps: u64,
}

/// Looks for an order in which every answer is right, in at most `steps_max` steps.
pub fn search<M: Sequential>(
    model: &M,
    spans: &[Span<M::Call, M::Answer>],
    steps_max: u64,
) -> Searched {
    Search {
        model,
        spans,
        list: List::of(spans),
        placed: vec![0; spans.len().div_ceil(64)],
        seen: HashSet::new(),
        chosen: Vec::new(),
        state: model.start(),
        required: spans.iter().filter(|span| span.returned.is_some()).count(),
        longest: Vec::new(),
        steps: 0,
    }
    .run(steps_max)
}

struct Search<'a, M: Sequential> {
    model: &'a M,
    spans: &'a [Span<M::Call, M::Answer>],
    list: List,
    /// One bit for each operation.
    placed: Vec<u64>,
    /// Sets of operations with the hash of the state they led to.
    seen: HashSet<(Vec<u64>, u64)>,
    /// The chosen operations in order, each with the state before it.
    chosen: Vec<(usize, M::State)>,
    state: M::State,
    /// Answered operations that are not placed yet.
    required: usize,
    longest: Vec<usize>,
    steps: u64,
}

impl<M: Sequential> Search<'_, M> {
    fn run(mut self, steps_max: u64) -> Searched {
        let mut at = self.list.first();
        loop {
            if self.required == 0 {
                let order = self.chosen.iter().map(|(operation, _)| *operation).collect();
                return Searched { outcome: Outcome::Linearizable(order), steps: self.steps };
            }
            at = match self.list.entry(at) {
                Some(Entry::Call(operation)) => {
                    if self.steps == steps_max {
                        return Searched { outcome: Outcome::GaveUp, steps: self.steps };
                    }
                    self.steps += 1;
                    if self.place(operation) { self.list.first() } else { self.list.after(at) }
                }
                Some(Entry::Return) | None => {
                    if self.chosen.len() > self.longest.len() {
                        self.longest =
                            self.chosen.iter().map(|(operation, _)| *operation).collect();
                    }
                    let Some(operation) = self.take_back() else {
                        let outcome = Outcome::Stuck(self.stuck());
                        return Searched { outcome, steps: self.steps };
                    };
                    self.list.after(self.list.call_of(operation))
                }
            };
        }
    }

    /// Places an operation next, unless the model refuses it or this was tried before.
    fn place(&mut self, operation: usize) -> bool {
        let Some(span) = self.spans.get(operation) else { return false };
        let Some(next) = self.model.step(&self.state, &span.call, span.answer.as_ref()) else {
            return false;
        };
        flip(&mut self.placed, operation);
        if !self.seen.insert((self.placed.clone(), hash_of(&next))) {
            flip(&mut self.placed, operation);
            return false;
        }
        self.chosen.push((operation, std::mem::replace(&mut self.state, next)));
        self.required -= usize::from(span.returned.is_some());
        self.list.lift(operation);
        true
    }

    /// Undoes the latest choice.
    fn take_back(&mut self) -> Option<usize> {
        let (operation, before) = self.chosen.pop()?;
        self.state = before;
        flip(&mut self.placed, operation);
        let answered = self.spans.get(operation).is_some_and(|span| span.returned.is_some());
        self.required += usize::from(answered);
        self.list.put_back(operation);
        Some(operation)
    }

    fn stuck(&self) -> Stuck {
        let placed: HashSet<usize> = self.longest.iter().copied().collect();
        let left = || self.spans.iter().enumerate().filter(|(at, _)| !placed.contains(at));
        let until = left().filter_map(|(_, span)| span.returned).min().unwrap_or(u64::MAX);
        let window = left().filter(|(_, span)| span.called <= until).map(|(at, _)| at).collect();
        Stuck { prefix: self.longest.clone(), window }
    }
}

fn flip(bits: &mut [u64], at: usize) {
    if let Some(word) = bits.get_mut(at / 64) {
        *word ^= 1 << (at % 64);
    }
}

/// The same for equal states in every run, so that a search can be repeated.
fn hash_of(state: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

#[derive(Clone, Copy, Debug)]
enum Entry {
    Call(usize),
    Return,
}

/// Calls and returns by time, with a sentinel at either end.
struct List {
    entries: Vec<Entry>,
    /// Places are indexes of entries plus one; 0 is before the first.
    next: Vec<usize>,
    previous: Vec<usize>,
    /// The places of the call and the return of each operation.
    places: Vec<(usize, Option<usize>)>,
}

impl List {
    fn of<C, A>(spans: &[Span<C, A>]) -> Self {
        // Both ends belong to the span, so at the same time calls come before returns.
        let mut edges: Vec<(u64, bool, usize)> = Vec::with_capacity(spans.len() * 2);
        for (at, span) in spans.iter().enumerate() {
            edges.push((span.called, false, at));
            edges.extend(span.returned.map(|returned| (returned, true, at)));
        }
        edges.sort_unstable();
        let mut places = vec![(0, None); spans.len()];
        let mut entries = Vec::with_capacity(edges.len());
        for (place, (_, returns, at)) in edges.into_iter().enumerate() {
            let Some(own) = places.get_mut(at) else { continue };
            if returns {
                own.1 = Some(place + 1);
                entries.push(Entry::Return);
            } else {
                own.0 = place + 1;
                entries.push(Entry::Call(at));
            }
        }
        let last = entries.len() + 1;
        Self {
            entries,
            next: (1..=last).chain([last]).collect(),
            previous: [0].into_iter().chain(0..last).collect(),
            places,
        }
    }

    fn first(&self) -> usize {
        self.after(0)
    }

    fn after(&self, place: usize) -> usize {
        self.next.get(place).copied().unwrap_or_default()
    }

    fn entry(&self, place: usize) -> Option<Entry> {
        self.entries.get(place.checked_sub(1)?).copied()
    }

    fn call_of(&self, operation: usize) -> usize {
        self.places.get(operation).map_or(0, |(call, _)| *call)
    }

    fn link(&mut self, before: usize, after: usize) {
        if let (Some(next), Some(previous)) =
            (self.next.get_mut(before), self.previous.get_mut(after))
        {
            *next = after;
            *previous = before;
        }
    }

    fn neighbours(&self, place: usize) -> (usize, usize) {
        (self.previous.get(place).copied().unwrap_or_default(), self.after(place))
    }

    /// Removes both ends of an operation. What is removed keeps its neighbours.
    fn lift(&mut self, operation: usize) {
        let Some((call, returned)) = self.places.get(operation).copied() else { return };
        for place in [Some(call), returned].into_iter().flatten() {
            let (before, after) = self.neighbours(place);
            self.link(before, after);
        }
    }

    /// Undoes the latest [`Self::lift`].
    fn put_back(&mut self, operation: usize) {
        let Some((call, returned)) = self.places.get(operation).copied() else { return };
        for place in [returned, Some(call)].into_iter().flatten() {
            let (before, after) = self.neighbours(place);
            self.link(before, place);
            self.link(place, after);
        }
    }
}
