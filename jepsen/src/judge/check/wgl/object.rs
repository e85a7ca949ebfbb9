//! One sale or product, as the search sees it.

use std::hash::Hash;
use std::marker::PhantomData;

use super::search::Sequential;
use crate::judge::model::{Specification, register, stock};

/// A specification whose objects can be searched one at a time.
pub(super) trait Searchable: Specification + Eq + Hash {
    /// Whether this creates an object that depends on no other object.
    fn creates(call: &Self::Call) -> bool;
    /// The object that this answer created.
    fn created(answer: &Self::Answer) -> Option<&str>;
    /// Whether this depends on what the customer does elsewhere.
    fn depends_on_other_sales(answer: &Self::Answer) -> bool;
    /// An answer that nobody received, with ids that nobody knows.
    fn unseen(at: usize) -> Self::Answer;
    /// The state of one object, as text.
    fn show(&self, id: &str) -> String;
}

impl Searchable for stock::Model {
    fn creates(call: &stock::Call) -> bool {
        // A sale with a product exchanges units with it, so it cannot be searched alone.
        matches!(call, stock::Call::Sale { product: None, .. })
    }

    fn created(answer: &stock::Answer) -> Option<&str> {
        match answer {
            stock::Answer::Sale { sale: id } | stock::Answer::Product { product: id } => Some(id),
            _ => None,
        }
    }

    fn depends_on_other_sales(answer: &stock::Answer) -> bool {
        answer.refused() == Some("too_many_pending_orders")
    }

    fn unseen(at: usize) -> stock::Answer {
        stock::Answer::Ordered { order: format!("unseen {at}"), pay_by: None }
    }

    fn show(&self, id: &str) -> String {
        self.accounts(id).map_or_else(
            || "no such sale".into(),
            |a| format!("available {}, held {}, sold {}", a.available, a.held, a.sold),
        )
    }
}

impl Searchable for register::Model {
    fn creates(call: &register::Call) -> bool {
        matches!(call, register::Call::Create { .. })
    }

    fn created(answer: &register::Answer) -> Option<&str> {
        if let register::Answer::Created { product, .. } = answer { Some(product) } else { None }
    }

    fn depends_on_other_sales(_: &register::Answer) -> bool {
        false
    }

    fn unseen(_: usize) -> register::Answer {
        register::Answer::Refused("unseen".into())
    }

    fn show(&self, id: &str) -> String {
        self.value(id).map_or_else(
            || "no such product".into(),
            |(price, version)| format!("price {price}, version {version}"),
        )
    }
}

/// One object.
pub(super) struct Object<S> {
    /// `sal_...` or `prd_...`
    pub(super) id: String,
    specification: PhantomData<S>,
}

/// A call, and a made-up answer in case it ran and its response was lost.
#[derive(Clone)]
pub(super) struct Asked<S: Specification> {
    pub(super) call: S::Call,
    pub(super) unseen: S::Answer,
    /// Its revision, for the order that is tried when the search gives up.
    pub(super) revision: Option<u64>,
}

impl<S: Searchable> Object<S> {
    pub(super) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), specification: PhantomData }
    }

    /// What the specification would answer. Ids are taken from the given answer.
    pub(super) fn expected(
        &self,
        state: &S,
        asked: &Asked<S>,
        given: Option<&S::Answer>,
    ) -> S::Answer {
        state.predict(&self.id, &asked.call, given.unwrap_or(&asked.unseen))
    }
}

impl<S: Searchable> Sequential for Object<S> {
    type State = S;
    type Call = Asked<S>;
    type Answer = S::Answer;

    fn start(&self) -> S {
        S::default()
    }

    fn step(&self, state: &S, asked: &Asked<S>, given: Option<&S::Answer>) -> Option<S> {
        match given {
            Some(given) if S::is_read(&asked.call) => {
                (state.predict(&self.id, &asked.call, given) == *given).then(|| state.clone())
            }
            Some(given) => state.after(&self.id, &asked.call, given),
            None => {
                let mut next = state.clone();
                next.step(&self.id, None, &asked.call, &asked.unseen);
                (next != *state).then_some(next)
            }
        }
    }
}
