//! How somebody gets an account: a code by mail, wrong tries of it, the right one on two nodes at
//! once, three sign-ups for one address, and a first login.

use std::time::Duration;

use super::cast::{Cast, all_never, login_of};
use super::{Batch, Next};
use crate::record::account::{self, Login, Person};
use crate::record::invocation::{Invocation, Reply};

/// How long a mail may take: its leader may have been killed.
const MAIL_LIMIT: Duration = Duration::from_secs(20);
/// The same for a mail that may never have been asked for.
const DOUBTFUL_MAIL_LIMIT: Duration = Duration::from_secs(4);
/// How often a step is repeated.
pub(super) const TRIES: u64 = 10;
/// Wrong tries that certainly use a code up, even if one gets no answer.
const TOO_MANY: u64 = 6;
/// Wrong tries that do not.
const FEW: u64 = 4;
/// Sign-ups for one address.
const RACE: usize = 3;

/// Until when somebody waits for the mail that they asked for.
pub(super) fn mail_until(now: Duration, asked: Option<&Reply>) -> Duration {
    let is_sure = matches!(asked, Some(Reply::Done { .. }));
    now + if is_sure { MAIL_LIMIT } else { DOUBTFUL_MAIL_LIMIT }
}

/// What an arrival waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Begin,
    Verify,
    Mail,
    Guess,
    Confirm,
    SignUp,
    Login,
}

/// What comes of it.
pub(super) enum Progress {
    Next(Next),
    /// They are logged in.
    In(Login),
}

/// Somebody on the way in.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) person: Person,
    wrong: u64,
    step: Step,
    tries: u64,
    mail_until: Duration,
    code: String,
    token: String,
}

impl Arrival {
    /// Somebody who may try a code too often, and then never arrives.
    pub(super) fn new(cast: &mut Cast) -> Self {
        let wrong = if cast.seed.below(3) == 0 { TOO_MANY } else { cast.seed.between(0, FEW) };
        Self { wrong, ..Self::careful(cast) }
    }

    /// Somebody who types the right code.
    pub(super) fn careful(cast: &mut Cast) -> Self {
        let (code, token) = (String::new(), String::new());
        let person = cast.person();
        Self {
            person,
            wrong: 0,
            step: Step::Begin,
            tries: 0,
            mail_until: Duration::ZERO,
            code,
            token,
        }
    }

    pub(super) fn next(&mut self, cast: &mut Cast, replies: &[Reply]) -> Progress {
        Progress::Next(match self.step {
            Step::Begin => self.send(Step::Verify, cast.send(account::verify(&self.person.email))),
            Step::Verify if all_never(replies) => self.again(Step::Begin),
            // A request without an answer is not repeated: a second code would void the first.
            Step::Verify => {
                self.step = Step::Mail;
                self.mail_until = mail_until(cast.now, replies.first());
                Next::Wait
            }
            Step::Mail => self.mail(cast),
            Step::Guess => {
                let right = account::guess(&self.person.email, &self.code, true);
                self.send(Step::Confirm, cast.spread([right.clone(), right]))
            }
            Step::Confirm if all_never(replies) => self.again(Step::Guess),
            Step::Confirm => match replies.iter().find_map(|reply| reply.text("token")) {
                Some(token) => {
                    token.clone_into(&mut self.token);
                    self.sign_up(cast)
                }
                None => Next::Over,
            },
            Step::SignUp if all_never(replies) && self.tries < TRIES => {
                self.tries += 1;
                self.sign_up(cast)
            }
            Step::SignUp => self.send(Step::Login, cast.send(account::login(&self.person))),
            Step::Login => match (login_of(replies), replies) {
                (Some(login), _) => return Progress::In(login),
                (None, [Reply::Refused { .. }]) => Next::Over,
                (None, _) if self.tries < TRIES => {
                    self.tries += 1;
                    self.send(Step::Login, cast.send(account::login(&self.person)))
                }
                (None, _) => Next::Over,
            },
        })
    }

    fn send(&mut self, step: Step, batch: Batch) -> Next {
        self.step = step;
        Next::Send(batch)
    }

    /// Does this step again, a little later.
    fn again(&mut self, step: Step) -> Next {
        self.tries += 1;
        self.step = step;
        if self.tries < TRIES { Next::Wait } else { Next::Over }
    }

    fn mail(&mut self, cast: &mut Cast) -> Next {
        let Some(code) = cast.mail.code(&self.person.email) else {
            return if cast.now < self.mail_until { Next::Wait } else { Next::Over };
        };
        let right: u64 = code.parse().unwrap_or_default();
        self.code = code;
        let wrong = |off: u64| {
            let code = format!("{:06}", (right + off) % 1_000_000);
            account::guess(&self.person.email, &code, false)
        };
        let guesses: Vec<Invocation> = (1..=self.wrong).map(wrong).collect();
        self.step = Step::Guess;
        if guesses.is_empty() { Next::Wait } else { Next::Send(cast.spread(guesses)) }
    }

    fn sign_up(&mut self, cast: &mut Cast) -> Next {
        let one = account::sign_up(&self.person, &self.token);
        self.send(Step::SignUp, cast.spread(vec![one; RACE]))
    }
}
