//! Requests in flight: each client has at most one, sent until its outcome is known or the client
//! gives up.

use std::time::Duration;

use super::{Route, Step};
use crate::record::invocation::{Invocation, Reply};

/// How often one key is sent under [`RetryPolicy::Limited`].
const SENDS_MAX: usize = 20;
/// After this many early refusals in doubt the client gives up; the dump shows the outcome.
const RESTS_MAX: usize = 4;
/// The age limit of an early refusal, and a little more.
const REST: Duration = Duration::from_millis(250);

/// How long a client retries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum RetryPolicy {
    /// Never: it takes the first response, whatever it is.
    Once,
    /// For a while; after that the dump shows the outcome.
    Limited,
    /// Until the outcome is known, because no dump would show it.
    UntilKnown,
    /// The same, but trusts a node that says the request was not executed. Somebody must, or a node
    /// that lies about it goes unnoticed.
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
    /// The latest response leaves that doubt, and would be the same if asked again at once.
    rests: bool,
    /// How often that happened.
    rested: usize,
}

/// The requests of all clients, with what each client needs to remember meanwhile.
#[derive(Clone, Debug)]
pub(super) struct InFlight<B>(Vec<Option<InFlightRequest<B>>>);

impl<B> InFlight<B> {
    pub(super) fn new(clients: usize) -> Self {
        Self((0..clients).map(|_| None).collect())
    }

    /// Starts a request.
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

    /// What the client must send again, after a pause if it needs one.
    pub(super) fn open(&mut self, client: usize) -> Option<Step> {
        let request = self.0.get_mut(client)?.as_mut()?;
        if std::mem::take(&mut request.rests) {
            return Some(Step::Wait(REST));
        }
        Some(Step::Invoke(request.invocation.clone(), request.again))
    }

    /// Whether no request is in flight.
    pub(super) fn all_done(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Takes the response to the latest attempt; returns the outcome once it is known. An early
    /// refusal leaves no receipt, so a copy whose response was lost may still be decided otherwise.
    pub(super) fn on_reply(&mut self, client: usize, reply: &Reply) -> Option<(B, Reply)> {
        let place = self.0.get_mut(client)?;
        let request = place.as_mut()?;
        request.doubt |= *reply == Reply::Unknown;
        request.rests = request.doubt && reply.is_early();
        request.rested += usize::from(request.rests);
        let known = reply.is_known() && !request.rests;
        let limit = match request.policy {
            RetryPolicy::Once => 1,
            // A sale that is sold out for good would answer like this forever.
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

    /// The outcome, and how often the client pauses on the way.
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
