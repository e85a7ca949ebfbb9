//! Accounts: what each access asked and was told, and what a revocation forbids afterwards.
//!
//! This is no sequential specification: most accesses of a session only say whether it counts. So
//! the model is about time. A revocation holds from its acknowledgement on, and whatever begins
//! later must be refused; in between, and where an outcome is unknown, either answer is right.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::record::account::covers;
use crate::record::history::{Attempt, End, History};

/// What became of an access.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Outcome<'a> {
    /// Carried out.
    Done {
        /// When that was known.
        at: u64,
        /// The revision.
        rev: u64,
        /// What was answered.
        answer: &'a Value,
    },
    /// Refused.
    Refused {
        /// When that was known.
        at: u64,
        /// By which rule.
        code: &'a str,
    },
    /// It did not happen.
    Never,
    /// Nobody knows.
    Unknown,
}

/// One access.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    /// The operation.
    pub f: &'a str,
    /// What was asked.
    pub asked: &'a Value,
    /// When it began.
    pub called: u64,
    /// What became of it.
    pub outcome: Outcome<'a>,
}

/// All accesses of a history, by the time they began.
pub fn accesses(history: &History) -> Vec<Access<'_>> {
    history.attempts.iter().filter(|attempt| covers(&attempt.f)).map(Access::of).collect()
}

impl<'a> Access<'a> {
    fn of(attempt: &'a Attempt) -> Self {
        let outcome = match &attempt.end {
            End::Ok { at, value, rev, .. } => match value.get("refused").and_then(Value::as_str) {
                Some(code) => Outcome::Refused { at: *at, code },
                None => Outcome::Done { at: *at, rev: *rev, answer: value },
            },
            End::Fail => Outcome::Never,
            End::Info { .. } => Outcome::Unknown,
        };
        Self { f: &attempt.f, asked: &attempt.asked, called: attempt.called, outcome }
    }

    /// When it was carried out at the latest, and what was answered.
    pub const fn done(&self) -> Option<(u64, &'a Value)> {
        match self.outcome {
            Outcome::Done { at, answer, .. } => Some((at, answer)),
            _ => None,
        }
    }

    /// When it was refused with this code.
    pub fn refused(&self, with: &str) -> Option<u64> {
        match self.outcome {
            Outcome::Refused { at, code } if code == with => Some(at),
            _ => None,
        }
    }

    /// Whether it took effect, as far as anybody knows.
    pub const fn may_have_run(&self) -> bool {
        matches!(self.outcome, Outcome::Done { .. } | Outcome::Unknown)
    }

    /// A text of what was asked.
    pub fn text(&self, name: &str) -> Option<&'a str> {
        self.asked.get(name)?.as_str()
    }

    /// A number of what was asked.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.asked.get(name)?.as_u64()
    }

    /// Whose access it is: who has the token, or who logged in.
    pub fn user(&self) -> Option<&'a str> {
        match self.f {
            "manage" => self.asked.get("by")?.get("user")?.as_str(),
            "login" => self.done()?.1.get("user")?.as_str(),
            _ => self.session().and(self.text("user")),
        }
    }

    /// The session whose token it shows.
    pub fn session(&self) -> Option<&'a str> {
        match self.f {
            "me" | "rename" | "staff_read" | "staff_write" | "refresh" => self.text("session"),
            "manage" => self.asked.get("by")?.get("session")?.as_str(),
            _ => None,
        }
    }

    /// Whether only staff may do it.
    pub fn is_of_staff(&self) -> bool {
        matches!(self.f, "staff_read" | "staff_write") || self.asked.get("by").is_some()
    }

    /// Whether it gives the user back what a revocation took; if so, given which version.
    fn gives_back(&self, right: Right) -> Option<(&'a str, u64)> {
        let gives = match right {
            Right::Role => self.text("role").is_some_and(|role| role != CUSTOMER),
            Right::ToEnter => self.asked.get("blocked").is_some_and(|blocked| blocked == false),
        };
        let user = self.text("user").filter(|_| self.f == "manage" && gives)?;
        Some((user, self.number("version")?))
    }
}

/// The role without any rights of staff.
pub const CUSTOMER: &str = "customer";

/// What staff can take from a user and give back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Right {
    Role,
    ToEnter,
}

/// What ends with a revocation.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Scope<'a> {
    /// One session.
    Session(&'a str),
    /// Every session that a user had by then.
    Sessions(&'a str),
    /// A right of a user, until it is given back to this version of the user or a later one.
    Right(Right, &'a str, u64),
    /// The passwords of an address before this one.
    Passwords(&'a str, u64),
}

/// Something that was allowed until then.
#[derive(Clone, Copy, Debug)]
struct Revocation<'a> {
    scope: Scope<'a>,
    /// When it was asked for, and when it was acknowledged.
    span: (u64, u64),
    why: &'static str,
}

/// Everything that was revoked, and what was given back.
#[derive(Debug, Default)]
pub struct Revocations<'a> {
    /// By the session, user or address.
    by_name: BTreeMap<&'a str, Vec<Revocation<'a>>>,
    /// When each session was known to be open.
    opened: BTreeMap<&'a str, u64>,
    /// By user: what may have been given back, given which version, and when that was asked for.
    given_back: BTreeMap<&'a str, Vec<(Right, u64, u64)>>,
}

impl<'a> Revocations<'a> {
    /// Those of a run.
    pub fn of(accesses: &[Access<'a>]) -> Self {
        let mut all = Self::default();
        for access in accesses {
            all.take(access);
        }
        all
    }

    /// How many were acknowledged.
    pub fn len(&self) -> usize {
        self.by_name.values().map(Vec::len).sum()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    fn take(&mut self, access: &Access<'a>) {
        for right in [Right::Role, Right::ToEnter] {
            if let Some((user, version)) =
                access.gives_back(right).filter(|_| access.may_have_run())
            {
                self.given_back.entry(user).or_default().push((right, version, access.called));
            }
        }
        if let Some(session) = access.session()
            && let Some((at, why)) = ended(access)
        {
            self.add(session, Scope::Session(session), (access.called, at), why);
        }
        let Some((at, answer)) = access.done() else { return };
        let span = (access.called, at);
        match access.f {
            "login" => {
                let session = answer.get("session").and_then(Value::as_str).unwrap_or_default();
                self.opened.entry(session).or_insert(at);
            }
            "issue" => {
                self.opened.entry(access.text("session").unwrap_or_default()).or_insert(at);
            }
            "logout" => {
                let session = access.text("session").unwrap_or_default();
                self.add(session, Scope::Session(session), span, "logged out");
            }
            "set_password" => {
                let user = access.text("user").unwrap_or_default();
                self.add(user, Scope::Sessions(user), span, "password reset");
                let email = access.text("email").unwrap_or_default();
                let number = access.number("password").unwrap_or_default();
                self.add(email, Scope::Passwords(email, number), span, "password reset");
            }
            "manage" => {
                let user = access.text("user").unwrap_or_default();
                let version = answer.get("version").and_then(Value::as_u64).unwrap_or_default();
                let mut take = |right, why| {
                    self.add(user, Scope::Right(right, user, version), span, why);
                };
                if access.text("role") == Some(CUSTOMER) {
                    take(Right::Role, "demoted");
                }
                if access.asked.get("blocked").is_some_and(|blocked| blocked == true) {
                    take(Right::ToEnter, "blocked");
                    self.add(user, Scope::Sessions(user), span, "blocked");
                }
            }
            _ => {}
        }
    }

    fn add(&mut self, name: &'a str, scope: Scope<'a>, span: (u64, u64), why: &'static str) {
        self.by_name.entry(name).or_default().push(Revocation { scope, span, why });
    }

    /// Why an access that was carried out should have been refused, and since when.
    pub fn forbid(&self, access: &Access<'a>) -> Option<(&'static str, u64)> {
        let (at, _) = access.done()?;
        let email = access.text("email").filter(|_| access.f == "login");
        let names = [access.session(), access.user(), email];
        let about = names.into_iter().flatten().filter_map(|name| self.by_name.get(name)).flatten();
        let forbids = |revocation: &&Revocation<'a>| {
            let (asked, acknowledged) = revocation.span;
            acknowledged < access.called
                && match revocation.scope {
                    Scope::Session(session) => access.session() == Some(session),
                    Scope::Sessions(_) => {
                        let opened = access.session().and_then(|name| self.opened.get(name));
                        opened.is_some_and(|opened| *opened < asked)
                    }
                    Scope::Right(right, user, version) => {
                        (right == Right::ToEnter || access.is_of_staff())
                            && !self.may_be_back(right, (user, version), at)
                    }
                    Scope::Passwords(_, number) => {
                        email.is_some() && access.number("password").is_some_and(|it| it < number)
                    }
                }
        };
        about.filter(forbids).map(|revocation| (revocation.why, revocation.span.1)).next()
    }

    /// Whether a right may have been given back by this time. A change names the version that it
    /// was made for, so one for an earlier version cannot come after the revocation.
    fn may_be_back(&self, right: Right, (user, version): (&str, u64), by: u64) -> bool {
        self.given_back
            .get(user)
            .into_iter()
            .flatten()
            .any(|(given, to, called)| *given == right && *to >= version && *called < by)
    }
}

/// Whether the answer to an access says that its session is over, for good.
fn ended(access: &Access<'_>) -> Option<(u64, &'static str)> {
    let reuse = access.refused("session_reuse").map(|at| (at, "closed after a copied token"));
    reuse.or_else(|| access.refused("token_revoked").map(|at| (at, "refused as revoked")))
}
