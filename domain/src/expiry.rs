//! Expiry: sessions, e-mail codes and failed effects that no longer count are dropped by a Tick.
//!
//! This only saves space: rules compare expiry times with log time themselves.

use crate::draft::Draft;
use crate::effect::row::{Effect, EffectsFailed};
use crate::email_code::row::{EmailCode, EmailCodesByEnd};
use crate::kernel::id::{EffectId, SessionId};
use crate::kernel::value::Millis;
use crate::session::row::{Session, SessionsByEnd};
use crate::view::View;

const FIRST: Millis = Millis::new(i64::MIN);

/// Whether a Tick would drop a row.
pub fn is_due(view: &impl View, now: Millis) -> bool {
    !sessions(view, now, 1).is_empty()
        || !codes(view, now, 1).is_empty()
        || !effects(view, now, 1).is_empty()
}

/// Drops at most `room` rows; answers how many.
pub(crate) fn run<V: View>(draft: &mut Draft<'_, V>, room: usize) -> usize {
    let (now, mut left) = (draft.now(), room);
    for (_, id) in sessions(draft.base(), now, left) {
        draft.delete::<Session>(id);
        left = left.saturating_sub(1);
    }
    for (_, key) in codes(draft.base(), now, left) {
        draft.delete::<EmailCode>(key);
        left = left.saturating_sub(1);
    }
    for (_, id) in effects(draft.base(), now, left) {
        draft.delete::<Effect>(id);
        left = left.saturating_sub(1);
    }
    room.saturating_sub(left)
}

fn sessions(view: &impl View, now: Millis, limit: usize) -> Vec<(Millis, SessionId)> {
    let last = (now, SessionId::new(u128::MAX));
    view.scan::<SessionsByEnd>((FIRST, SessionId::new(0)), last, limit)
}

fn codes(view: &impl View, now: Millis, limit: usize) -> Vec<(Millis, (u8, [u8; 32]))> {
    let last = (now, (u8::MAX, [u8::MAX; 32]));
    view.scan::<EmailCodesByEnd>((FIRST, (0, [0; 32])), last, limit)
}

fn effects(view: &impl View, now: Millis, limit: usize) -> Vec<(Millis, EffectId)> {
    let last = (now, EffectId::new(u128::MAX));
    view.scan::<EffectsFailed>((FIRST, EffectId::new(0)), last, limit)
}
