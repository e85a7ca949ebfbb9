//! What all stories share: names nobody else has, nodes, staff and the mail.

use std::time::Duration;

use super::super::WorkloadConfig;
use super::Batch;
use super::mailbox::Mailbox;
use crate::record::account::{self, Login, Person};
use crate::record::invocation::{Invocation, Reply};
use crate::seed::Seed;

/// How many characters of an id make a run's addresses its own.
const TAIL: usize = 12;

/// The same for all stories.
#[derive(Debug)]
pub(super) struct Cast {
    pub(super) seed: Seed,
    pub(super) staff: String,
    pub(super) mail: Mailbox,
    /// From the start of the run.
    pub(super) now: Duration,
    nodes: usize,
    domain: String,
    named: u64,
}

impl Cast {
    pub(super) fn new(config: WorkloadConfig) -> Self {
        // A run that continues with the data of another one meets nobody from it.
        let id = config.product.to_lowercase();
        let tail = id.len().saturating_sub(TAIL);
        Self {
            seed: Seed::of(config.seed, 0),
            staff: config.staff,
            mail: config.mail,
            now: Duration::ZERO,
            nodes: config.nodes.max(1),
            domain: format!("{}.example.com", id.get(tail..).unwrap_or("run")),
            named: 0,
        }
    }

    /// A name that is not used twice.
    pub(super) fn name(&mut self, of: &str) -> String {
        self.named += 1;
        format!("{of}-{}", self.named)
    }

    /// Somebody new.
    pub(super) fn person(&mut self) -> Person {
        let name = self.name("p");
        Person { email: format!("{name}@{}", self.domain), password: 0 }
    }

    fn first_node(&mut self) -> usize {
        usize::try_from(self.seed.below(self.nodes as u64)).unwrap_or(0)
    }

    /// Sends requests to one node after another, from any node on.
    pub(super) fn spread(&mut self, invocations: impl IntoIterator<Item = Invocation>) -> Batch {
        let first = self.first_node();
        let nodes = (first..).map(|node| node % self.nodes);
        invocations.into_iter().zip(nodes).collect()
    }

    /// Sends one request to any node.
    pub(super) fn send(&mut self, invocation: Invocation) -> Batch {
        self.spread([invocation])
    }

    /// What a session can do, once on every node: read or write.
    pub(super) fn uses(&mut self, login: &Login) -> Batch {
        let one = |cast: &mut Self| {
            if cast.seed.below(2) == 0 {
                account::me(login)
            } else {
                account::rename(login, &cast.name("name"))
            }
        };
        self.everywhere(one)
    }

    /// What staff can do, once on every node: read or write.
    pub(super) fn staff_uses(&mut self, login: &Login) -> Batch {
        let one = |cast: &mut Self| {
            if cast.seed.below(2) == 0 {
                account::staff_read(login)
            } else {
                account::staff_write(login, &cast.name("item"))
            }
        };
        self.everywhere(one)
    }

    fn everywhere(&mut self, one: impl Fn(&mut Self) -> Invocation) -> Batch {
        let all: Vec<Invocation> = (0..self.nodes).map(|_| one(self)).collect();
        self.spread(all)
    }

    /// The same request on every node.
    pub(super) fn at_all(&mut self, invocation: &Invocation) -> Batch {
        self.everywhere(|_| invocation.clone())
    }
}

/// The session that an answer opened or renewed; the latest one of several.
pub(super) fn login_of(replies: &[Reply]) -> Option<Login> {
    let login = |reply: &Reply| {
        let text = |name: &str| reply.text(name).map(str::to_owned);
        Some(Login {
            user: text("user")?,
            session: text("session")?,
            access: text("access")?,
            refresh: text("refresh")?,
        })
    };
    replies.iter().filter_map(login).max_by_key(Login::generation)
}

/// Whether none of these requests can have taken effect.
pub(super) fn all_never(replies: &[Reply]) -> bool {
    replies.iter().all(|reply| *reply == Reply::Never)
}
