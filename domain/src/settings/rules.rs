//! Changing the settings.

use super::command::SettingsUpdate;
use crate::draft::Draft;
use crate::field;
use crate::journal::event::Fact;
use crate::kernel::actor::Actor;
use crate::outcome::{Done, Refusal};
use crate::permission::Needs;
use crate::rule::Rule;
use crate::view::View;

impl Rule for SettingsUpdate {
    fn needs(&self) -> Needs {
        Needs::Admin
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        update(draft, self)
    }
}

/// Replaces all settings; statuses entered from now on follow them.
fn update<V: View>(draft: &mut Draft<'_, V>, ask: &SettingsUpdate) -> Result<Done, Refusal> {
    if let Some(wrong) = ask.settings.out_of_range() {
        return Err(field::invalid(format!("/{}", wrong.field), "out_of_range"));
    }
    field::version(draft.settings().row, Some(ask.if_version))?;
    let settings = draft.put(ask.settings);
    draft.publish(Fact::SettingsChanged);
    Ok(Done::Settings(Box::new(*settings)))
}
