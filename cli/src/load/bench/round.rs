//! One round: purchases measured alone, or beside readers of one path.

use std::rc::Rc;

use super::phase::{self, Load, Measured};
use super::plan::Plan;
use super::readers::{Readers, Reads};
use super::target::Target;
use super::tokens::Tokens;

/// What one round measured.
pub(super) struct Round {
    pub(super) purchases: Measured,
    /// What was read meanwhile.
    pub(super) beside: Option<Beside>,
    /// Elections during the round: 0 if the leader stayed.
    pub(super) elections: u64,
}

/// Readers and what they read.
pub(super) struct Beside {
    pub(super) path: String,
    pub(super) reads: Reads,
}

/// Runs one round for each path that the plan wants to be read, or a single one without readers.
pub(super) async fn run_all(
    plan: &Plan,
    target: &Target,
    load: &Load,
    tokens: &Rc<Tokens>,
) -> anyhow::Result<Vec<Round>> {
    if plan.readers == 0 {
        return Ok(vec![run(plan, target, load, tokens, None).await?]);
    }
    let mut rounds = Vec::new();
    for path in &plan.read_paths {
        rounds.push(run(plan, target, load, tokens, Some(path)).await?);
    }
    Ok(rounds)
}

async fn run(
    plan: &Plan,
    target: &Target,
    load: &Load,
    tokens: &Rc<Tokens>,
    path: Option<&String>,
) -> anyhow::Result<Round> {
    let term = target.term().await?;
    let readers = path.map(|path| Readers::start(&target.addresses, plan.readers, path));
    let purchases = phase::run(load.clone(), Rc::clone(tokens)).await?;
    let beside = match (readers, path) {
        (Some(readers), Some(path)) => {
            Some(Beside { path: path.clone(), reads: readers.stop().await? })
        }
        _ => None,
    };
    Ok(Round { purchases, beside, elections: target.term().await?.saturating_sub(term) })
}
