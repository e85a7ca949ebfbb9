//! Creating effects and recording the results.

use super::command::{Attempt, EffectReport};
use super::row::{Effect, Mail, Notice};
use crate::draft::Draft;
use crate::field;
use crate::kernel::actor::Actor;
use crate::kernel::id::{EffectId, UserId, derived};
use crate::kernel::value::{RowStamp, Sealed};
use crate::outcome::{Done, Refusal};
use crate::permission::Needs;
use crate::rule::Rule;
use crate::view::View;

/// How long a mail is tried.
const GIVE_UP_AFTER_MS: i64 = 24 * HOUR;
/// The longest wait between two attempts.
const WAIT_MAX_MS: i64 = HOUR;
/// How long a failed effect is shown.
const FAILED_LIFE_MS: i64 = 7 * 24 * HOUR;
/// Characters of a code.
const CODE_CHARS_MAX: usize = 64;

const HOUR: i64 = 60 * 60 * 1000;

impl Rule for EffectReport {
    fn needs(&self) -> Needs {
        Needs::Node
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        report(draft, self)
    }
}

/// Notifies a user by mail; at most once per decision.
pub(crate) fn notify<V: View>(draft: &mut Draft<'_, V>, user: UserId, notice: Notice) {
    let id = EffectId::new(derived(draft.stamp(), 0));
    mail(draft, id, Mail::Notice { user, notice });
}

/// Has a mail sent.
pub(crate) fn mail<V: View>(draft: &mut Draft<'_, V>, id: EffectId, mail: Mail) {
    let now = draft.now();
    let give_up_at = match &mail {
        Mail::Letter { expires_at, .. } => *expires_at,
        Mail::Notice { .. } => now.plus(GIVE_UP_AFTER_MS),
    };
    draft.put(Effect {
        id,
        mail,
        attempts: 0,
        next_at: now,
        give_up_at,
        last_code: None,
        failed: false,
        row: RowStamp::default(), // The draft sets it.
    });
}

/// Takes note of an attempt. One that was reported already changes nothing.
fn report<V: View>(draft: &mut Draft<'_, V>, ask: &EffectReport) -> Result<Done, Refusal> {
    let now = draft.now();
    let effect = draft.get::<Effect>(ask.id);
    let Some(effect) = effect.filter(|it| !it.failed && it.attempts == ask.attempts) else {
        return Ok(Done::Accepted);
    };
    let (code, next_at) = match &ask.attempt {
        Attempt::Done => {
            draft.delete::<Effect>(ask.id);
            return Ok(Done::Accepted);
        }
        Attempt::Retry { wait_ms, code } => {
            field::require((0..=WAIT_MAX_MS).contains(wait_ms), "/wait_ms", "out_of_range")?;
            (code, Some(now.plus(*wait_ms)))
        }
        Attempt::Failed { code } => (code, None),
    };
    field::text("/code", code, CODE_CHARS_MAX)?;
    let next_at = next_at.filter(|at| *at < effect.give_up_at);
    let mail = match &effect.mail {
        // It will not be sent, so its content is dropped.
        Mail::Letter { expires_at, .. } if next_at.is_none() => {
            Mail::Letter { sealed: Sealed(Vec::new()), expires_at: *expires_at }
        }
        mail @ (Mail::Letter { .. } | Mail::Notice { .. }) => mail.clone(),
    };
    draft.put(Effect {
        mail,
        attempts: effect.attempts.saturating_add(1),
        next_at: next_at.unwrap_or_else(|| now.plus(FAILED_LIFE_MS)),
        last_code: Some(code.clone()),
        failed: next_at.is_none(),
        ..(*effect).clone()
    });
    Ok(Done::Accepted)
}
