//! Raising the feature level: one step at a time, never back.

use super::command::FeatureLevelRaise;
use super::row::FeatureLevel;
use crate::draft::Draft;
use crate::field;
use crate::kernel::actor::Actor;
use crate::kernel::value::RowStamp;
use crate::kernel::version::Level;
use crate::outcome::{Done, Refusal};
use crate::permission::Needs;
use crate::rule::Rule;
use crate::view::View;

impl Rule for FeatureLevelRaise {
    fn needs(&self) -> Needs {
        Needs::Admin
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        let next = draft.level().0.saturating_add(1);
        field::require(self.to == next && Level(self.to) <= Level::KNOWN, "/to", "out_of_range")?;
        draft.put(FeatureLevel { level: self.to, row: RowStamp::default() });
        Ok(Done::FeatureLevel(self.to))
    }
}
