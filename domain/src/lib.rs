//! The rules of a sale: pure, deterministic, synchronous.
//!
//! Everything that decides who gets a unit is in this crate. One log entry carries one
//! [`Command`]; [`decide()`] looks at the rows through a [`View`] and returns a [`Decision`], which
//! holds the [`Outcome`] for the caller and the [`Change`]s that storage applies together. The same
//! view, command and [`Stamp`] give the same decision on every node, on every run: there is no
//! clock, no randomness, no I/O and no hash-map order in here.
//!
//! Reading order: [`kernel`] (values, ids, keys, what a row is), one folder per aggregate with its
//! row, commands and rules ([`order`] is the one that matters most), [`registry`] and [`command`]
//! (the lists of rows and of commands), then [`decide`](mod@decide) on top. `docs/extending.md`
//! shows how to add an aggregate, `docs/rules.md` explains numbers such as S1 and D8.
//!
//! # Glossary (one word per thing, from URL to disk)
//!
//! | Word | Meaning |
//! |---|---|
//! | user, customer | who calls, with a role; "customer" is only the buying side |
//! | account (of a user); session | what a person signs in with; one login, renewed by rotation |
//! | e-mail code, proof | what was mailed to an address; what the right one is exchanged for |
//! | audit log | what staff did, each entry with the hash of the one before |
//! | effect | work with the outside world that a decision asked for: a mail |
//! | product; sale | a thing with a price and general stock; a limited offer on one product |
//! | unit, pool | one countable piece; the place units are counted (a product's or a sale's) |
//! | account | where a unit stands in its pool: available, held, sold, scrapped |
//! | movement, ledger | units going between accounts; the append-only list of movements |
//! | order, line, target | a purchase; one pool with a quantity; the product or sale it names |
//! | hold | what an order does to its units while `payment_pending`: the order is the hold |
//! | `pay_by`; window | when an unpaid order expires; `opens_at <= now < closes_at` |
//! | address | where orders go: saved by a customer, or sent with an order; always sealed |
//! | wishlist, item | what a customer keeps for later; one target of it with a quantity |
//! | master key, keyring | the secret that is in the nodes' key files, in versions; what the cluster keeps of it |
//! | usage | the units of one sale that one customer holds or bought |
//! | command, outcome, refusal | what is proposed; what was decided; a "no" with a code |
//! | stamp, log time | revision and `now` of a log entry; that `now` |
//! | ticket; receipt | place in the log; outcome stored under an idempotency key |
//! | event | a published fact, numbered (revision, offset) |
//! | sweep, Tick, `due_at` | handling due rows; the command that only sweeps; when a row is due |

#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::float_arithmetic,
        clippy::as_conversions,
        clippy::indexing_slicing,
        clippy::wildcard_enum_match_arm,
        clippy::disallowed_methods,
        clippy::disallowed_types,
    )
)]

pub mod kernel;

pub mod address;
pub mod audit;
pub mod cluster;
pub mod effect;
pub mod email_code;
pub mod journal;
pub mod keyring;
pub mod order;
pub mod payment;
pub mod product;
pub mod sale;
pub mod session;
pub mod settings;
pub mod stock;
pub mod user;
pub mod wishlist;

pub mod change;
mod checks;
pub mod command;
pub mod decide;
mod draft;
pub mod expiry;
mod field;
pub mod invariant;
#[cfg(feature = "next")]
pub mod next;
pub mod outcome;
pub mod permission;
pub mod registry;
mod rule;
mod seeded;
pub mod sweep;
#[cfg(feature = "testing")]
pub mod testing;
pub mod view;

pub use change::Change;
pub use command::{Action, Actor, Command, Role};
pub use decide::{Answer, Decision, Recorded, decide, early_refusal, unavailable};
pub use journal::{event, receipt};
pub use kernel::id::{
    AddressId, EffectId, OrderId, PaymentId, ProductId, SaleId, SessionId, UserId,
};
pub use kernel::value::{Millis, Revision, Stamp};
pub use kernel::{id, value};
pub use outcome::{Done, Outcome, Refusal};
pub use view::View;
