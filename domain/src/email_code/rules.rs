//! Requesting and confirming codes.

use std::sync::Arc;

use super::command::{EmailCodeConfirm, EmailCodeRequest};
use super::row::{
    CODE_LIFE_MS, CodePurpose, EmailCode, PROOF_LIFE_MS, Proof, RESEND_AFTER_MS, SENDS_MAX,
    SENDS_WITHIN_MS,
};
use crate::draft::Draft;
use crate::effect::row::{Effect, Mail, Notice};
use crate::effect::rules as effect;
use crate::field;
use crate::kernel::actor::Actor;
use crate::kernel::value::{Millis, RowStamp, SEALED_BYTES_MAX, Sealed};
use crate::outcome::{Done, Refusal};
use crate::permission::Needs;
use crate::rule::Rule;
use crate::seeded::accounts as seeded;
use crate::user::find::by_email;
use crate::user::row::User;
use crate::view::View;

impl Rule for EmailCodeRequest {
    fn needs(&self) -> Needs {
        Needs::Anyone
    }

    fn sealed(&self) -> Option<&Sealed> {
        Some(&self.letter)
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        request(draft, self)
    }
}

impl Rule for EmailCodeConfirm {
    fn needs(&self) -> Needs {
        Needs::Anyone
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        confirm(draft, self)
    }
}

/// Sends a code, and makes the one before useless. For signing up, an address that has an account
/// is told so by mail instead; for a new password, one that has none gets nothing. The outcome is
/// the same in all cases.
fn request<V: View>(draft: &mut Draft<'_, V>, ask: &EmailCodeRequest) -> Result<Done, Refusal> {
    field::require(ask.letter.0.len() <= SEALED_BYTES_MAX, "", "too_long")?;
    let now = draft.now();
    let before = draft.get::<EmailCode>(EmailCode::key_of((ask.purpose, ask.email)));
    let (counted_from, sends) = may_send(before.as_deref(), draft)?;
    if draft.get::<Effect>(ask.effect).is_some() {
        return Err(Refusal::IdInUse);
    }
    let owner = by_email(draft.base(), ask.email).and_then(|id| draft.get::<User>(id));
    let is_sent = match ask.purpose {
        CodePurpose::SignUp => owner.is_none(),
        CodePurpose::PasswordReset => match &owner {
            Some(user) => user.is_active(),
            None => return Ok(Done::Accepted),
        },
    };
    // A code that is not sent expires at once, but the request still counts.
    let expires_at = if is_sent { now.plus(CODE_LIFE_MS) } else { now };
    draft.put(EmailCode {
        purpose: ask.purpose,
        email: ask.email,
        mac: ask.mac,
        attempts: 0,
        sent_at: now,
        expires_at,
        counted_from,
        sends,
        proof: None,
        row: RowStamp::default(), // The draft sets it.
    });
    if is_sent {
        let letter = Mail::Letter { sealed: ask.letter.clone(), expires_at };
        effect::mail(draft, ask.effect, letter);
    } else if let (CodePurpose::SignUp, Some(user)) = (ask.purpose, owner) {
        effect::notify(draft, user.id, Notice::AlreadyRegistered);
    }
    Ok(Done::Accepted)
}

/// The start of the counting period, and the number of codes in it including this one.
fn may_send<V: View>(
    before: Option<&EmailCode>,
    draft: &Draft<'_, V>,
) -> Result<(Millis, u32), Refusal> {
    let now = draft.now();
    let Some(before) = before else { return Ok((now, 1)) };
    let next = before.sent_at.plus(RESEND_AFTER_MS);
    if now < next {
        return Err(Refusal::CodeTooSoon { until: next });
    }
    let counted_until = before.counted_from.plus(SENDS_WITHIN_MS);
    if counted_until <= now {
        return Ok((now, 1));
    }
    if before.sends >= SENDS_MAX {
        return Err(Refusal::CodeTooMany { until: counted_until });
    }
    Ok((before.counted_from, before.sends.saturating_add(1)))
}

/// Exchanges the right code for a proof, once. A wrong one counts, whatever node it was typed at.
fn confirm<V: View>(draft: &mut Draft<'_, V>, ask: &EmailCodeConfirm) -> Result<Done, Refusal> {
    let now = draft.now();
    let key = EmailCode::key_of((CodePurpose::SignUp, ask.email));
    let code = draft.get::<EmailCode>(key).filter(|code| code.is_live(now));
    let code = code.ok_or(Refusal::CodeInvalid)?;
    if !code.matches(&ask.mac) {
        let attempts = code.attempts.saturating_add(seeded::one_try());
        draft.put(EmailCode { attempts, ..(*code).clone() });
        return Err(Refusal::CodeInvalid);
    }
    let proof = Proof { hash: ask.proof, expires_at: now.plus(PROOF_LIFE_MS) };
    let code = Arc::unwrap_or_clone(code);
    draft.put(EmailCode { proof: Some(proof), expires_at: now, ..code });
    Ok(Done::Accepted)
}
