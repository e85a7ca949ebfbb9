//! What should have happened: independent sequential specifications.
//!
//! A specification is one state and two questions: what would be answered now ([`predict`]), and
//! what is the state after ([`step`]). Both take the answer that was given, from which only what
//! is the node's to choose is taken: fresh ids and deadlines.
//!
//! [`predict`]: Specification::predict
//! [`step`]: Specification::step

pub mod register;
pub mod stock;

use std::fmt::Debug;

use serde_json::Value;

/// One operation after another.
pub trait Specification: Clone + Default {
    /// What is asked.
    type Call: Clone + PartialEq + Debug;
    /// What is answered.
    type Answer: Clone + PartialEq + Debug;

    /// Reads a request of the history; `None` when another specification is asked.
    fn call(f: &str, asked: &Value) -> anyhow::Result<Option<Self::Call>>;
    /// Reads an answer of the history.
    fn answer(f: &str, given: &Value) -> anyhow::Result<Self::Answer>;
    /// Whether it changes nothing.
    fn is_read(call: &Self::Call) -> bool;
    /// What would be answered now.
    fn predict(&self, pool: &str, call: &Self::Call, given: &Self::Answer) -> Self::Answer;
    /// Does it; answers what should have been answered.
    fn step(
        &mut self,
        pool: &str,
        key: Option<&str>,
        call: &Self::Call,
        given: &Self::Answer,
    ) -> Self::Answer;

    /// The state after, if that is what would be answered now.
    fn after(&self, pool: &str, call: &Self::Call, given: &Self::Answer) -> Option<Self> {
        let mut next = self.clone();
        (next.step(pool, None, call, given) == *given).then_some(next)
    }
}
