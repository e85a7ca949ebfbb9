//! Workloads: what the clients of a run ask.
//!
//! A [`Workload`] is a pure function of its seed, the time and what its clients were told: it
//! opens no socket and reads no clock, so a live run and the simulation drive the same one.
//! A client asks one thing after another; what it asks at is its own node, or any.

mod conservation;
mod customers;
mod deadline;
mod flash_sale;
mod in_flight;
mod order_set;
mod orders_once;
mod register;
mod sale_workload;
mod sales;
mod sessions;

use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use self::conservation::Conservation;
use self::deadline::Deadline;
use self::flash_sale::FlashSale;
use self::order_set::OrderSet;
use self::orders_once::OrdersOnce;
use self::register::Register;
use self::sale_workload::SaleDriver;
use self::sessions::Sessions;
use crate::record::invocation::{Customer, Invocation, Reply};
use crate::seed::Seed;

/// Clients pinned to each node.
pub const PINNED: usize = 2;
/// Clients that roam.
pub const ROAMING: usize = 2;
/// How long a client waits that has nothing to do.
const IDLE: Duration = Duration::from_millis(2);

/// What the clients do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Kind {
    /// Order, then settle or cancel, on sales of 1 to 100 units; no hold ends by itself.
    FlashSale,
    /// Order and settle, every key until its outcome is known; duplicates, and keys used twice.
    OrdersOnce,
    /// Add orders to sales and list them.
    OrderSet,
    /// Write and read what was written, on any node.
    Sessions,
    /// Read products and change the price of the version that was seen.
    Register,
    /// Everything that moves units.
    Conservation,
    /// Settle and cancel when holds end; only in runs of more than a minute of log time.
    Deadline,
    /// As `order_set`, slowly: for faults that take the whole cluster down.
    ColdStart,
}

impl Kind {
    /// The word in plans and directories.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FlashSale => "flash_sale",
            Self::OrdersOnce => "orders_once",
            Self::OrderSet => "order_set",
            Self::Sessions => "sessions",
            Self::Register => "register",
            Self::Conservation => "conservation",
            Self::Deadline => "deadline",
            Self::ColdStart => "cold_start",
        }
    }

    /// Whether holds must end in it; they last a minute of log time at least, so a nemesis moves
    /// all clocks forward.
    pub const fn ends_holds(self) -> bool {
        matches!(self, Self::Conservation | Self::Deadline)
    }

    /// The workload for a shop that was just set up.
    pub fn workload(self, config: WorkloadConfig) -> Box<dyn Workload> {
        match self {
            Self::FlashSale => Box::new(SaleDriver::new(config, FlashSale)),
            Self::OrdersOnce => Box::new(SaleDriver::new(config, OrdersOnce::default())),
            Self::OrderSet => Box::new(SaleDriver::new(config, OrderSet::Fast)),
            Self::Sessions => Box::new(SaleDriver::new(config, Sessions)),
            Self::Register => Box::new(Register::new(config)),
            Self::Conservation => Box::new(SaleDriver::new(config, Conservation::new())),
            Self::Deadline => Box::new(SaleDriver::new(config, Deadline::default())),
            Self::ColdStart => Box::new(SaleDriver::new(config, OrderSet::Slow)),
        }
    }
}

/// What a workload starts with.
#[derive(Clone, Debug)]
pub struct WorkloadConfig {
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

impl WorkloadConfig {
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
pub enum Route {
    /// The client's own node, or any if it roams.
    Home,
    /// Any node but the one that was asked last.
    Other,
    /// This one.
    Node(usize),
}

/// What a client does next.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a step lives until it is taken")]
pub enum Step {
    /// Ask this there.
    Invoke(Invocation, Route),
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
    fn on_reply(&mut self, client: usize, invocation: &Invocation, reply: &Reply);
    /// From now on nothing new is begun; what is open is brought to an end, then `Done`.
    fn close(&mut self);
    /// Every sale that was made, to be sold out in the end.
    fn sales(&self) -> Vec<Sale>;
    /// Every product that was made and is judged, to be shown in the end.
    fn products(&self) -> Vec<String> {
        Vec::new()
    }
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

/// Draws a place in a list; `None` when it is empty.
fn draw<T>(seed: &mut Seed, list: &[T]) -> Option<usize> {
    let place = seed.below(list.len() as u64);
    usize::try_from(place).ok().filter(|place| *place < list.len())
}
