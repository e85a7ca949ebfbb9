//! What staff do with sales, and what their timers do.

use std::sync::Arc;

use super::command::{
    Allotment, SaleAllot, SaleClose, SaleCreate, SalePause, SaleResume, SaleUpdate,
};
use super::row::Sale;
use crate::draft::Draft;
use crate::field;
use crate::journal::event::{Fact, SaleFact};
use crate::kernel::actor::Actor;
use crate::kernel::id::SaleId;
use crate::kernel::value::{
    LINE_QUANTITY_MAX, Millis, Money, NOTE_CHARS_MAX, RowStamp, STOCK_QUANTITY_MAX, TITLE_CHARS_MAX,
};
use crate::outcome::{Done, Kind, Refusal};
use crate::permission::Needs;
use crate::product::row::Product;
use crate::rule::{Rule, Touch};
use crate::settings::row::PAY_WITHIN_MS;
use crate::stock::moves::{
    Cause, hand_on, open_pool, pool_of, require_stock_quantity, require_units, shift, transfer,
};
use crate::stock::row::{Account, PoolId, Reason};
use crate::view::View;

impl Rule for SaleCreate {
    fn needs(&self) -> Needs {
        Needs::Shop
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::Units(PoolId::Product(self.product), self.units)]
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        create(draft, self)
    }
}

impl Rule for SaleUpdate {
    fn needs(&self) -> Needs {
        Needs::Shop
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::Sale(self.id)]
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        update(draft, self)
    }
}

impl Rule for SaleAllot {
    fn needs(&self) -> Needs {
        Needs::Shop
    }

    fn touches(&self) -> Vec<Touch> {
        let mut touches = vec![Touch::Sale(self.id)];
        match self.allotment {
            Allotment::UpFromNew => {}
            Allotment::UpFromGeneral => {
                touches.push(Touch::GeneralUnits(self.id, self.quantity));
            }
            Allotment::Down => touches.push(Touch::Units(PoolId::Sale(self.id), self.quantity)),
        }
        touches
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        allot(draft, self)
    }
}

impl Rule for SalePause {
    fn needs(&self) -> Needs {
        Needs::Shop
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::Sale(self.id)]
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        set_paused(draft, self.id, self.if_version, true)
    }
}

impl Rule for SaleResume {
    fn needs(&self) -> Needs {
        Needs::Shop
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::Sale(self.id)]
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        set_paused(draft, self.id, self.if_version, false)
    }
}

impl Rule for SaleClose {
    fn needs(&self) -> Needs {
        Needs::Shop
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::Sale(self.id)]
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        close(draft, self)
    }
}

/// Creates a sale; its units leave the product's available stock.
fn create<V: View>(draft: &mut Draft<'_, V>, ask: &SaleCreate) -> Result<Done, Refusal> {
    field::text("/title", &ask.title, TITLE_CHARS_MAX)?;
    field::require(ask.units <= STOCK_QUANTITY_MAX, "/units", "out_of_range")?;
    require_price(ask.price)?;
    field::instant("/opens_at", ask.opens_at)?;
    require_window(ask.opens_at, ask.closes_at)?;
    require_limit(ask.per_customer_limit)?;
    require_pay_within(ask.pay_within_ms)?;
    let product = draft.get::<Product>(ask.product).ok_or(Refusal::NotFound(Kind::Product))?;
    if draft.get::<Sale>(ask.id).is_some() {
        return Err(Refusal::IdInUse);
    }
    let price = ask.price.unwrap_or(product.price);
    require_currency(price, product.price)?;
    if product.discontinued {
        return Err(Refusal::ProductDiscontinued { product: product.id });
    }
    let (general, allotted) = (PoolId::Product(product.id), PoolId::Sale(ask.id));
    require_units(&pool_of(draft, general), Account::Available, ask.units)?;
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
fn update<V: View>(draft: &mut Draft<'_, V>, ask: &SaleUpdate) -> Result<Done, Refusal> {
    field::text_if_any("/title", ask.title.as_ref(), TITLE_CHARS_MAX)?;
    require_price(ask.price)?;
    ask.opens_at.map_or(Ok(()), |at| field::instant("/opens_at", at))?;
    ask.closes_at.flatten().map_or(Ok(()), |at| field::instant("/closes_at", at))?;
    ask.per_customer_limit.map_or(Ok(()), require_limit)?;
    require_pay_within(ask.pay_within_ms.flatten())?;
    let mut sale = named(draft, ask.id)?;
    field::version(sale.row, Some(ask.if_version))?;
    require_not_over(&sale, draft.now())?;
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
fn allot<V: View>(draft: &mut Draft<'_, V>, ask: &SaleAllot) -> Result<Done, Refusal> {
    require_stock_quantity("/quantity", ask.quantity)?;
    field::text_if_any("/note", ask.note.as_ref(), NOTE_CHARS_MAX)?;
    let sale = named(draft, ask.id)?;
    require_not_over(&sale, draft.now())?;
    let (general, allotted) = (PoolId::Product(sale.product), PoolId::Sale(sale.id));
    let (from, to) = match ask.allotment {
        Allotment::UpFromGeneral | Allotment::UpFromNew => (general, allotted),
        Allotment::Down => (allotted, general),
    };
    let cause = Cause::note(ask.note.clone());
    if ask.allotment == Allotment::UpFromNew {
        shift(draft, general, Reason::StockIn, ask.quantity, cause.clone());
    } else {
        require_units(&pool_of(draft, from), Account::Available, ask.quantity)?;
    }
    transfer(draft, (from, to), Reason::Allot, ask.quantity, cause);
    Ok(done(draft, &sale))
}

/// Stops new orders for now, or lets them go on; never payments or timers.
fn set_paused<V: View>(
    draft: &mut Draft<'_, V>,
    id: SaleId,
    if_version: Option<u64>,
    paused: bool,
) -> Result<Done, Refusal> {
    let mut sale = named(draft, id)?;
    field::version(sale.row, if_version)?;
    require_not_over(&sale, draft.now())?;
    if sale.paused == paused {
        return Ok(done(draft, &sale));
    }
    sale.paused = paused;
    let what = if paused { SaleFact::Paused } else { SaleFact::Resumed };
    Ok(store_and_publish(draft, sale, what))
}

/// Ends a sale now, as if `closes_at` were now.
fn close<V: View>(draft: &mut Draft<'_, V>, ask: &SaleClose) -> Result<Done, Refusal> {
    let mut sale = named(draft, ask.id)?;
    field::version(sale.row, ask.if_version)?;
    require_not_over(&sale, draft.now())?;
    sale.closes_at = Some(draft.now());
    let sale = end(draft, sale);
    Ok(done(draft, &sale))
}

/// Does what the sale's timer asks for: publishes its opening, ends it at its closing.
pub(crate) fn when_due<V: View>(draft: &mut Draft<'_, V>, id: SaleId) {
    let Some(mut sale) = draft.get::<Sale>(id).map(|row| (*row).clone()) else { return };
    let opens = !sale.opened && sale.opens_at <= draft.now();
    if opens {
        sale.opened = true;
        publish(draft, &sale, SaleFact::Opened);
    }
    if sale.is_over(draft.now()) {
        end(draft, sale);
    } else {
        sale.due_at = sale.next_timer();
        draft.put(sale);
    }
}

fn end<V: View>(draft: &mut Draft<'_, V>, mut sale: Sale) -> Sale {
    let was_closed = sale.closed;
    sale.closed = true;
    sale.due_at = None;
    let sale = (*draft.put(sale)).clone();
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
    let sale = draft.put(sale);
    publish(draft, &sale, what);
    if opens {
        publish(draft, &sale, SaleFact::Opened);
    }
    done(draft, &sale)
}

fn named<V: View>(draft: &mut Draft<'_, V>, id: SaleId) -> Result<Sale, Refusal> {
    draft.get::<Sale>(id).map(|row| (*row).clone()).ok_or(Refusal::NotFound(Kind::Sale))
}

/// The product of a sale that exists.
pub(crate) fn product_of<V: View>(draft: &mut Draft<'_, V>, sale: &Sale) -> Arc<Product> {
    draft.get::<Product>(sale.product).expect("a sale is created on a product, and products stay")
}

fn publish<V: View>(draft: &mut Draft<'_, V>, sale: &Sale, what: SaleFact) {
    let available = pool_of(draft, PoolId::Sale(sale.id)).accounts.available;
    let discontinued = product_of(draft, sale).discontinued;
    let phase = sale.phase(discontinued, available, draft.now());
    draft.publish(Fact::Sale { sale: sale.id, what, phase });
}

fn done<V: View>(draft: &mut Draft<'_, V>, sale: &Sale) -> Done {
    let pool = *pool_of(draft, PoolId::Sale(sale.id));
    let discontinued = product_of(draft, sale).discontinued;
    Done::Sale(Box::new(sale.clone()), pool, discontinued)
}

/// `sale_closed` once the sale's window is over.
pub(crate) fn require_not_over(sale: &Sale, now: Millis) -> Result<(), Refusal> {
    if sale.is_over(now) {
        return Err(Refusal::SaleClosed { closes_at: sale.closes_at });
    }
    Ok(())
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
