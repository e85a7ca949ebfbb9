//! A sale: a limited offer on one product, with its own units, window and limit.

use serde::{Deserialize, Serialize};

use crate::kernel::id::{ProductId, SaleId};
use crate::kernel::row::{IndexKind, IndexRows, Row, TableId, indexes};
use crate::kernel::value::{Millis, Money, Revision, RowStamp};
use crate::kernel::version::Versioned;

/// How much of a sale's stock the public sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Disclosure {
    /// The numbers.
    #[default]
    Exact,
    /// None, low or plenty.
    Bucketed,
    /// Only the phase.
    Hidden,
}

/// Where a sale is in its life; derived, never stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Phase {
    /// Over: closed by staff or by time.
    Closed,
    /// Its product is discontinued.
    Discontinued,
    /// Stopped by staff for now.
    Paused,
    /// Opens later.
    Scheduled,
    /// Open, but nothing is left.
    SoldOut,
    /// Open.
    Open,
}

/// One sale row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "four independent facts about one row")]
pub struct Sale {
    /// `sal_...`
    pub id: SaleId,
    /// What is offered.
    pub product: ProductId,
    /// 1..=100 characters.
    pub title: String,
    /// First instant at which it can be bought.
    pub opens_at: Millis,
    /// First instant at which it can no longer be bought; `None`: until closed by staff.
    pub closes_at: Option<Millis>,
    /// Units one customer may hold or own, 1..=100.
    pub per_customer_limit: u32,
    /// How long an order may stay unpaid, in ms; `None`: the setting.
    pub pay_within_ms: Option<i64>,
    /// Price of one unit, in the product's currency.
    pub price: Money,
    /// What the public sees of the stock.
    pub disclosure: Disclosure,
    /// Stopped by staff for now.
    pub paused: bool,
    /// Whether customers may queue behind sold-out stock.
    pub waitlist: bool,
    /// Over for good; its leftover went back to the product.
    pub closed: bool,
    /// Whether `sale.opened` was published.
    pub opened: bool,
    /// When the row wants to be looked at: opening, closing.
    pub due_at: Option<Millis>,
    /// Version and stamps.
    pub row: RowStamp,
}

impl Sale {
    /// Whether the window is over at `now`, by staff or by time.
    pub fn is_over(&self, now: Millis) -> bool {
        self.closed || self.closes_at.is_some_and(|end| end <= now)
    }

    /// The earliest thing the row waits for: to be opened, then to be closed.
    pub(crate) fn next_timer(&self) -> Option<Millis> {
        if self.closed {
            None
        } else if self.opened {
            self.closes_at
        } else {
            Some(self.closes_at.map_or(self.opens_at, |end| end.min(self.opens_at)))
        }
    }

    /// The derived phase; the first that matches.
    pub fn phase(&self, discontinued: bool, available: u64, now: Millis) -> Phase {
        if self.is_over(now) {
            Phase::Closed
        } else if discontinued {
            Phase::Discontinued
        } else if self.paused {
            Phase::Paused
        } else if now < self.opens_at {
            Phase::Scheduled
        } else if available == 0 {
            Phase::SoldOut
        } else {
            Phase::Open
        }
    }
}

indexes! {
    /// All sales, by the log entry that created them.
    SalesByTicket(1020, "sales_by_ticket", IndexKind::Appended { term_bytes: 0 }):
        (Revision, SaleId);
    /// Sales that are closed, and those that are not.
    SalesByClosed(1021, "sales_by_closed", IndexKind::Stored): (bool, Revision, SaleId);
    /// Sales of a product, closed or not.
    SalesByProduct(1022, "sales_by_product", IndexKind::Stored):
        (ProductId, bool, Revision, SaleId);
}

impl Versioned for Sale {}

impl Row for Sale {
    const TABLE: TableId = TableId(3);
    const NAME: &'static str = "sales";
    const HOT: bool = true;
    const LIVE: bool = true;
    type Key = SaleId;

    fn key(&self) -> SaleId {
        self.id
    }

    fn stamp(&self) -> Option<RowStamp> {
        Some(self.row)
    }

    fn set_stamp(&mut self, stamp: RowStamp) {
        self.row = stamp;
    }

    fn index(&self, rows: &mut IndexRows) {
        let ticket = self.row.created.revision;
        rows.add::<SalesByTicket>((ticket, self.id));
        rows.add::<SalesByClosed>((self.closed, ticket, self.id));
        rows.add::<SalesByProduct>((self.product, self.closed, ticket, self.id));
    }

    fn due_at(&self) -> Option<Millis> {
        self.due_at
    }
}
