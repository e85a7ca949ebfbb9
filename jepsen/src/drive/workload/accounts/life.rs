//! What somebody does with an account: errands, each of which ends a session in another way and then
//! tries it on every node.

use std::time::Duration;

use super::arrival::{Arrival, Progress, TRIES, mail_until};
use super::cast::{Cast, all_never, login_of};
use super::{Batch, Next, Story};
use crate::record::account::{self, Change, Login, Person};
use crate::record::invocation::Reply;

/// Errands of one life.
const ERRANDS: u64 = 6;
/// A role of staff, with what `staff_uses` needs.
const OPERATOR: &str = "operator";
const CUSTOMER: &str = "customer";

/// What is done, step by step; each variant waits for the answers to its own requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Arrive,
    LogIn,
    /// Renewed on all nodes at once; renewed once more; the first token again.
    Renew,
    RenewAgain,
    Copied,
    Logout,
    /// For staff: which version the user has, and the change.
    Look(Errand),
    Change(Errand),
    Issue,
    Reset,
    Mail,
    SetPassword,
    /// Everything was tried that must not work any more: log in again, or go on.
    Ended,
    Unblock,
    Demoted,
}

/// What staff do to a user.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Errand {
    Block,
    Unblock,
    Promote,
    Demote,
}

impl Errand {
    const fn change(self) -> Change {
        match self {
            Self::Block => Change::Blocked(true),
            Self::Unblock => Change::Blocked(false),
            Self::Promote => Change::Role(OPERATOR),
            Self::Demote => Change::Role(CUSTOMER),
        }
    }
}

/// One life.
#[derive(Debug)]
pub(super) struct Life {
    arrival: Arrival,
    step: Step,
    login: Login,
    /// Before it was renewed.
    old: Login,
    /// A token without a refresh token.
    issued: Login,
    reset: String,
    errands: u64,
    was_reset: bool,
    tries: u64,
    mail_until: Duration,
}

impl Life {
    pub(super) fn new(cast: &mut Cast) -> Self {
        Self {
            arrival: Arrival::new(cast),
            step: Step::Arrive,
            login: Login::default(),
            old: Login::default(),
            issued: Login::default(),
            reset: String::new(),
            errands: 0,
            was_reset: false,
            tries: 0,
            mail_until: Duration::ZERO,
        }
    }

    const fn person(&self) -> &Person {
        &self.arrival.person
    }

    fn send(&mut self, step: Step, batch: Batch) -> Next {
        self.step = step;
        Next::Send(batch)
    }

    /// Sends once more what had no answer, or gives up.
    fn retry(&mut self, step: Step, batch: Batch) -> Next {
        self.tries += 1;
        if self.tries < TRIES { self.send(step, batch) } else { Next::Over }
    }

    fn log_in(&mut self, cast: &mut Cast) -> Next {
        let batch = cast.send(account::login(self.person()));
        self.retry(Step::LogIn, batch)
    }

    /// The next errand.
    fn errand(&mut self, cast: &mut Cast) -> Next {
        (self.errands, self.tries) = (self.errands + 1, 0);
        if self.errands > ERRANDS {
            return Next::Over;
        }
        match cast.seed.below(6) {
            0 | 1 => self.renew(cast),
            2 => self.log_out(cast),
            3 => self.look(cast, Errand::Block),
            4 if !self.was_reset => {
                self.was_reset = true;
                self.issued = Login {
                    user: self.login.user.clone(),
                    session: cast.name("issued"),
                    ..Login::default()
                };
                let ask = account::issue(&cast.staff, &self.issued.user, &self.issued.session);
                self.send(Step::Issue, cast.send(ask))
            }
            _ => self.look(cast, Errand::Promote),
        }
    }

    fn renew(&mut self, cast: &mut Cast) -> Next {
        let batch = cast.at_all(&account::refresh(&self.login));
        self.retry(Step::Renew, batch)
    }

    fn log_out(&mut self, cast: &mut Cast) -> Next {
        let mut batch = cast.send(account::logout(&self.login));
        batch.extend(cast.uses(&self.login));
        self.retry(Step::Logout, batch)
    }

    fn look(&mut self, cast: &mut Cast, errand: Errand) -> Next {
        let batch = cast.send(account::user(&cast.staff, &self.login.user));
        self.retry(Step::Look(errand), batch)
    }

    /// Everything that a session can do.
    fn attempts(&self, cast: &mut Cast) -> Batch {
        let mut batch = cast.uses(&self.login);
        batch.extend(cast.send(account::refresh(&self.login)));
        batch
    }

    /// Tries what must not work any more.
    fn end(&mut self, cast: &mut Cast) -> Next {
        let batch = self.attempts(cast);
        self.send(Step::Ended, batch)
    }

    fn change(&mut self, cast: &mut Cast, errand: Errand, version: u64) -> Next {
        let change = errand.change();
        let manage = account::manage(Ok(&cast.staff), &self.login.user, version, change);
        let mut batch = cast.send(manage);
        // Meanwhile the user goes on.
        match errand {
            Errand::Block => batch.extend(cast.uses(&self.login)),
            Errand::Demote => batch.extend(cast.staff_uses(&self.login)),
            Errand::Unblock | Errand::Promote => {}
        }
        self.send(Step::Change(errand), batch)
    }

    fn changed(&mut self, cast: &mut Cast, errand: Errand, reply: Option<&Reply>) -> Next {
        match reply {
            Some(Reply::Done { .. } | Reply::Unknown) => {}
            _ => return self.look(cast, errand),
        }
        match errand {
            Errand::Block => {
                let mut batch = self.attempts(cast);
                batch.extend(cast.send(account::login(self.person())));
                self.send(Step::Unblock, batch)
            }
            Errand::Unblock => self.end(cast),
            Errand::Promote => {
                let batch = cast.staff_uses(&self.login);
                self.send(Step::Demoted, batch)
            }
            Errand::Demote => {
                self.tries = 0;
                let batch = cast.staff_uses(&self.login);
                self.send(Step::LogIn, batch)
            }
        }
    }

    fn issued(&mut self, cast: &mut Cast, reply: Option<&Reply>) -> Next {
        let Some(access) = reply.and_then(|reply| reply.text("access")) else {
            return self.errand(cast);
        };
        access.clone_into(&mut self.issued.access);
        let mut batch = cast.send(account::reset(&self.person().email));
        batch.extend(cast.uses(&self.issued));
        self.send(Step::Reset, batch)
    }

    fn mail(&mut self, cast: &mut Cast) -> Next {
        match cast.mail.reset(&self.person().email) {
            Some(token) => {
                self.reset = token;
                self.set_password(cast)
            }
            None if cast.now < self.mail_until => {
                self.step = Step::Mail;
                Next::Wait
            }
            None => self.errand(cast),
        }
    }

    fn set_password(&mut self, cast: &mut Cast) -> Next {
        let set = account::set_password(&self.login.user, self.person(), &self.reset);
        let mut batch = cast.send(set);
        batch.extend(cast.uses(&self.login));
        self.retry(Step::SetPassword, batch)
    }

    fn password_set(&mut self, cast: &mut Cast, reply: Option<&Reply>) -> Next {
        let is_set = match reply {
            Some(Reply::Done { .. }) => true,
            // The answer to an earlier one was lost.
            Some(Reply::Refused { code, .. }) => self.tries > 1 && code == "code_invalid",
            _ => false,
        };
        if !is_set {
            return self.set_password(cast);
        }
        let mut batch = self.attempts(cast);
        batch.extend(cast.uses(&self.issued));
        batch.extend(cast.send(account::login(self.person())));
        self.arrival.person.password += 1;
        self.send(Step::Ended, batch)
    }
}

impl Story for Life {
    fn next(&mut self, cast: &mut Cast, replies: &[Reply]) -> Next {
        let first = replies.first();
        match self.step {
            Step::Arrive => match self.arrival.next(cast, replies) {
                Progress::Next(next) => next,
                Progress::In(login) => {
                    self.login = login;
                    self.errand(cast)
                }
            },
            Step::LogIn => match login_of(replies) {
                Some(login) => {
                    self.login = login;
                    self.errand(cast)
                }
                None => self.log_in(cast),
            },
            Step::Renew => match login_of(replies) {
                Some(newer) => {
                    self.old = std::mem::replace(&mut self.login, newer);
                    let batch = cast.send(account::refresh(&self.login));
                    self.send(Step::RenewAgain, batch)
                }
                None if replies.iter().any(Reply::is_known) => self.log_in(cast),
                None => self.renew(cast),
            },
            Step::RenewAgain => match login_of(replies) {
                Some(newer) => {
                    self.login = newer;
                    let batch = cast.send(account::refresh(&self.old));
                    self.send(Step::Copied, batch)
                }
                None if replies.iter().any(Reply::is_known) => self.log_in(cast),
                None => {
                    let batch = cast.send(account::refresh(&self.login));
                    self.retry(Step::RenewAgain, batch)
                }
            },
            Step::Copied if all_never(replies) => {
                let batch = cast.send(account::refresh(&self.old));
                self.retry(Step::Copied, batch)
            }
            Step::Logout if first == Some(&Reply::Never) => self.log_out(cast),
            Step::Copied | Step::Logout => self.end(cast),
            Step::Look(errand) => match first.and_then(|reply| reply.number("version")) {
                Some(version) => self.change(cast, errand, version),
                None => self.look(cast, errand),
            },
            Step::Change(errand) => self.changed(cast, errand, first),
            Step::Unblock => self.look(cast, Errand::Unblock),
            Step::Demoted => self.look(cast, Errand::Demote),
            Step::Issue => self.issued(cast, first),
            Step::Reset if first == Some(&Reply::Never) => self.errand(cast),
            Step::Reset => {
                self.mail_until = mail_until(cast.now, first);
                self.mail(cast)
            }
            Step::Mail => self.mail(cast),
            Step::SetPassword => self.password_set(cast, first),
            Step::Ended => {
                self.tries = 0;
                self.log_in(cast)
            }
        }
    }
}
