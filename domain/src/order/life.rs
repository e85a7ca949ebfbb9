//! Orders: units set aside for one customer until paid for or run out of time.
//!
//! An unpaid order *is* the hold: there is no hold object. It leaves `payment_pending` exactly
//! once and releases its units at most once (S9). Times are log time, so every node ends it at
//! the same log entry.

use std::rc::Rc;

use firstcome_fault::{Bug, armed};
use serde::{Deserialize, Serialize};

use crate::command::{
    Actor, OrderCancel, OrderConfirm, OrderCreate, OrderDeliver, OrderReturn, OrderShip,
    ReturnReceive, WantedLine,
};
use crate::draft::Draft;
use crate::event::{EventLine, Fact};
use crate::field;
use crate::id::{OrderId, PaymentId, ProductId, UserId};
use crate::outcome::{Done, Kind, Refusal};
use crate::payment;
use crate::permission::is_staff;
use crate::product::Product;
use crate::sale::{Disclosure, Sale};
use crate::settings::Settings;
use crate::stock::{Cause, PoolId, Reason, Usage, shift};
use crate::value::{
    Currency, LINE_QUANTITY_MAX, LINES_MAX, Millis, Money, RowStamp, SEALED_BYTES_MAX, Sealed,
    Stamp, TRACKING_CHARS_MAX,
};
use crate::view::View;

/// Where an order is in its life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Status {
    /// Holds its units until `pay_by`.
    PaymentPending,
    /// Paid for; ships next.
    Paid,
    /// On its way.
    Shipping,
    /// Arrived; may be returned for a while.
    Delivered,
    /// The customer sends it back.
    ReturnRequested,
    /// Terminal: declined for good.
    PaymentFailed,
    /// Terminal: unpaid at `pay_by`.
    Expired,
    /// Terminal: kept.
    Confirmed,
    /// Terminal: called off before shipping.
    Canceled,
    /// Terminal: came back.
    Returned,
}

impl Status {
    /// Every status, in the order of the declaration.
    pub const ALL: [Self; 10] = [
        Self::PaymentPending,
        Self::Paid,
        Self::Shipping,
        Self::Delivered,
        Self::ReturnRequested,
        Self::PaymentFailed,
        Self::Expired,
        Self::Confirmed,
        Self::Canceled,
        Self::Returned,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PaymentPending => "payment_pending",
            Self::Paid => "paid",
            Self::Shipping => "shipping",
            Self::Delivered => "delivered",
            Self::ReturnRequested => "return_requested",
            Self::PaymentFailed => "payment_failed",
            Self::Expired => "expired",
            Self::Confirmed => "confirmed",
            Self::Canceled => "canceled",
            Self::Returned => "returned",
        }
    }

    /// Whether the order never changes status again.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::PaymentFailed
            | Self::Expired
            | Self::Confirmed
            | Self::Canceled
            | Self::Returned => true,
            Self::PaymentPending
            | Self::Paid
            | Self::Shipping
            | Self::Delivered
            | Self::ReturnRequested => false,
        }
    }

    /// Whether the order's units are in `sold` (S4).
    pub const fn is_sold(self) -> bool {
        match self {
            Self::Paid
            | Self::Shipping
            | Self::Delivered
            | Self::Confirmed
            | Self::ReturnRequested => true,
            Self::PaymentPending
            | Self::PaymentFailed
            | Self::Expired
            | Self::Canceled
            | Self::Returned => false,
        }
    }
}

/// One pool with a quantity inside an order. Names and prices are copies from decision time.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Where the units come from.
    pub pool: PoolId,
    /// What they are units of.
    pub product: ProductId,
    /// The product's name.
    pub name: String,
    /// Price of one unit.
    pub unit_price: Money,
    /// Units, 1..=100.
    pub quantity: u32,
}

/// How the order came to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Source {
    /// The customer named the lines.
    Direct,
    /// From the wishlist.
    Wishlist,
    /// Promoted from the waitlist.
    Waitlist,
}

/// Why an order ended early.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum EndReason {
    /// `pay_by` passed.
    Unpaid,
    /// Called off by its owner.
    ByCustomer,
    /// Called off by staff.
    ByStaff,
    /// The payment was declined for good, or of another amount.
    PaymentRefused,
}

/// Where a payment stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum PaymentStatus {
    /// Nothing asked of a provider yet.
    Pending,
    /// The provider was told to take the money.
    Confirming,
    /// Captured, amount equal.
    Paid,
    /// Declined for good.
    Failed,
    /// The order ended before money moved.
    Canceled,
    /// Money is being given back.
    RefundPending,
    /// Money was given back.
    Refunded,
}

/// How far the giving back of one capture is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Refund {
    /// Kept.
    None,
    /// Being given back.
    Pending,
    /// Given back.
    Done,
}

/// Money that was taken for a payment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Capture {
    /// What the provider calls it; 1..=200 characters.
    pub provider_ref: String,
    /// Minor units, in the order's currency.
    pub amount: i64,
    /// Whether it goes back.
    pub refund: Refund,
}

/// The one payment of an order; lives inside the order's row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Payment {
    /// Where it stands.
    pub status: PaymentStatus,
    /// Tries so far.
    pub attempt: u32,
    /// What was taken.
    pub captures: Vec<Capture>,
    /// The last decline's code.
    pub last_code: Option<String>,
}

/// One order row.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Order {
    /// `ord_...`
    pub id: OrderId,
    /// Whose it is.
    pub customer: UserId,
    /// 1..=20 lines, one per pool.
    pub lines: Vec<Line>,
    /// Sum of all lines, minor units.
    pub total: i64,
    /// The one currency of all lines.
    pub currency: Currency,
    /// Where it goes; absent when every product is `no_shipping`.
    pub address: Option<Sealed>,
    /// How it came to be.
    pub source: Source,
    /// Where it is in its life.
    pub status: Status,
    /// Log time of the entry that set the status.
    pub entered_at: Millis,
    /// First instant at which the unpaid order no longer holds its units.
    pub pay_by: Option<Millis>,
    /// The last instant any extension of `pay_by` can reach.
    pub pay_by_max: Option<Millis>,
    /// When the row wants to be looked at; none when terminal.
    pub due_at: Option<Millis>,
    /// Its one payment.
    pub payment: Payment,
    /// The carrier's number.
    pub tracking_no: Option<String>,
    /// Why it ended early.
    pub reason: Option<EndReason>,
    /// The log entry that placed it: its place in the line.
    pub ticket: Stamp,
    /// Version and stamps.
    pub row: RowStamp,
}

impl Order {
    /// Its payment's id.
    pub const fn payment_id(&self) -> PaymentId {
        self.id.payment()
    }
}

/// One wanted pool, with the rows that its checks look at.
struct Wanted {
    pool: PoolId,
    quantity: u32,
    product: Rc<Product>,
    sale: Option<Rc<Sale>>,
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
) -> Result<Done, Refusal> {
    let wanted = wanted(draft, ask)?;
    let terms = check(draft, customer, ask, &wanted)?;
    if draft.order(ask.id).is_some() {
        return Err(Refusal::IdInUse);
    }
    let pay_by = draft.now().plus(terms.pay_within_ms);
    let pay_by_max = pay_by.plus(draft.settings().confirm_grace_ms);
    for line in &wanted {
        let quantity = u64::from(line.quantity);
        shift(draft, line.pool, Reason::Hold, quantity, Cause::order(ask.id));
        if let PoolId::Sale(sale) = line.pool {
            let usage = draft.usage(sale, customer);
            let row = RowStamp::default(); // The draft sets it.
            let empty = Usage { sale, customer, used: 0, holding: None, row };
            let mut usage = usage.map_or(empty, |row| *row);
            usage.used = usage.used.checked_add(quantity).expect("S5: at most the limit, 100");
            usage.holding = Some(ask.id);
            draft.put_usage(usage);
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
        source: Source::Direct,
    });
    let lines = wanted.iter().map(|line| Line {
        pool: line.pool,
        product: line.product.id,
        name: line.product.name.clone(),
        unit_price: line.unit_price(),
        quantity: line.quantity,
    });
    let payment = Payment {
        status: PaymentStatus::Pending,
        attempt: 0,
        captures: Vec::new(),
        last_code: None,
    };
    let order = draft.put_order(Order {
        id: ask.id,
        customer,
        lines: lines.collect(),
        total: terms.total,
        currency: terms.currency,
        address: ask.address.clone(),
        source: Source::Direct,
        status: Status::PaymentPending,
        entered_at: draft.now(),
        pay_by: Some(pay_by),
        pay_by_max: Some(pay_by_max),
        due_at: Some(pay_by),
        payment,
        tracking_no: None,
        reason: None,
        ticket: draft.stamp(),
        row: RowStamp::default(), // The draft sets it.
    });
    Ok(done(&order))
}

/// What [`create`] would refuse with, without making the order.
pub(crate) fn refusal<V: View>(
    draft: &mut Draft<'_, V>,
    customer: UserId,
    ask: &OrderCreate,
) -> Option<Refusal> {
    let wanted = match wanted(draft, ask) {
        Ok(wanted) => wanted,
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

/// The common checks: fields, named rows, the address; then the lines summed per pool.
fn wanted<V: View>(draft: &mut Draft<'_, V>, ask: &OrderCreate) -> Result<Vec<Wanted>, Refusal> {
    field::require(!ask.lines.is_empty(), "/lines", "required")?;
    field::require(ask.lines.len() <= LINES_MAX, "/lines", "too_long")?;
    for (place, line) in ask.lines.iter().enumerate() {
        if !(1..=LINE_QUANTITY_MAX).contains(&line.quantity) {
            return Err(field::invalid(format!("/lines/{place}/quantity"), "out_of_range"));
        }
    }
    let fits = ask.address.as_ref().is_none_or(|sealed| sealed.0.len() <= SEALED_BYTES_MAX);
    field::require(fits, "/address", "too_long")?;
    let mut wanted = Vec::with_capacity(ask.lines.len());
    for (pool, quantity) in sums(&ask.lines) {
        let (product, sale) = match pool {
            PoolId::Product(id) => {
                (draft.product(id).ok_or(Refusal::NotFound(Kind::Product))?, None)
            }
            PoolId::Sale(id) => {
                let sale = draft.sale(id).ok_or(Refusal::NotFound(Kind::Sale))?;
                (draft.product_of(&sale), Some(sale))
            }
        };
        wanted.push(Wanted { pool, quantity, product, sale });
    }
    let addressed = ask.address.is_some() || wanted.iter().all(|line| line.product.no_shipping);
    field::require(addressed, "/address", "required")?;
    for line in &wanted {
        if line.quantity > LINE_QUANTITY_MAX {
            let place = ask.lines.iter().rposition(|asked| asked.target == line.pool);
            let pointer = format!("/lines/{}/quantity", place.unwrap_or(0));
            return Err(field::invalid(pointer, "out_of_range"));
        }
    }
    Ok(wanted)
}

/// The own checks, left to right; each covers all lines before the next.
fn check<V: View>(
    draft: &mut Draft<'_, V>,
    customer: UserId,
    ask: &OrderCreate,
    wanted: &[Wanted],
) -> Result<Terms, Refusal> {
    check_windows(wanted, draft.now())?;
    let terms = price(draft.settings(), wanted)?;
    let total = Money { amount: terms.total, currency: terms.currency };
    if ask.expected_total.is_some_and(|seen| seen != total) {
        return Err(Refusal::PriceChanged { total });
    }
    check_customer(draft, customer, wanted)?;
    for line in wanted {
        let mut available = draft.pool_of(line.pool).accounts.available;
        if armed(Bug::OversellOffByOne) {
            available = available.saturating_add(1);
        }
        if available < u64::from(line.quantity) {
            let sale = line.sale.as_ref();
            let exact = sale.is_none_or(|sale| sale.disclosure == Disclosure::Exact);
            return Err(Refusal::SoldOut {
                pool: line.pool,
                waitlist: sale.map_or(line.product.waitlist, |sale| sale.waitlist),
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
    sales().try_for_each(|sale| sale.require_not_over(now))
}

fn price(settings: Settings, wanted: &[Wanted]) -> Result<Terms, Refusal> {
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
        own.unwrap_or(settings.pay_within_ms)
    });
    // With several lines, the strictest pool says how long all of them may be held.
    let pay_within_ms = holds.min().unwrap_or(settings.pay_within_ms);
    Ok(Terms { total, currency, pay_within_ms })
}

fn check_customer<V: View>(
    draft: &mut Draft<'_, V>,
    customer: UserId,
    wanted: &[Wanted],
) -> Result<(), Refusal> {
    let sales = || wanted.iter().filter_map(|line| Some((line.sale.as_ref()?, line.quantity)));
    for (sale, _) in sales() {
        let holding = draft.usage(sale.id, customer).and_then(|usage| usage.holding);
        if let Some(order) = holding.and_then(|id| draft.order(id)) {
            let pay_by = order.pay_by.unwrap_or(order.entered_at);
            return Err(Refusal::AlreadyHolding { order: order.id, pay_by });
        }
    }
    let limit = draft.settings().max_pending_orders;
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    if draft.pending_orders(customer, most) >= most {
        return Err(Refusal::TooManyPendingOrders { limit });
    }
    for (sale, quantity) in sales() {
        let limit = sale.per_customer_limit;
        let used = draft.usage(sale.id, customer).map_or(0, |usage| usage.used);
        if used.saturating_add(u64::from(quantity)) > u64::from(limit) {
            return Err(Refusal::LimitReached { limit, used });
        }
    }
    Ok(())
}

/// Calls an order off, while it is unpaid or not shipped; money that was taken goes back.
pub(crate) fn cancel<V: View>(
    draft: &mut Draft<'_, V>,
    actor: Actor,
    ask: &OrderCancel,
) -> Result<Done, Refusal> {
    let (mut order, own) = reachable(draft, actor, ask.id)?;
    let status = order.status;
    if status != Status::PaymentPending && status != Status::Paid {
        return Err(Refusal::NotCancelable { status });
    }
    if order.payment.status == PaymentStatus::Confirming {
        return Err(Refusal::PaymentInProgress);
    }
    order.reason = Some(if own { EndReason::ByCustomer } else { EndReason::ByStaff });
    if status == Status::Paid {
        give_back(draft, &order, Reason::Cancel);
        payment::refund(draft, &mut order);
    } else {
        give_back(draft, &order, Reason::Release);
        payment::call_off(draft, &mut order);
    }
    Ok(done(&enter(draft, order, Status::Canceled)))
}

/// Records that the parcel left.
pub(crate) fn ship<V: View>(draft: &mut Draft<'_, V>, ask: &OrderShip) -> Result<Done, Refusal> {
    field::text_if_any("/tracking_no", ask.tracking_no.as_ref(), TRACKING_CHARS_MAX)?;
    let mut order = in_status(draft, ask.id, Status::Paid)?;
    order.tracking_no.clone_from(&ask.tracking_no);
    Ok(done(&enter(draft, order, Status::Shipping)))
}

/// Records that the parcel arrived.
pub(crate) fn deliver<V: View>(
    draft: &mut Draft<'_, V>,
    ask: &OrderDeliver,
) -> Result<Done, Refusal> {
    let order = in_status(draft, ask.id, Status::Shipping)?;
    Ok(done(&enter(draft, order, Status::Delivered)))
}

/// The owner keeps it: no return any more.
pub(crate) fn confirm<V: View>(
    draft: &mut Draft<'_, V>,
    customer: UserId,
    ask: &OrderConfirm,
) -> Result<Done, Refusal> {
    let order = owned(draft, customer, ask.id)?;
    if order.status != Status::Delivered {
        return Err(Refusal::WrongStatus { status: order.status });
    }
    Ok(done(&enter(draft, order, Status::Confirmed)))
}

/// The owner sends it back, while the return window lasts.
pub(crate) fn send_back<V: View>(
    draft: &mut Draft<'_, V>,
    customer: UserId,
    ask: &OrderReturn,
) -> Result<Done, Refusal> {
    let order = owned(draft, customer, ask.id)?;
    let in_time = order.due_at.is_none_or(|end| draft.now() < end);
    if order.status != Status::Delivered || !in_time {
        return Err(Refusal::NotReturnable { status: order.status });
    }
    Ok(done(&enter(draft, order, Status::ReturnRequested)))
}

/// Records that the parcel came back: units are restocked or scrapped, the money goes back.
pub(crate) fn receive<V: View>(
    draft: &mut Draft<'_, V>,
    ask: &ReturnReceive,
) -> Result<Done, Refusal> {
    let order = in_status(draft, ask.id, Status::ReturnRequested)?;
    let reason = if ask.restock { Reason::Restock } else { Reason::ReturnScrap };
    Ok(done(&take_back(draft, order, reason)))
}

/// Does what the order's timer asks for.
pub(crate) fn when_due<V: View>(draft: &mut Draft<'_, V>, id: OrderId) {
    let Some(order) = draft.order(id).map(|row| (*row).clone()) else { return };
    match order.status {
        Status::PaymentPending => expire(draft, order),
        Status::Canceled if armed(Bug::CancelAndExpireBothRelease) => expire(draft, order),
        Status::Paid => drop(enter(draft, order, Status::Shipping)),
        Status::Shipping => drop(enter(draft, order, Status::Delivered)),
        Status::Delivered => drop(enter(draft, order, Status::Confirmed)),
        Status::ReturnRequested => drop(take_back(draft, order, Reason::Restock)),
        Status::PaymentFailed
        | Status::Expired
        | Status::Confirmed
        | Status::Canceled
        | Status::Returned => panic!("S9: terminal order {id} has a timer"),
    }
}

fn expire<V: View>(draft: &mut Draft<'_, V>, mut order: Order) {
    order.reason = Some(EndReason::Unpaid);
    if armed(Bug::ExpiryLosesUnit) {
        order.lines.iter().for_each(|line| change_usage(draft, &order, line, line.quantity.into()));
    } else {
        give_back(draft, &order, Reason::Release);
    }
    payment::call_off(draft, &mut order);
    enter(draft, order, Status::Expired);
}

fn take_back<V: View>(draft: &mut Draft<'_, V>, mut order: Order, reason: Reason) -> Rc<Order> {
    give_back(draft, &order, reason);
    payment::refund(draft, &mut order);
    enter(draft, order, Status::Returned)
}

/// Gives a live order up because its payment was refused.
pub(crate) fn fail<V: View>(draft: &mut Draft<'_, V>, mut order: Order) -> Rc<Order> {
    order.reason = Some(EndReason::PaymentRefused);
    give_back(draft, &order, Reason::Release);
    enter(draft, order, Status::PaymentFailed)
}

/// Turns the hold of a live order into sold units.
pub(crate) fn pay<V: View>(draft: &mut Draft<'_, V>, order: Order) -> Rc<Order> {
    for line in &order.lines {
        shift(draft, line.pool, Reason::Pay, u64::from(line.quantity), Cause::order(order.id));
        change_usage(draft, &order, line, 0);
    }
    enter(draft, order, Status::Paid)
}

/// What [`Bug::LateCaptureRevivesOrder`] does before it pays: an expired order holds its units
/// again, as far as there are any.
pub(crate) fn revive<V: View>(draft: &mut Draft<'_, V>, order: &Order) -> bool {
    let mut covered =
        |line: &Line| draft.pool_of(line.pool).accounts.available >= u64::from(line.quantity);
    if order.status != Status::Expired || !order.lines.iter().all(&mut covered) {
        return false;
    }
    for line in &order.lines {
        let quantity = u64::from(line.quantity);
        shift(draft, line.pool, Reason::Hold, quantity, Cause::order(order.id));
        if let PoolId::Sale(sale) = line.pool
            && let Some(usage) = draft.usage(sale, order.customer)
        {
            draft.put_usage(Usage { used: usage.used.saturating_add(quantity), ..*usage });
        }
    }
    true
}

/// Moves the order's units out of held or sold; they no longer count for its customer.
fn give_back<V: View>(draft: &mut Draft<'_, V>, order: &Order, reason: Reason) {
    for line in &order.lines {
        let quantity = u64::from(line.quantity);
        shift(draft, line.pool, reason, quantity, Cause::order(order.id));
        change_usage(draft, order, line, quantity);
    }
}

/// Ends the customer's open hold on the line's sale, and takes units off their usage.
fn change_usage<V: View>(draft: &mut Draft<'_, V>, order: &Order, line: &Line, given_back: u64) {
    let PoolId::Sale(sale) = line.pool else { return };
    let usage = draft.usage(sale, order.customer);
    let mut usage = *usage.expect("S5: an order on a sale wrote its customer's usage");
    usage.used = usage.used.checked_sub(given_back).expect("S5: used counts this order's units");
    if usage.holding == Some(order.id) {
        usage.holding = None;
    }
    draft.put_usage(usage);
}

/// Enters a status: sets its timer from this log entry, writes the row, publishes the fact.
fn enter<V: View>(draft: &mut Draft<'_, V>, mut order: Order, to: Status) -> Rc<Order> {
    let from = order.status;
    order.status = to;
    order.entered_at = draft.now();
    order.due_at = timer(&draft.settings(), to).map(|span_ms| draft.now().plus(span_ms));
    if armed(Bug::CancelAndExpireBothRelease) && to == Status::Canceled {
        order.due_at = order.pay_by;
    }
    let order = draft.put_order(order);
    draft.publish(Fact::OrderStatus {
        order: order.id,
        from,
        to,
        due_at: order.due_at,
        tracking_no: order.tracking_no.clone(),
    });
    order
}

/// How long an order stays in a status that it enters after `payment_pending`.
const fn timer(settings: &Settings, status: Status) -> Option<i64> {
    match status {
        Status::Paid => settings.ship_after_ms,
        Status::Shipping => settings.deliver_after_ms,
        Status::Delivered => Some(settings.return_window_ms),
        Status::ReturnRequested => Some(settings.return_after_ms),
        Status::PaymentPending
        | Status::PaymentFailed
        | Status::Expired
        | Status::Confirmed
        | Status::Canceled
        | Status::Returned => None,
    }
}

/// An order that the actor may act on, and whether it is their own. Staff reach all.
fn reachable<V: View>(
    draft: &mut Draft<'_, V>,
    actor: Actor,
    id: OrderId,
) -> Result<(Order, bool), Refusal> {
    let order = named(draft, id)?;
    match actor {
        Actor::User { id: user, .. } if order.customer == user => Ok((order, true)),
        Actor::User { role, .. } if is_staff(role) => Ok((order, false)),
        Actor::User { .. } | Actor::Node => Err(Refusal::NotFound(Kind::Order)),
    }
}

/// The customer's own order; another user's is as absent as one that never was.
fn owned<V: View>(
    draft: &mut Draft<'_, V>,
    customer: UserId,
    id: OrderId,
) -> Result<Order, Refusal> {
    let order = named(draft, id)?;
    if order.customer == customer { Ok(order) } else { Err(Refusal::NotFound(Kind::Order)) }
}

fn in_status<V: View>(
    draft: &mut Draft<'_, V>,
    id: OrderId,
    wanted: Status,
) -> Result<Order, Refusal> {
    let order = named(draft, id)?;
    let status = order.status;
    if status == wanted { Ok(order) } else { Err(Refusal::WrongStatus { status }) }
}

pub(crate) fn named<V: View>(draft: &mut Draft<'_, V>, id: OrderId) -> Result<Order, Refusal> {
    draft.order(id).map(|row| (*row).clone()).ok_or(Refusal::NotFound(Kind::Order))
}

pub(crate) fn done(order: &Order) -> Done {
    Done::Order(Box::new(order.clone()))
}
