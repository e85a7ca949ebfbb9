//! What a client is at: one ask, sent until its outcome is known or its client gives up.

use std::time::Duration;

use super::{At, Step};
use crate::ask::{Ask, Told};

/// How often a patient client sends one key.
const SENDS_MAX: usize = 20;
/// After so many early refusals the traces in the dump must tell.
const RESTS_MAX: usize = 4;
/// Until a node may not refuse from the same read any more, and a little longer.
const REST: Duration = Duration::from_millis(250);

/// How long a client stays with an ask.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Patience {
    /// For one answer, whatever it is.
    Once,
    /// For a while; afterwards the traces in the dump must tell.
    Patient,
    /// Until the outcome is known: nothing else would tell it.
    Endless,
    /// The same, but it believes that what is told not to have happened never will: somebody
    /// must, or an answer that lies about it goes unnoticed.
    Believing,
}

#[derive(Clone, Debug)]
struct Errand<B> {
    ask: Ask,
    busy: B,
    patience: Patience,
    /// Where it is sent again.
    again: At,
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
pub(super) struct Errands<B>(Vec<Option<Errand<B>>>);

impl<B> Errands<B> {
    pub(super) fn new(clients: usize) -> Self {
        Self((0..clients).map(|_| None).collect())
    }

    /// Sends a client off.
    pub(super) fn begin(
        &mut self,
        client: usize,
        (ask, busy): (Ask, B),
        patience: Patience,
        at: At,
    ) -> Step {
        let again = if matches!(at, At::Node(_)) { at } else { At::Other };
        if let Some(place) = self.0.get_mut(client) {
            let ask = ask.clone();
            *place = Some(Errand {
                ask,
                busy,
                patience,
                again,
                sends: 1,
                doubt: false,
                rests: false,
                rested: 0,
            });
        }
        Step::Ask(ask, at)
    }

    /// What the client still has to send again, after a rest where it needs one.
    pub(super) fn open(&mut self, client: usize) -> Option<Step> {
        let errand = self.0.get_mut(client)?.as_mut()?;
        if std::mem::take(&mut errand.rests) {
            return Some(Step::Wait(REST));
        }
        Some(Step::Ask(errand.ask.clone(), errand.again))
    }

    /// Whether no client is under way.
    pub(super) fn all_done(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Takes the answer to the latest attempt; answers what is known in the end, once it is. An early
    /// refusal leaves no receipt: a copy whose answer was lost may still be decided otherwise.
    pub(super) fn told(&mut self, client: usize, told: &Told) -> Option<(B, Told)> {
        let place = self.0.get_mut(client)?;
        let errand = place.as_mut()?;
        errand.doubt |= *told == Told::Unknown;
        errand.rests = errand.doubt && told.is_early();
        errand.rested += usize::from(errand.rests);
        let known = told.is_known() && !errand.rests;
        let limit = match errand.patience {
            Patience::Once => 1,
            // A sale that is sold out for good would answer so for ever.
            _ if errand.rested >= RESTS_MAX => 1,
            Patience::Patient => SENDS_MAX,
            Patience::Believing if *told == Told::Never && !errand.doubt => errand.sends,
            Patience::Endless | Patience::Believing => usize::MAX,
        };
        if !known && errand.sends < limit {
            errand.sends += 1;
            return None;
        }
        let Errand { busy, doubt, .. } = place.take()?;
        let told = if !known && doubt { Told::Unknown } else { told.clone() };
        Some((busy, told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask;

    fn refused(early: bool) -> Told {
        Told::Refused { code: "sold_out".into(), rev: 7, early }
    }

    /// What a client is told in the end, and how often it rests meanwhile.
    fn ends(patience: Patience, answers: &[Told]) -> (Option<Told>, usize) {
        let mut errands = Errands::new(1);
        errands.begin(0, (ask::stock("token", "sal_1"), ()), patience, At::Other);
        let mut rests = 0;
        for told in answers {
            if let Some(((), told)) = errands.told(0, told) {
                return (Some(told), rests);
            }
            if matches!(errands.open(0), Some(Step::Wait(_))) {
                rests += 1;
                assert!(matches!(errands.open(0), Some(Step::Ask(..))), "one rest, then it asks");
            }
        }
        (None, rests)
    }

    #[test]
    fn an_early_refusal_is_an_answer_unless_an_earlier_copy_may_have_run() {
        let (early, decided) = (refused(true), refused(false));
        for patience in [Patience::Once, Patience::Patient, Patience::Endless] {
            assert_eq!(ends(patience, std::slice::from_ref(&early)), (Some(early.clone()), 0));
        }
        let answers = [Told::Unknown, early.clone(), Told::Never, early.clone(), decided.clone()];
        assert_eq!(ends(Patience::Endless, &answers), (Some(decided), 2));
        let answers = [vec![Told::Unknown], vec![early; RESTS_MAX]].concat();
        assert_eq!(ends(Patience::Endless, &answers), (Some(Told::Unknown), RESTS_MAX - 1));
        assert_eq!(ends(Patience::Patient, &answers), (Some(Told::Unknown), RESTS_MAX - 1));
    }
}
