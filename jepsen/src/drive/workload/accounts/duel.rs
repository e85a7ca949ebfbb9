//! Two admins, the only ones, demote each other at once; then a tool promotes the loser again.

use super::arrival::{Arrival, Progress};
use super::cast::{Cast, login_of};
use super::{Next, Story};
use crate::record::account::{self, Change, Login, Person};
use crate::record::invocation::Reply;

const ADMIN: Change = Change::Role("admin");
const CUSTOMER: Change = Change::Role("customer");

/// What the duel waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Begin,
    Bootstrap,
    LogIn,
    Arrive,
    /// Which versions and roles they have.
    Look,
    Demote,
    /// Their tokens are too old.
    LogInAgain,
    /// Both used what only staff may.
    Tried,
}

/// The two of them.
#[derive(Debug)]
pub(super) struct Duel {
    step: Step,
    root: Person,
    logins: [Login; 2],
    rival: Arrival,
}

impl Duel {
    pub(super) fn new(cast: &mut Cast) -> Self {
        let logins = [Login::default(), Login::default()];
        let root = cast.person();
        Self { step: Step::Begin, root, logins, rival: Arrival::careful(cast) }
    }

    fn send(&mut self, step: Step, batch: super::Batch) -> Next {
        self.step = step;
        Next::Send(batch)
    }

    fn log_in(&mut self, cast: &mut Cast) -> Next {
        let batch = cast.send(account::login(&self.root));
        self.send(Step::LogIn, batch)
    }

    fn arrive(&mut self, cast: &mut Cast, replies: &[Reply]) -> Next {
        match self.rival.next(cast, replies) {
            // Another rival.
            Progress::Next(Next::Over) => {
                self.rival = Arrival::careful(cast);
                Next::Wait
            }
            Progress::Next(next) => next,
            Progress::In(login) => {
                self.logins[1] = login;
                self.look(cast)
            }
        }
    }

    fn look(&mut self, cast: &mut Cast) -> Next {
        let users = self.logins.each_ref().map(|login| account::user(&cast.staff, &login.user));
        let batch = cast.spread(users);
        self.send(Step::Look, batch)
    }

    fn fight(&mut self, cast: &mut Cast, replies: &[Reply]) -> Next {
        let known =
            |reply: &Reply| Some((reply.number("version")?, reply.text("role")? == "admin"));
        let [Some(root), Some(rival)] = [0, 1].map(|at| replies.get(at).and_then(known)) else {
            return self.look(cast);
        };
        let [a, b] = &self.logins;
        let lost = [(a, root), (b, rival)].into_iter().find(|(_, (_, is_admin))| !is_admin);
        if let Some((login, (version, _))) = lost {
            let manage = account::manage(Ok(&cast.staff), &login.user, version, ADMIN);
            let batch = cast.send(manage);
            return self.send(Step::Tried, batch);
        }
        let batch = cast.spread([
            account::manage(Err(b), &a.user, root.0, CUSTOMER),
            account::manage(Err(a), &b.user, rival.0, CUSTOMER),
        ]);
        self.send(Step::Demote, batch)
    }
}

impl Story for Duel {
    fn next(&mut self, cast: &mut Cast, replies: &[Reply]) -> Next {
        match (self.step, replies) {
            (Step::Begin, _) | (Step::Bootstrap, [Reply::Never | Reply::Unknown]) => {
                let batch = cast.send(account::bootstrap(&cast.staff, &self.root));
                self.send(Step::Bootstrap, batch)
            }
            (Step::Bootstrap, _) => self.log_in(cast),
            (Step::LogIn, _) => match login_of(replies) {
                Some(login) => {
                    self.logins[0] = login;
                    self.step = Step::Arrive;
                    self.arrive(cast, &[])
                }
                // Somebody else was the first admin: this cluster is older than the run.
                None if replies.iter().any(Reply::is_known) => Next::Over,
                None => self.log_in(cast),
            },
            (Step::Arrive, _) => self.arrive(cast, replies),
            (Step::Look, _) => self.fight(cast, replies),
            (Step::Demote, _) => {
                let is_over = |code: &str| code.starts_with("token");
                if replies.iter().filter_map(Reply::refused).any(is_over) {
                    let both = [&self.root, &self.rival.person].map(account::login);
                    let batch = cast.spread(both);
                    return self.send(Step::LogInAgain, batch);
                }
                let [a, b] = self.logins.clone();
                let mut batch = cast.staff_uses(&a);
                batch.extend(cast.staff_uses(&b));
                self.send(Step::Tried, batch)
            }
            (Step::LogInAgain, _) => {
                for (login, reply) in self.logins.iter_mut().zip(replies.chunks(1)) {
                    *login = login_of(reply).unwrap_or_else(|| login.clone());
                }
                self.look(cast)
            }
            (Step::Tried, _) => self.look(cast),
        }
    }
}
