//! Placing an order: every check in its order, then units are set aside.

use std::sync::Arc;

use super::command::{OrderCreate, ShipTo, WantedLine};
use super::row::{Line, Order, Source, Status};
use super::unpaid;
use crate::address::row::Address;
use crate::draft::Draft;
use crate::field;
use crate::journal::event::{EventLine, Fact};
use crate::kernel::actor::Actor;
use crate::kernel::id::UserId;
use crate::kernel::value::{
    Currency, LINE_QUANTITY_MAX, LINES_MAX, Millis, Money, RowStamp, SEALED_BYTES_MAX, Sealed,
};
use crate::outcome::{Done, Kind, Refusal};
use crate::payment::row::{Payment, PaymentStatus};
use crate::permission::{Needs, user};
use crate::product::row::Product;
use crate::rule::{Rule, Touch};
use crate::sale::row::{Disclosure, Sale};
use crate::sale::rules::{product_of, require_not_over};
use crate::seeded::values as seeded;
use crate::stock::moves::{Cause, pool_of, shift};
use crate::stock::row::{PoolId, Reason, Usage};
use crate::view::View;
use crate::wishlist::row::WishlistItem;

impl Rule for OrderCreate {
    fn needs(&self) -> Needs {
        Needs::AnyUser
    }

    fn touches(&self) -> Vec<Touch> {
        touches(&self.lines)
    }

    fn sealed(&self) -> Option<&Sealed> {
        self.address.as_ref().and_then(ShipTo::sealed)
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, actor: Actor) -> Result<Done, Refusal> {
        create(draft, user(actor)?, self, Source::Direct)
    }
}

/// What an order of these lines touches.
pub(crate) fn touches(lines: &[WantedLine]) -> Vec<Touch> {
    let sums = sums(lines);
    let sales = sums.iter().filter_map(|(pool, _)| match pool {
        PoolId::Sale(id) => Some([Touch::Sale(*id), Touch::OwnHold(*id)]),
        PoolId::Product(_) => None,
    });
    let units = sums.iter().map(|(pool, quantity)| Touch::Units(*pool, u64::from(*quantity)));
    sales.flatten().chain(units).collect()
}

/// One wanted pool, with the rows that its checks look at.
struct Wanted {
    pool: PoolId,
    quantity: u32,
    product: Arc<Product>,
    sale: Option<Arc<Sale>>,
}

impl Wanted {
    fn unit_price(&self) -> Money {
        self.sale.as_ref().map_or(self.product.price, |sale| sale.price)
    }
}

/// What an order would cost, and how long it may stay unpaid.
struct Terms {
    total: i64,
    currency: Currency,
    pay_within_ms: i64,
}

/// Sets units aside for the customer, or refuses with the first rule that says no.
pub(crate) fn create<V: View>(
    draft: &mut Draft<'_, V>,
    customer: UserId,
    ask: &OrderCreate,
    source: Source,
) -> Result<Done, Refusal> {
    let (wanted, address) = named(draft, customer, ask)?;
    let terms = check(draft, customer, ask, &wanted)?;
    if draft.get::<Order>(ask.id).is_some() {
        return Err(Refusal::IdInUse);
    }
    let pay_by = draft.now().plus(terms.pay_within_ms);
    for line in &wanted {
        let quantity = u64::from(line.quantity);
        shift(draft, line.pool, Reason::Hold, quantity, Cause::order(ask.id));
        if let PoolId::Sale(sale) = line.pool {
            let usage = draft.get::<Usage>((sale, customer));
            let row = RowStamp::default(); // The draft sets it.
            let empty = Usage { sale, customer, used: 0, holding: None, row };
            let mut usage = usage.map_or(empty, |row| *row);
            usage.used = usage.used.checked_add(quantity).expect("S5: at most the limit, 100");
            usage.holding = Some(ask.id);
            draft.put(usage);
        }
        // What was bought is no longer wished for.
        if draft.get::<WishlistItem>((customer, line.pool)).is_some() {
            draft.delete::<WishlistItem>((customer, line.pool));
        }
    }
    let event_lines = wanted.iter().map(|line| EventLine {
        pool: line.pool,
        quantity: line.quantity,
        unit_price: line.unit_price().amount,
    });
    draft.publish(Fact::OrderCreated {
        order: ask.id,
        lines: event_lines.collect(),
        total: terms.total,
        currency: terms.currency,
        pay_by,
        source,
    });
    let lines = wanted.iter().map(|line| Line {
        pool: line.pool,
        product: line.product.id,
        name: line.product.name.clone(),
        unit_price: line.unit_price(),
        quantity: line.quantity,
    });
    let payment = Payment { status: PaymentStatus::Pending, captures: Vec::new(), last_code: None };
    let order = draft.put(Order {
        id: ask.id,
        customer,
        lines: lines.collect(),
        total: terms.total,
        currency: terms.currency,
        address,
        source,
        status: Status::PaymentPending,
        entered_at: draft.now(),
        pay_by: Some(pay_by),
        due_at: Some(pay_by),
        payment,
        tracking_no: None,
        reason: None,
        #[cfg(feature = "next")]
        noted_at: None,
        ticket: draft.stamp(),
        row: RowStamp::default(), // The draft sets it.
    });
    Ok(Done::Order(order))
}

/// What [`create`] would refuse with, without making the order.
pub(crate) fn refusal<V: View>(
    draft: &mut Draft<'_, V>,
    customer: UserId,
    ask: &OrderCreate,
) -> Option<Refusal> {
    let wanted = match named(draft, customer, ask) {
        Ok((wanted, _)) => wanted,
        Err(refusal) => return Some(refusal),
    };
    check(draft, customer, ask, &wanted).err()
}

/// Units per pool, in the order in which the pools are first named.
pub(crate) fn sums(lines: &[WantedLine]) -> Vec<(PoolId, u32)> {
    let mut sums: Vec<(PoolId, u32)> = Vec::with_capacity(lines.len().min(LINES_MAX));
    for line in lines.iter().take(LINES_MAX) {
        match sums.iter_mut().find(|(pool, _)| *pool == line.target) {
            Some((_, sum)) => *sum = sum.saturating_add(line.quantity),
            None => sums.push((line.target, line.quantity)),
        }
    }
    sums
}

/// The rows of a target; `not_found` if there is no such sale or product.
pub(crate) fn target<V: View>(
    draft: &mut Draft<'_, V>,
    target: PoolId,
) -> Result<(Arc<Product>, Option<Arc<Sale>>), Refusal> {
    match target {
        PoolId::Product(id) => {
            Ok((draft.get::<Product>(id).ok_or(Refusal::NotFound(Kind::Product))?, None))
        }
        PoolId::Sale(id) => {
            let sale = draft.get::<Sale>(id).ok_or(Refusal::NotFound(Kind::Sale))?;
            Ok((product_of(draft, &sale), Some(sale)))
        }
    }
}

/// The common checks: fields, named rows, the address; then the lines summed per pool. Answers with
/// the lines and the address to keep.
fn named<V: View>(
    draft: &mut Draft<'_, V>,
    customer: UserId,
    ask: &OrderCreate,
) -> Result<(Vec<Wanted>, Option<Sealed>), Refusal> {
    field::require(!ask.lines.is_empty(), "/lines", "required")?;
    field::require(ask.lines.len() <= LINES_MAX, "/lines", "too_long")?;
    for (place, line) in ask.lines.iter().enumerate() {
        if !(1..=LINE_QUANTITY_MAX).contains(&line.quantity) {
            return Err(field::invalid(format!("/lines/{place}/quantity"), "out_of_range"));
        }
    }
    if let Some(ShipTo::Sent(sealed)) = &ask.address {
        field::require(sealed.0.len() <= SEALED_BYTES_MAX, "/address", "too_long")?;
    }
    let mut wanted = Vec::with_capacity(ask.lines.len());
    for (pool, quantity) in sums(&ask.lines) {
        let (product, sale) = target(draft, pool)?;
        wanted.push(Wanted { pool, quantity, product, sale });
    }
    let address = match &ask.address {
        None => None,
        Some(ShipTo::Sent(sealed)) => Some(sealed.clone()),
        Some(ShipTo::Saved(id)) => {
            let saved = draft.get::<Address>((customer, *id));
            Some(saved.ok_or(Refusal::NotFound(Kind::Address))?.body.clone())
        }
    };
    let addressed = address.is_some() || wanted.iter().all(|line| line.product.no_shipping);
    field::require(addressed, "/address", "required")?;
    for line in &wanted {
        if line.quantity > LINE_QUANTITY_MAX {
            let place = ask.lines.iter().rposition(|asked| asked.target == line.pool);
            let pointer = format!("/lines/{}/quantity", place.unwrap_or(0));
            return Err(field::invalid(pointer, "out_of_range"));
        }
    }
    Ok((wanted, address))
}

/// The own checks, left to right; each covers all lines before the next.
fn check<V: View>(
    draft: &mut Draft<'_, V>,
    customer: UserId,
    ask: &OrderCreate,
    wanted: &[Wanted],
) -> Result<Terms, Refusal> {
    check_windows(wanted, draft.now())?;
    let settings = draft.settings();
    let terms = price(wanted, settings.pay_within_ms)?;
    let total = Money { amount: terms.total, currency: terms.currency };
    if ask.expected_total.is_some_and(|seen| seen != total) {
        return Err(Refusal::PriceChanged { total });
    }
    check_customer(draft, customer, settings.max_pending_orders, wanted)?;
    for line in wanted {
        let available = seeded::available(pool_of(draft, line.pool).accounts.available);
        if available < u64::from(line.quantity) {
            let sale = line.sale.as_ref();
            let exact = sale.is_none_or(|sale| sale.disclosure == Disclosure::Exact);
            return Err(Refusal::SoldOut {
                pool: line.pool,
                available: exact.then_some(available),
            });
        }
    }
    Ok(terms)
}

fn check_windows(wanted: &[Wanted], now: Millis) -> Result<(), Refusal> {
    if let Some(line) = wanted.iter().find(|line| line.product.discontinued) {
        return Err(Refusal::ProductDiscontinued { product: line.product.id });
    }
    let sales = || wanted.iter().filter_map(|line| line.sale.as_deref());
    if sales().any(|sale| sale.paused) {
        return Err(Refusal::SalePaused);
    }
    // The window of a sale that was closed before it opened is over, not ahead.
    if let Some(sale) = sales().find(|sale| now < sale.opens_at && !sale.is_over(now)) {
        return Err(Refusal::SaleNotOpen { opens_at: sale.opens_at });
    }
    sales().try_for_each(|sale| require_not_over(sale, now))
}

fn price(wanted: &[Wanted], pay_within_ms: i64) -> Result<Terms, Refusal> {
    let first = wanted.first().map(Wanted::unit_price);
    let currency = first.ok_or_else(|| field::invalid("/lines", "required"))?.currency;
    if wanted.iter().any(|line| line.unit_price().currency != currency) {
        return Err(Refusal::CurrencyMixed);
    }
    let total = wanted.iter().try_fold(0i64, |total, line| {
        total.checked_add(line.unit_price().amount.checked_mul(i64::from(line.quantity))?)
    });
    let total = total.ok_or(Refusal::AmountOverflow)?;
    let holds = wanted.iter().map(|line| {
        let own = line.sale.as_ref().and_then(|sale| sale.pay_within_ms);
        own.unwrap_or(pay_within_ms)
    });
    // With several lines, the strictest pool says how long all of them may be held.
    let pay_within_ms = holds.min().unwrap_or(pay_within_ms);
    Ok(Terms { total, currency, pay_within_ms })
}

fn check_customer<V: View>(
    draft: &mut Draft<'_, V>,
    customer: UserId,
    limit: u32,
    wanted: &[Wanted],
) -> Result<(), Refusal> {
    let sales = || wanted.iter().filter_map(|line| Some((line.sale.as_ref()?, line.quantity)));
    for (sale, _) in sales() {
        let holding = draft.get::<Usage>((sale.id, customer)).and_then(|usage| usage.holding);
        if let Some(order) = holding.and_then(|id| draft.get::<Order>(id)) {
            let pay_by = order.pay_by.unwrap_or(order.entered_at);
            return Err(Refusal::AlreadyHolding { order: order.id, pay_by });
        }
    }
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    if unpaid::count(draft, customer, most) >= most {
        return Err(Refusal::TooManyPendingOrders { limit });
    }
    for (sale, quantity) in sales() {
        let limit = sale.per_customer_limit;
        let used = draft.get::<Usage>((sale.id, customer)).map_or(0, |usage| usage.used);
        if used.saturating_add(u64::from(quantity)) > u64::from(limit) {
            return Err(Refusal::LimitReached { limit, used });
        }
    }
    Ok(())
}
