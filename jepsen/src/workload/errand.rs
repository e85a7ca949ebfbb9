//! What a client is at: one ask, sent until its outcome is known or its client gives up.

use std::time::Duration;

use super::{At, Step};
use crate::ask::{Ask, Told};

/// How often a patient client sends one key.
const SENDS_MAX: usize = 20;
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
            *place =
                Some(Errand { ask, busy, patience, again, sends: 1, doubt: false, rests: false });
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
        let known = told.is_known() && !errand.rests;
        let limit = match errand.patience {
            Patience::Once => 1,
            Patience::Patient => SENDS_MAX,
            // A sale that is sold out for good would answer so for ever.
            _ if errand.rests => SENDS_MAX,
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
