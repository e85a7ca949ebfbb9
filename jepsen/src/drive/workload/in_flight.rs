//! What a client is at: one ask, sent until its outcome is known or its client gives up.

use std::time::Duration;

use super::{Route, Step};
use crate::record::invocation::{Invocation, Reply};

/// How often a patient client sends one key.
const SENDS_MAX: usize = 20;
/// After so many early refusals the traces in the dump must tell.
const RESTS_MAX: usize = 4;
/// Until a node may not refuse from the same read any more, and a little longer.
const REST: Duration = Duration::from_millis(250);

/// How long a client stays with an ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RetryPolicy {
    /// For one answer, whatever it is.
    Once,
    /// For a while; afterwards the traces in the dump must tell.
    Limited,
    /// Until the outcome is known: nothing else would tell it.
    UntilKnown,
    /// The same, but it believes that what is told not to have happened never will: somebody
    /// must, or an answer that lies about it goes unnoticed.
    TrustFailure,
}

#[derive(Clone, Debug)]
struct InFlightRequest<B> {
    invocation: Invocation,
    pending: B,
    policy: RetryPolicy,
    /// Where it is sent again.
    again: Route,
    sends: usize,
    /// Some attempt may have taken effect.
    doubt: bool,
    /// The latest answer leaves that doubt; what is asked at once again hears the same.
    rests: bool,
    /// How often it was so.
    rested: usize,
}

/// The errands of all clients, with what each needs to remember meanwhile.
#[derive(Clone, Debug)]
pub(super) struct InFlight<B>(Vec<Option<InFlightRequest<B>>>);

impl<B> InFlight<B> {
    pub(super) fn new(clients: usize) -> Self {
        Self((0..clients).map(|_| None).collect())
    }

    /// Sends a client off.
    pub(super) fn begin(
        &mut self,
        client: usize,
        (invocation, pending): (Invocation, B),
        policy: RetryPolicy,
        at: Route,
    ) -> Step {
        let again = if matches!(at, Route::Node(_)) { at } else { Route::Other };
        if let Some(place) = self.0.get_mut(client) {
            let invocation = invocation.clone();
            *place = Some(InFlightRequest {
                invocation,
                pending,
                policy,
                again,
                sends: 1,
                doubt: false,
                rests: false,
                rested: 0,
            });
        }
        Step::Invoke(invocation, at)
    }

    /// What the client still has to send again, after a rest where it needs one.
    pub(super) fn open(&mut self, client: usize) -> Option<Step> {
        let request = self.0.get_mut(client)?.as_mut()?;
        if std::mem::take(&mut request.rests) {
            return Some(Step::Wait(REST));
        }
        Some(Step::Invoke(request.invocation.clone(), request.again))
    }

    /// Whether no client is under way.
    pub(super) fn all_done(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Takes the answer to the latest attempt; answers what is known in the end, once it is. An early
    /// refusal leaves no receipt: a copy whose answer was lost may still be decided otherwise.
    pub(super) fn on_reply(&mut self, client: usize, reply: &Reply) -> Option<(B, Reply)> {
        let place = self.0.get_mut(client)?;
        let request = place.as_mut()?;
        request.doubt |= *reply == Reply::Unknown;
        request.rests = request.doubt && reply.is_early();
        request.rested += usize::from(request.rests);
        let known = reply.is_known() && !request.rests;
        let limit = match request.policy {
            RetryPolicy::Once => 1,
            // A sale that is sold out for good would answer so for ever.
            _ if request.rested >= RESTS_MAX => 1,
            RetryPolicy::Limited => SENDS_MAX,
            RetryPolicy::TrustFailure if *reply == Reply::Never && !request.doubt => request.sends,
            RetryPolicy::UntilKnown | RetryPolicy::TrustFailure => usize::MAX,
        };
        if !known && request.sends < limit {
            request.sends += 1;
            return None;
        }
        let InFlightRequest { pending, doubt, .. } = place.take()?;
        let reply = if !known && doubt { Reply::Unknown } else { reply.clone() };
        Some((pending, reply))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::invocation;

    fn refused(early: bool) -> Reply {
        Reply::Refused { code: "sold_out".into(), rev: 7, early }
    }

    /// What a client is told in the end, and how often it rests meanwhile.
    fn ends(policy: RetryPolicy, answers: &[Reply]) -> (Option<Reply>, usize) {
        let mut in_flight = InFlight::new(1);
        in_flight.begin(0, (invocation::stock("token", "sal_1"), ()), policy, Route::Other);
        let mut rests = 0;
        for reply in answers {
            if let Some(((), reply)) = in_flight.on_reply(0, reply) {
                return (Some(reply), rests);
            }
            if matches!(in_flight.open(0), Some(Step::Wait(_))) {
                rests += 1;
                assert!(
                    matches!(in_flight.open(0), Some(Step::Invoke(..))),
                    "one rest, then it asks"
                );
            }
        }
        (None, rests)
    }

    #[test]
    fn an_early_refusal_is_an_answer_unless_an_earlier_copy_may_have_run() {
        let (early, decided) = (refused(true), refused(false));
        for policy in [RetryPolicy::Once, RetryPolicy::Limited, RetryPolicy::UntilKnown] {
            assert_eq!(ends(policy, std::slice::from_ref(&early)), (Some(early.clone()), 0));
        }
        let answers = [Reply::Unknown, early.clone(), Reply::Never, early.clone(), decided.clone()];
        assert_eq!(ends(RetryPolicy::UntilKnown, &answers), (Some(decided), 2));
        let answers = [vec![Reply::Unknown], vec![early; RESTS_MAX]].concat();
        assert_eq!(ends(RetryPolicy::UntilKnown, &answers), (Some(Reply::Unknown), RESTS_MAX - 1));
        assert_eq!(ends(RetryPolicy::Limited, &answers), (Some(Reply::Unknown), RESTS_MAX - 1));
    }
}
