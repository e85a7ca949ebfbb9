//! One sale of the stock model, for the search.

use super::search::Sequential;
use crate::model::stock::{Answer, Call, Model};

/// A sale.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    /// `sal_...`
    pub(super) id: String,
}

/// A call, with a name for an order that it may make and that nobody was told of.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) call: Call,
    pub(super) unseen: String,
}

impl Pool {
    /// What the model would answer; ids are taken from the answer that was given.
    pub(super) fn expected(&self, state: &Model, asked: &Asked, told: Option<&Answer>) -> Answer {
        let minted = Answer::Ordered { order: asked.unseen.clone(), pay_by: None };
        state.predict(&self.id, &asked.call, told.unwrap_or(&minted))
    }
}

impl Sequential for Pool {
    type State = Model;
    type Call = Asked;
    type Answer = Answer;

    fn start(&self) -> Model {
        Model::default()
    }

    fn step(&self, state: &Model, asked: &Asked, told: Option<&Answer>) -> Option<Model> {
        let expected = self.expected(state, asked, told);
        if told.is_some_and(|told| *told != expected) {
            return None;
        }
        let mut next = state.clone();
        next.step(&self.id, None, &asked.call, &expected);
        (told.is_some() || next != *state).then_some(next)
    }
}
