//! Workloads: what the clients of a run request.
//!
//! A [`Workload`] is a pure function of its seed, the time and the replies. It opens no socket and
//! reads no clock, so a live run and the simulation use the same ones; only `accounts` also reads the
//! mail that the nodes wrote. A client sends one request at a time, to its own node or to any node.

mod accounts;
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

use self::accounts::Accounts;
pub use self::accounts::mailbox::Mailbox;
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
/// How long an idle client waits.
const IDLE: Duration = Duration::from_millis(2);

/// What the clients do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Kind {
    /// Order, then settle or cancel, on sales of 1 to 100 units; no hold expires.
    FlashSale,
    /// Order and settle, every key until its outcome is known; duplicates and reused keys.
    OrdersOnce,
    /// Add orders to sales and list them.
    OrderSet,
    /// Write, and read it back on any node.
    Sessions,
    /// Read products and change the price, given the version that was seen.
    Register,
    /// Everything that moves units.
    Conservation,
    /// Settle and cancel just as holds expire; needs more than a minute of log time.
    Deadline,
    /// Like `order_set`, but slow, for faults that take the whole cluster down.
    ColdStart,
    /// Sign up, log in, renew and revoke, from all nodes at once.
    Accounts,
}

impl Kind {
    /// The name in plans and directories.
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
            Self::Accounts => "accounts",
        }
    }

    /// Whether its holds must expire. They last at least a minute of log time, so a nemesis sets
    /// all clocks forward.
    pub const fn ends_holds(self) -> bool {
        matches!(self, Self::Conservation | Self::Deadline)
    }

    /// Creates the workload.
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
            Self::Accounts => Box::new(Accounts::new(config)),
        }
    }
}

/// The configuration of a workload.
#[derive(Clone, Debug)]
pub struct WorkloadConfig {
    /// Source of its randomness.
    pub seed: u64,
    /// Number of nodes.
    pub nodes: usize,
    /// Customers that nobody else uses.
    pub customers: Vec<Customer>,
    /// The staff token.
    pub staff: String,
    /// A product with plenty of general stock.
    pub product: String,
    /// A time in the past, RFC 3339: sales that open then are open.
    pub opens_at: String,
    /// What the nodes mail.
    pub mail: Mailbox,
}

impl WorkloadConfig {
    /// Number of buyers: some pinned to each node, some roaming.
    pub const fn buyers(&self) -> usize {
        self.nodes * PINNED + ROAMING
    }
}

/// The node a client is pinned to; `None` if it roams.
pub const fn home(client: usize, nodes: usize) -> Option<usize> {
    if client < nodes * PINNED { Some(client / PINNED) } else { None }
}

/// Where a request goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// To the client's own node, or to any node if it roams.
    Home,
    /// To any node but the last one.
    Other,
    /// To this node.
    Node(usize),
}

/// What a client does next.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a step lives until it is taken")]
pub enum Step {
    /// Send this.
    Invoke(Invocation, Route),
    /// Wait.
    Wait(Duration),
    /// Stop.
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
    /// Number of clients; those after the pinned ones roam.
    fn clients(&self) -> usize;
    /// What this client does next; `now` counts from the start of the run.
    fn next(&mut self, client: usize, now: Duration) -> Step;
    /// Takes the outcome of its last request.
    fn on_reply(&mut self, client: usize, invocation: &Invocation, reply: &Reply);
    /// Starts nothing new from now on; completes what is open, then returns `Done`.
    fn close(&mut self);
    /// Every sale that was created, for the sell-out.
    fn sales(&self) -> Vec<Sale>;
    /// Every product that was created and is judged, for the dump.
    fn products(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Generates idempotency keys.
#[derive(Clone, Debug, Default)]
struct Keys(u64);

impl Keys {
    fn next(&mut self) -> String {
        self.0 += 1;
        format!("k-{}", self.0)
    }
}

/// Picks an index of a list; `None` if the list is empty.
fn draw<T>(seed: &mut Seed, list: &[T]) -> Option<usize> {
    let place = seed.below(list.len() as u64);
    usize::try_from(place).ok().filter(|place| *place < list.len())
}
