//! A circuit breaker: keeps mail away from a transport that does not work.
//!
//! It opens when a few attempts in a row fail, lets one probe through after a pause, and closes when
//! that succeeds. Pauses double from one failed probe to the next. It is pure: time and chance are
//! passed in.

use std::time::Duration;

use tokio::time::Instant;

/// This many failures in a row open the breaker: one may be an accident.
const FAILURES_MAX: u32 = 3;
/// The first pause. Each may be up to a quarter longer.
const PAUSE_MIN: Duration = Duration::from_secs(5);
/// The longest pause, so that it ends within five minutes.
const PAUSE_MAX: Duration = Duration::from_mins(4);

/// Whether attempts are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BreakerState {
    /// As usual.
    Closed,
    /// Not until the pause is over.
    Open,
    /// One, to see whether the transport works again.
    HalfOpen,
}

/// The breaker, for people and metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BreakerView {
    pub(crate) state: BreakerState,
    /// Failures in a row.
    pub(crate) failures: u32,
    /// How long until an open breaker lets a probe through.
    pub(crate) retry_in: Option<Duration>,
}

/// What an attempt says about the transport.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// It works.
    Works,
    /// It did not work this time.
    Failed,
    /// It cannot work before somebody does something, so there is no point in a second attempt.
    Misconfigured,
    /// Nothing: the attempt was given up.
    Unknown,
}

/// Permission for one attempt. It is to be settled.
#[derive(Debug)]
pub(super) struct Ticket {
    round: u64,
}

/// The breaker of one transport.
#[derive(Debug)]
pub(super) struct Breaker {
    phase: Phase,
    /// In a row.
    failures: u32,
    /// Times that it opened without closing in between.
    openings: u32,
    /// Counts changes of phase: an attempt of an earlier phase says nothing about this one.
    round: u64,
    pause_min: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    Open { until: Instant },
    HalfOpen,
}

impl Default for Breaker {
    fn default() -> Self {
        Self::pausing(PAUSE_MIN)
    }
}

impl Breaker {
    /// A closed breaker whose first pause is this long.
    pub(super) const fn pausing(pause_min: Duration) -> Self {
        Self { phase: Phase::Closed, failures: 0, openings: 0, round: 0, pause_min }
    }

    /// Permits an attempt, or says when to come back.
    pub(super) fn admit(&mut self, now: Instant) -> Result<Ticket, Duration> {
        match self.phase {
            Phase::Open { until } if now < until => return Err(until - now),
            Phase::Open { .. } => self.enter(Phase::HalfOpen),
            Phase::HalfOpen => return Err(self.pause_min),
            Phase::Closed => {}
        }
        Ok(Ticket { round: self.round })
    }

    /// Takes note of an attempt that ended at `now`. `chance` is from 0 to 1.
    #[expect(clippy::needless_pass_by_value, reason = "an attempt is settled once")]
    pub(super) fn settle(&mut self, ticket: Ticket, verdict: Verdict, now: Instant, chance: f64) {
        if ticket.round != self.round {
            return;
        }
        let is_probe = matches!(self.phase, Phase::HalfOpen);
        match verdict {
            Verdict::Works => {
                (self.failures, self.openings) = (0, 0);
                if is_probe {
                    self.enter(Phase::Closed);
                }
            }
            Verdict::Failed | Verdict::Misconfigured => {
                self.failures = self.failures.saturating_add(1);
                let is_enough = self.failures >= FAILURES_MAX || verdict == Verdict::Misconfigured;
                if is_probe || is_enough {
                    let until = now + self.pause(chance);
                    self.openings = self.openings.saturating_add(1);
                    self.enter(Phase::Open { until });
                }
            }
            // The next attempt is the probe.
            Verdict::Unknown if is_probe => self.enter(Phase::Open { until: now }),
            Verdict::Unknown => {}
        }
    }

    pub(super) fn view(&self, now: Instant) -> BreakerView {
        let (state, retry_in) = match self.phase {
            Phase::Closed => (BreakerState::Closed, None),
            Phase::Open { until } => {
                (BreakerState::Open, Some(until.saturating_duration_since(now)))
            }
            Phase::HalfOpen => (BreakerState::HalfOpen, None),
        };
        BreakerView { state, failures: self.failures, retry_in }
    }

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.round = self.round.wrapping_add(1);
    }

    /// The pause of the next opening.
    fn pause(&self, chance: f64) -> Duration {
        let doubled = 1_u32.checked_shl(self.openings).unwrap_or(u32::MAX);
        let pause = self.pause_min.saturating_mul(doubled).min(PAUSE_MAX);
        pause + (pause / 4).mul_f64(chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(state: BreakerState, failures: u32, retry_in: Option<Duration>) -> BreakerView {
        BreakerView { state, failures, retry_in }
    }

    /// One attempt, if it is admitted.
    fn attempt(breaker: &mut Breaker, verdict: Verdict, now: Instant) -> Result<(), Duration> {
        let ticket = breaker.admit(now)?;
        breaker.settle(ticket, verdict, now, 0.0);
        Ok(())
    }

    /// A breaker that has just opened.
    fn open(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..FAILURES_MAX {
            assert_eq!(attempt(&mut breaker, Verdict::Failed, now), Ok(()));
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_it_and_others_do_not() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        for verdict in [
            Verdict::Failed,
            Verdict::Failed,
            Verdict::Works,
            Verdict::Failed,
            Verdict::Unknown,
            Verdict::Failed,
        ] {
            assert_eq!(attempt(&mut breaker, verdict, now), Ok(()));
        }
        assert_eq!(breaker.view(now), view(BreakerState::Closed, 2, None));
        assert_eq!(attempt(&mut breaker, Verdict::Failed, now), Ok(()));
        assert_eq!(breaker.view(now), view(BreakerState::Open, 3, Some(PAUSE_MIN)));
        assert_eq!(attempt(&mut breaker, Verdict::Works, now), Err(PAUSE_MIN));
    }

    #[test]
    fn a_wrong_setting_opens_it_at_once() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        assert_eq!(attempt(&mut breaker, Verdict::Misconfigured, now), Ok(()));
        assert_eq!(breaker.view(now), view(BreakerState::Open, 1, Some(PAUSE_MIN)));
    }

    #[test]
    fn one_probe_goes_through_after_the_pause_and_closes_it() {
        let now = Instant::now();
        let mut breaker = open(now);
        let almost = now + PAUSE_MIN - Duration::from_millis(1);
        assert_eq!(breaker.admit(almost).err(), Some(Duration::from_millis(1)));
        let then = now + PAUSE_MIN;
        let probe = breaker.admit(then).unwrap();
        assert_eq!(breaker.view(then).state, BreakerState::HalfOpen);
        assert!(breaker.admit(then).is_err(), "a second probe");
        breaker.settle(probe, Verdict::Works, then, 0.0);
        assert_eq!(breaker.view(then), view(BreakerState::Closed, 0, None));
        assert_eq!(attempt(&mut breaker, Verdict::Failed, then), Ok(()));
        assert_eq!(breaker.view(then).state, BreakerState::Closed);
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_start_again_after_a_success() {
        let mut now = Instant::now();
        let mut breaker = open(now);
        for seconds in [5, 10, 20, 40, 80, 160, 240, 240] {
            let pause = Duration::from_secs(seconds);
            assert_eq!(breaker.view(now).retry_in, Some(pause));
            now += pause;
            assert_eq!(attempt(&mut breaker, Verdict::Failed, now), Ok(()));
        }
        breaker.openings = u32::MAX;
        assert_eq!(breaker.pause(1.0), Duration::from_mins(5));
        now += Duration::from_mins(5);
        assert_eq!(attempt(&mut breaker, Verdict::Works, now), Ok(()));
        for _ in 0..FAILURES_MAX {
            assert_eq!(attempt(&mut breaker, Verdict::Failed, now), Ok(()));
        }
        assert_eq!(breaker.view(now).retry_in, Some(PAUSE_MIN));
    }

    #[test]
    fn a_probe_that_was_given_up_makes_room_for_the_next() {
        let now = Instant::now();
        let mut breaker = open(now);
        let then = now + PAUSE_MIN;
        assert_eq!(attempt(&mut breaker, Verdict::Unknown, then), Ok(()));
        assert_eq!(breaker.view(then), view(BreakerState::Open, 3, Some(Duration::ZERO)));
        assert_eq!(attempt(&mut breaker, Verdict::Works, then), Ok(()));
        assert_eq!(breaker.view(then).state, BreakerState::Closed);
    }

    #[test]
    fn an_attempt_from_before_it_opened_changes_nothing() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        let (slow, slower) = (breaker.admit(now).unwrap(), breaker.admit(now).unwrap());
        for _ in 0..FAILURES_MAX {
            assert_eq!(attempt(&mut breaker, Verdict::Failed, now), Ok(()));
        }
        breaker.settle(slow, Verdict::Works, now, 0.0);
        breaker.settle(slower, Verdict::Failed, now, 0.0);
        assert_eq!(breaker.view(now), view(BreakerState::Open, 3, Some(PAUSE_MIN)));
    }
}
