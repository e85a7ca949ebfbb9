//! Links that are slow, narrow, stalling or lossy.

use serde_json::{Value, json};

use super::context::FaultContext;
use super::{FaultInjector, Outcome};
use crate::drive::cluster::network::{Shape, Traffic};

/// Degrades every lane from and to some nodes.
pub(super) struct DegradedLinks {
    nodes: Vec<usize>,
    shape: Shape,
    lanes: Vec<((usize, usize), Traffic)>,
}

impl DegradedLinks {
    pub(super) const fn new(nodes: Vec<usize>, shape: Shape) -> Self {
        Self { nodes, shape, lanes: Vec::new() }
    }
}

impl FaultInjector for DegradedLinks {
    fn begin(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Value> {
        let all = context.wanted();
        for &from in &all {
            for &to in all.iter().filter(|to| **to != from) {
                if self.nodes.contains(&from) || self.nodes.contains(&to) {
                    context.cluster.network.shape(from, to, self.shape)?;
                    let before = context.cluster.network.traffic(from, to)?;
                    self.lanes.push(((from, to), before));
                }
            }
        }
        Ok(json!({"lanes": self.lanes.len(), "shape": self.shape}))
    }

    fn end(&mut self, context: &mut FaultContext<'_>) -> anyhow::Result<Outcome> {
        let (mut slowed, mut lost) = (0, 0);
        for &((from, to), before) in &self.lanes {
            let now = context.cluster.network.traffic(from, to)?;
            slowed += now.slowed - before.slowed;
            lost += now.lost.saturating_sub(before.lost);
        }
        context.cluster.network.heal_all()?;
        let seen = json!({"slowed": slowed, "lost": lost});
        Ok(Outcome { took_effect: slowed + lost > 0, seen })
    }
}
