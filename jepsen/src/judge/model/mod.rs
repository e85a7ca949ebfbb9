//! What should have happened: independent sequential specifications.
//!
//! A specification is one state and two questions: what would the answer be now ([`predict`]), and
//! what is the state afterwards ([`step`]). Both get the answer that was given, and take only new
//! ids and deadlines from it, because the node chooses those.
//!
//! [`predict`]: Specification::predict
//! [`step`]: Specification::step

pub mod account;
pub mod register;
pub mod stock;

use std::fmt::Debug;

use serde_json::Value;

/// A sequential specification.
pub trait Specification: Clone + Default {
    /// What is asked.
    type Call: Clone + PartialEq + Debug;
    /// What is answered.
    type Answer: Clone + PartialEq + Debug;

    /// Parses a request of the history; `None` if it belongs to another specification.
    fn call(f: &str, asked: &Value) -> anyhow::Result<Option<Self::Call>>;
    /// Parses an answer of the history.
    fn answer(f: &str, given: &Value) -> anyhow::Result<Self::Answer>;
    /// Whether the call is a read.
    fn is_read(call: &Self::Call) -> bool;
    /// What the answer would be now.
    fn predict(&self, pool: &str, call: &Self::Call, given: &Self::Answer) -> Self::Answer;
    /// Applies the call; returns what the answer should have been.
    fn step(
        &mut self,
        pool: &str,
        key: Option<&str>,
        call: &Self::Call,
        given: &Self::Answer,
    ) -> Self::Answer;

    /// The state afterwards, if the given answer is right.
    fn after(&self, pool: &str, call: &Self::Call, given: &Self::Answer) -> Option<Self> {
        let mut next = self.clone();
        (next.step(pool, None, call, given) == *given).then_some(next)
    }
}
