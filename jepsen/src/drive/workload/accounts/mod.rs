//! `accounts`: people sign up, log in, renew their sessions and lose them again, on all nodes at
//! once; and two admins demote each other.
//!
//! Each [`Story`] sends its requests in batches. All clients work on the batches of all stories, so
//! the requests of one batch run at the same time; when the last of them has its answer, the story
//! goes on.

mod arrival;
mod cast;
mod duel;
mod life;
pub(super) mod mailbox;

use std::collections::VecDeque;
use std::fmt::Debug;
use std::time::Duration;

use self::cast::Cast;
use self::duel::Duel;
use self::life::Life;
use super::{IDLE, Route, Sale, Step, Workload, WorkloadConfig};
use crate::record::invocation::{Invocation, Reply};

/// Lives at the same time.
const LIVES: usize = 4;

/// Requests that are sent at once, each with the number of its node.
type Batch = Vec<(Invocation, usize)>;

/// What a story does next.
#[derive(Debug)]
enum Next {
    Send(Batch),
    /// Asks again in a while.
    Wait,
    Over,
}

/// One after another, with all replies to the last batch in its order.
trait Story: Debug + Send {
    fn next(&mut self, cast: &mut Cast, replies: &[Reply]) -> Next;
}

/// A story, and its current batch.
#[derive(Debug)]
struct Stage {
    story: Box<dyn Story>,
    replies: Vec<Option<Reply>>,
    waits_until: Duration,
}

impl Stage {
    fn new(story: impl Story + 'static) -> Self {
        Self { story: Box::new(story), replies: Vec::new(), waits_until: Duration::ZERO }
    }
}

/// Whose request a client has sent: the stage, and the place in its batch.
type Place = (usize, usize);

/// How long a story waits for mail before it looks again.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The workload.
#[derive(Debug)]
pub(super) struct Accounts {
    cast: Cast,
    stages: Vec<Stage>,
    ready: VecDeque<(Place, Invocation, usize)>,
    in_flight: Vec<Option<Place>>,
    closing: bool,
}

impl Accounts {
    pub(super) fn new(config: WorkloadConfig) -> Self {
        let in_flight = vec![None; config.buyers()];
        let mut cast = Cast::new(config);
        let mut stages = vec![Stage::new(Duel::new(&mut cast))];
        stages.extend((0..LIVES).map(|_| Stage::new(Life::new(&mut cast))));
        Self { cast, stages, ready: VecDeque::new(), in_flight, closing: false }
    }

    /// Lets every story go on that can.
    fn advance(&mut self) {
        for (at, stage) in self.stages.iter_mut().enumerate() {
            let is_open = stage.replies.iter().any(Option::is_none);
            if is_open || self.cast.now < stage.waits_until {
                continue;
            }
            let replies: Vec<Reply> = stage.replies.iter().flatten().cloned().collect();
            match stage.story.next(&mut self.cast, &replies) {
                Next::Send(batch) => {
                    stage.replies = vec![None; batch.len()];
                    let places = batch.into_iter().enumerate();
                    self.ready.extend(places.map(|(place, (it, node))| ((at, place), it, node)));
                }
                Next::Wait => stage.waits_until = self.cast.now + LOOK_EVERY,
                Next::Over => *stage = Stage::new(Life::new(&mut self.cast)),
            }
        }
    }
}

impl Workload for Accounts {
    fn clients(&self) -> usize {
        self.in_flight.len()
    }

    fn next(&mut self, client: usize, now: Duration) -> Step {
        if self.closing {
            return Step::Done;
        }
        self.cast.now = now;
        if self.ready.is_empty() {
            self.advance();
        }
        let Some((place, invocation, node)) = self.ready.pop_front() else {
            return Step::Wait(IDLE);
        };
        if let Some(sent) = self.in_flight.get_mut(client) {
            *sent = Some(place);
        }
        Step::Invoke(invocation, Route::Node(node))
    }

    fn on_reply(&mut self, client: usize, _: &Invocation, reply: &Reply) {
        let Some((stage, place)) = self.in_flight.get_mut(client).and_then(Option::take) else {
            return;
        };
        let replies = self.stages.get_mut(stage).map(|stage| &mut stage.replies);
        if let Some(slot) = replies.and_then(|replies| replies.get_mut(place)) {
            *slot = Some(reply.clone());
        }
    }

    fn close(&mut self) {
        self.closing = true;
    }

    fn sales(&self) -> Vec<Sale> {
        Vec::new()
    }
}
