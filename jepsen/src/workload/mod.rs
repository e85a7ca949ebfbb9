//! Workloads: what the clients of a run ask.
//!
//! A [`Workload`] is a pure function of its seed, the time and what its clients were told: it
//! opens no socket and reads no clock, so a live run and the simulation drive the same one.
//! A client asks one thing after another; what it asks at is its own node, or any.

mod flash_sale;

use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::ask::{Ask, Customer, Told};

/// Clients pinned to each node.
pub const PINNED: usize = 2;
/// Clients that roam.
pub const ROAMING: usize = 2;
/// How often one key is sent before its client gives up.
const SENDS_MAX: usize = 20;

/// What the clients do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Kind {
    /// Order, then settle or cancel, on sales of 1 to 100 units; no hold ends by itself.
    FlashSale,
}

impl Kind {
    /// The word in plans and directories.
    pub const fn word(self) -> &'static str {
        match self {
            Self::FlashSale => "flash_sale",
        }
    }

    /// The workload for a shop that was just set up.
    pub fn workload(self, setting: Setting) -> Box<dyn Workload> {
        match self {
            Self::FlashSale => Box::new(flash_sale::FlashSale::new(setting)),
        }
    }
}

/// What a workload starts with.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Where its randomness comes from.
    pub seed: u64,
    /// How many nodes there are.
    pub nodes: usize,
    /// Buyers nobody else uses.
    pub customers: Vec<Customer>,
    /// Staff's token.
    pub staff: String,
    /// A product with plenty of general stock.
    pub product: String,
    /// An instant that has passed, RFC 3339: sales that open then are open.
    pub opens_at: String,
}

impl Setting {
    /// Clients that buy: some pinned to each node, some roaming.
    pub const fn buyers(&self) -> usize {
        self.nodes * PINNED + ROAMING
    }
}

/// The node a client is pinned to; `None`: it roams.
pub const fn home(client: usize, nodes: usize) -> Option<usize> {
    if client < nodes * PINNED { Some(client / PINNED) } else { None }
}

/// Where an ask goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    /// The client's own node, or any if it roams.
    Home,
    /// Any node but the one that was asked last.
    Other,
    /// This one.
    Node(usize),
}

/// What a client does next.
#[derive(Clone, Debug)]
pub enum Step {
    /// Ask this there.
    Ask(Ask, At),
    /// Nothing for so long.
    Wait(Duration),
    /// Nothing more.
    Done,
}

/// A sale, as its clients know it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sale {
    /// `sal_...`
    pub id: String,
    /// Units per customer.
    pub limit: u64,
}

/// What the clients of a run do.
pub trait Workload: Send {
    /// How many clients there are; those past the pinned ones roam.
    fn clients(&self) -> usize;
    /// What this client does next; `now` counts from the start of the run.
    fn next(&mut self, client: usize, now: Duration) -> Step;
    /// What came of its last ask.
    fn told(&mut self, client: usize, ask: &Ask, told: &Told);
    /// From now on nothing new is begun; what is open is brought to an end, then `Done`.
    fn close(&mut self);
    /// Every sale that was made, to be sold out in the end.
    fn sales(&self) -> Vec<Sale>;
}

/// Gives out idempotency keys.
#[derive(Clone, Debug, Default)]
struct Keys(u64);

impl Keys {
    fn next(&mut self) -> String {
        self.0 += 1;
        format!("k-{}", self.0)
    }
}

/// One ask that goes to node after node until its outcome is known.
#[derive(Clone, Debug)]
struct Retry {
    ask: Ask,
    sends: usize,
    /// Some attempt may have taken effect.
    doubt: bool,
}

impl Retry {
    const fn new(ask: Ask) -> Self {
        Self { ask, sends: 1, doubt: false }
    }

    /// Takes the answer to the latest attempt: what is known now, or `None` to send again.
    fn told(&mut self, told: &Told) -> Option<Told> {
        self.doubt |= *told == Told::Unknown;
        if told.is_known() {
            return Some(told.clone());
        }
        self.sends += 1;
        let given_up = if self.doubt { Told::Unknown } else { Told::Never };
        (self.sends > SENDS_MAX).then_some(given_up)
    }
}
