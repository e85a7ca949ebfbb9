//! Raising the feature level: one step at a time, never back.
//!
//! Every release must decide this the same way, even one that does not know the level: it stops
//! when the decision is applied ([`crate::decide::unavailable`] keeps its own nodes from asking for such a
//! level). So the level that this release knows is no part of the rule.

use super::command::FeatureLevelRaise;
use super::row::FeatureLevel;
use crate::draft::Draft;
use crate::field;
use crate::kernel::actor::Actor;
use crate::kernel::value::RowStamp;
use crate::outcome::{Done, Refusal};
use crate::permission::Needs;
use crate::rule::Rule;
use crate::view::View;

/// Names of releases are short.
const RELEASE_CHARS_MAX: usize = 64;

impl Rule for FeatureLevelRaise {
    fn needs(&self) -> Needs {
        Needs::Admin
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        let next = draft.level().0.saturating_add(1);
        field::require(self.to == next, "/to", "out_of_range")?;
        field::text("/release", &self.release, RELEASE_CHARS_MAX)?;
        let (level, release) = (self.to, self.release.clone());
        draft.put(FeatureLevel { level, release, row: RowStamp::default() });
        Ok(Done::FeatureLevel(self.to))
    }
}
