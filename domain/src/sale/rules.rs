//! Sales: a limited offer on one product, with its own units, window and limit.

use serde::{Deserialize, Serialize};

use crate::command::{Allotment, SaleAllot, SaleCommand, SaleCreate, SaleUpdate};
use crate::decide::require_version;
use crate::draft::Draft;
use crate::event::{Fact, SaleFact};
use crate::field;
use crate::id::{OrderId, ProductId, SaleId};
use crate::outcome::{Done, Kind, Refusal};
use crate::settings::PAY_WITHIN_MS;
use crate::stock::{
    Account, Cause, PoolId, Reason, open_pool, require_stock_quantity, require_units, shift,
    transfer,
};
use crate::value::{
    LINE_QUANTITY_MAX, Millis, Money, NOTE_CHARS_MAX, RowStamp, STOCK_QUANTITY_MAX, TITLE_CHARS_MAX,
};
use crate::view::View;

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

    /// Refuses with `sale_closed` once the window is over.
    pub(crate) fn require_not_over(&self, now: Millis) -> Result<(), Refusal> {
        if self.is_over(now) {
            return Err(Refusal::SaleClosed { closes_at: self.closes_at });
        }
        Ok(())
    }

    /// The earliest thing the row waits for: to be opened, then to be closed.
    fn next_timer(&self) -> Option<Millis> {
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

/// Creates a sale; its units leave the product's available stock.
pub(crate) fn create<V: View>(draft: &mut Draft<'_, V>, ask: &SaleCreate) -> Result<Done, Refusal> {
    field::text("/title", &ask.title, TITLE_CHARS_MAX)?;
    field::require(ask.units <= STOCK_QUANTITY_MAX, "/units", "out_of_range")?;
    require_price(ask.price)?;
    field::instant("/opens_at", ask.opens_at)?;
    require_window(ask.opens_at, ask.closes_at)?;
    require_limit(ask.per_customer_limit)?;
    require_pay_within(ask.pay_within_ms)?;
    let product = draft.product(ask.product).ok_or(Refusal::NotFound(Kind::Product))?;
    if draft.sale(ask.id).is_some() {
        return Err(Refusal::IdInUse);
    }
    let price = ask.price.unwrap_or(product.price);
    require_currency(price, product.price)?;
    if product.discontinued {
        return Err(Refusal::ProductDiscontinued { product: product.id });
    }
    let (general, allotted) = (PoolId::Product(product.id), PoolId::Sale(ask.id));
    require_units(&draft.pool_of(general), Account::Available, ask.units)?;
    open_pool(draft, allotted);
    if ask.units > 0 {
        transfer(draft, (general, allotted), Reason::Allot, ask.units, Cause::default());
    }
    let sale = Sale {
        id: ask.id,
        product: ask.product,
        title: ask.title.clone(),
        opens_at: ask.opens_at,
        closes_at: ask.closes_at,
        per_customer_limit: ask.per_customer_limit,
        pay_within_ms: ask.pay_within_ms,
        price,
        disclosure: ask.disclosure,
        paused: false,
        waitlist: ask.waitlist,
        closed: false,
        opened: false,
        due_at: None,
        row: RowStamp::default(), // The draft sets it.
    };
    Ok(store_and_publish(draft, sale, SaleFact::Created))
}

/// Changes a sale. Once it is open, what buyers rely on stays as it is.
pub(crate) fn update<V: View>(draft: &mut Draft<'_, V>, ask: &SaleUpdate) -> Result<Done, Refusal> {
    field::text_if_any("/title", ask.title.as_ref(), TITLE_CHARS_MAX)?;
    require_price(ask.price)?;
    ask.opens_at.map_or(Ok(()), |at| field::instant("/opens_at", at))?;
    ask.closes_at.flatten().map_or(Ok(()), |at| field::instant("/closes_at", at))?;
    ask.per_customer_limit.map_or(Ok(()), require_limit)?;
    require_pay_within(ask.pay_within_ms.flatten())?;
    let mut sale = named(draft, ask.id)?;
    require_version(sale.row, Some(ask.if_version))?;
    sale.require_not_over(draft.now())?;
    let fixed = ask.price.is_some() || ask.opens_at.is_some() || ask.pay_within_ms.is_some();
    if fixed && sale.opens_at <= draft.now() {
        return Err(Refusal::SaleOpen);
    }
    let price = ask.price.unwrap_or(sale.price);
    require_currency(price, sale.price)?;
    let opens_at = ask.opens_at.unwrap_or(sale.opens_at);
    let closes_at = ask.closes_at.unwrap_or(sale.closes_at);
    require_window(opens_at, closes_at)?;
    let closes_later = closes_at.is_none_or(|end| draft.now() < end);
    field::require(closes_later, "/closes_at", "out_of_range")?;
    if let Some(title) = &ask.title {
        sale.title.clone_from(title);
    }
    sale.price = price;
    sale.opens_at = opens_at;
    sale.closes_at = closes_at;
    sale.per_customer_limit = ask.per_customer_limit.unwrap_or(sale.per_customer_limit);
    sale.pay_within_ms = ask.pay_within_ms.unwrap_or(sale.pay_within_ms);
    sale.disclosure = ask.disclosure.unwrap_or(sale.disclosure);
    sale.waitlist = ask.waitlist.unwrap_or(sale.waitlist);
    Ok(store_and_publish(draft, sale, SaleFact::Updated))
}

/// Moves units between a sale and its product's general stock, or brings new ones in.
pub(crate) fn allot<V: View>(draft: &mut Draft<'_, V>, ask: &SaleAllot) -> Result<Done, Refusal> {
    require_stock_quantity("/quantity", ask.quantity)?;
    field::text_if_any("/note", ask.note.as_ref(), NOTE_CHARS_MAX)?;
    let sale = named(draft, ask.id)?;
    sale.require_not_over(draft.now())?;
    let (general, allotted) = (PoolId::Product(sale.product), PoolId::Sale(sale.id));
    let (from, to) = match ask.allotment {
        Allotment::UpFromGeneral | Allotment::UpFromNew => (general, allotted),
        Allotment::Down => (allotted, general),
    };
    let cause = Cause::note(ask.note.clone());
    if ask.allotment == Allotment::UpFromNew {
        shift(draft, general, Reason::StockIn, ask.quantity, cause.clone());
    } else {
        require_units(&draft.pool_of(from), Account::Available, ask.quantity)?;
    }
    transfer(draft, (from, to), Reason::Allot, ask.quantity, cause);
    Ok(done(draft, &sale))
}

/// Stops new orders for now; never payments or timers.
pub(crate) fn pause<V: View>(draft: &mut Draft<'_, V>, ask: &SaleCommand) -> Result<Done, Refusal> {
    set_paused(draft, ask, true, SaleFact::Paused)
}

/// Lets a paused sale go on.
pub(crate) fn resume<V: View>(
    draft: &mut Draft<'_, V>,
    ask: &SaleCommand,
) -> Result<Done, Refusal> {
    set_paused(draft, ask, false, SaleFact::Resumed)
}

fn set_paused<V: View>(
    draft: &mut Draft<'_, V>,
    ask: &SaleCommand,
    paused: bool,
    what: SaleFact,
) -> Result<Done, Refusal> {
    let mut sale = named(draft, ask.id)?;
    require_version(sale.row, ask.if_version)?;
    sale.require_not_over(draft.now())?;
    if sale.paused == paused {
        return Ok(done(draft, &sale));
    }
    sale.paused = paused;
    Ok(store_and_publish(draft, sale, what))
}

/// Ends a sale now, as if `closes_at` were now.
pub(crate) fn close<V: View>(draft: &mut Draft<'_, V>, ask: &SaleCommand) -> Result<Done, Refusal> {
    let mut sale = named(draft, ask.id)?;
    require_version(sale.row, ask.if_version)?;
    sale.require_not_over(draft.now())?;
    sale.closes_at = Some(draft.now());
    let sale = end(draft, sale);
    Ok(done(draft, &sale))
}

/// Does what the sale's timer asks for: publishes its opening, ends it at its closing.
pub(crate) fn when_due<V: View>(draft: &mut Draft<'_, V>, id: SaleId) {
    let Some(mut sale) = draft.sale(id).map(|row| (*row).clone()) else { return };
    let opens = !sale.opened && sale.opens_at <= draft.now();
    if opens {
        sale.opened = true;
        publish(draft, &sale, SaleFact::Opened);
    }
    if sale.is_over(draft.now()) {
        end(draft, sale);
    } else {
        sale.due_at = sale.next_timer();
        draft.put_sale(sale);
    }
}

/// Sends what is available in a closed sale on to its product (S12).
pub(crate) fn hand_on<V: View>(draft: &mut Draft<'_, V>, sale: &Sale, order: Option<OrderId>) {
    let (general, allotted) = (PoolId::Product(sale.product), PoolId::Sale(sale.id));
    let available = draft.pool_of(allotted).accounts.available;
    if available > 0 {
        let cause = Cause { order, note: None };
        transfer(draft, (allotted, general), Reason::Leftover, available, cause);
    }
}

fn end<V: View>(draft: &mut Draft<'_, V>, mut sale: Sale) -> Sale {
    let was_closed = sale.closed;
    sale.closed = true;
    sale.due_at = None;
    let sale = (*draft.put_sale(sale)).clone();
    if !was_closed {
        hand_on(draft, &sale, None);
        publish(draft, &sale, SaleFact::Closed);
    }
    sale
}

/// Writes a sale that staff made or changed. An opening that is already past is published in
/// the same entry, so that no timer changes the version right behind the editor's back.
fn store_and_publish<V: View>(draft: &mut Draft<'_, V>, mut sale: Sale, what: SaleFact) -> Done {
    let opens = !sale.opened && sale.opens_at <= draft.now();
    sale.opened = sale.opened || opens;
    sale.due_at = sale.next_timer();
    let sale = draft.put_sale(sale);
    publish(draft, &sale, what);
    if opens {
        publish(draft, &sale, SaleFact::Opened);
    }
    done(draft, &sale)
}

fn named<V: View>(draft: &mut Draft<'_, V>, id: SaleId) -> Result<Sale, Refusal> {
    draft.sale(id).map(|row| (*row).clone()).ok_or(Refusal::NotFound(Kind::Sale))
}

fn publish<V: View>(draft: &mut Draft<'_, V>, sale: &Sale, what: SaleFact) {
    let available = draft.pool_of(PoolId::Sale(sale.id)).accounts.available;
    let discontinued = draft.product_of(sale).discontinued;
    let phase = sale.phase(discontinued, available, draft.now());
    draft.publish(Fact::Sale { sale: sale.id, what, phase });
}

fn done<V: View>(draft: &mut Draft<'_, V>, sale: &Sale) -> Done {
    let pool = *draft.pool_of(PoolId::Sale(sale.id));
    let discontinued = draft.product_of(sale).discontinued;
    Done::Sale(Box::new(sale.clone()), pool, discontinued)
}

fn require_price(price: Option<Money>) -> Result<(), Refusal> {
    price.map_or(Ok(()), |price| field::price("/price", price))
}

fn require_currency(price: Money, kept: Money) -> Result<(), Refusal> {
    field::require(price.currency == kept.currency, "/price/currency", "invalid")
}

fn require_window(opens_at: Millis, closes_at: Option<Millis>) -> Result<(), Refusal> {
    let fits = closes_at.is_none_or(|end| opens_at < end && end.is_valid());
    field::require(fits, "/closes_at", "out_of_range")
}

fn require_limit(limit: u32) -> Result<(), Refusal> {
    let fits = (1..=LINE_QUANTITY_MAX).contains(&limit);
    field::require(fits, "/per_customer_limit", "out_of_range")
}

fn require_pay_within(pay_within_ms: Option<i64>) -> Result<(), Refusal> {
    let fits = pay_within_ms.is_none_or(|ms| PAY_WITHIN_MS.contains(&ms));
    field::require(fits, "/pay_within_seconds", "out_of_range")
}
