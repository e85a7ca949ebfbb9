//! Script: runs the files in `tests/scripts` against any store of rows.
//!
//! The rules and storage share the scripts: [`Memory`] runs them here, and
//! the same files must give the same output over the disk. Time is given in milliseconds as
//! `at_ms=`, and stays until the next one. The prefix says who asks: `staff:` is an operator,
//! `support:` and `admin:` are what they say, `node:` is the leader, anybody else is a customer.
//! Without a prefix an operator asks, or the leader where only it may.
//!
//! ```text
//! product p price=1000 units=10
//! sale s product=p units=1 opens_ms=100 limit=1
//! c1: order o1 s=1 at_ms=100 key=k1
//! stock s
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;

use goldenscript::{ArgumentConsumer, Command as Line};

use super::memory::{Look as _, Memory, Step};
use crate::address::Address;
use crate::command::{
    Action, Actor, AddressAdd, AddressRemove, AddressUpdate, Adjustment, Allotment, Command,
    OrderCancel, OrderConfirm, OrderCreate, OrderDeliver, OrderReturn, OrderShip, PaymentSettle,
    ProductCreate, ProductSetStatus, ProductUpdate, ReturnReceive, Role, SaleAllot, SaleClose,
    SaleCreate, SalePause, SaleResume, SaleUpdate, SettingsUpdate, Settlement, ShipTo, StockAdjust,
    Tick, WantedLine, WishlistClear, WishlistOrder, WishlistRemove, WishlistSet,
};
use crate::event::Fact;
use crate::id::{AddressId, OrderId, ProductId, SaleId, UserId};
use crate::invariant::Violation;
use crate::order::Order;
use crate::outcome::{Done, Outcome};
use crate::receipt::{ReceiptKey, Scope};
use crate::sale::Disclosure;
use crate::stock::PoolId;
use crate::value::{ADDRESSES_MAX, Currency, Millis, Money, Sealed, WISHLIST_ITEMS_MAX};
use crate::view::View;
use crate::wishlist::WishlistItem;

/// What a script runs against.
pub trait Store {
    /// Decides the command at the next place in the log, and applies the decision.
    fn step(&mut self, command: &Command, now: Millis) -> Step;
    /// Rows as the last command left them.
    type View<'a>: View
    where
        Self: 'a;
    /// The rows as the last command left them.
    fn view(&self) -> Self::View<'_>;
    /// The invariants that do not hold.
    fn violations(&self) -> Vec<Violation>;
    /// Goes through whatever a restart goes through: a snapshot, a file.
    fn restart(&mut self);
}

impl Store for Memory {
    type View<'a> = Self;

    fn step(&mut self, command: &Command, now: Millis) -> Step {
        Self::step(self, command, now)
    }

    fn view(&self) -> Self {
        self.clone()
    }

    fn violations(&self) -> Vec<Violation> {
        let Ok(violations) = crate::invariant::check(self);
        violations
    }

    fn restart(&mut self) {
        *self = self.clone();
    }
}

type Reply = Result<String, Box<dyn Error>>;

/// One run of one script.
pub struct Script<S> {
    store: S,
    now: Millis,
    ids: BTreeMap<String, u128>,
}

impl<S: Store> Script<S> {
    /// A run at time 0 on an empty store.
    pub const fn new(store: S) -> Self {
        Self { store, now: Millis::new(0), ids: BTreeMap::new() }
    }

    /// The bits of a name's id; a new name gets the next number.
    fn bits(&mut self, name: &str) -> u128 {
        let next = u128::try_from(self.ids.len()).unwrap_or(0).saturating_add(1);
        *self.ids.entry(name.into()).or_insert(next)
    }

    fn product(&mut self, name: &str) -> ProductId {
        ProductId::new(self.bits(name))
    }

    fn sale(&mut self, name: &str) -> SaleId {
        SaleId::new(self.bits(name))
    }

    fn order(&mut self, name: &str) -> OrderId {
        OrderId::new(self.bits(name))
    }

    /// A pool is named as its sale or product is.
    fn pool(&mut self, name: &str) -> PoolId {
        let sale = self.sale(name);
        let is_sale = self.store.view().sale(sale).is_some();
        if is_sale { PoolId::Sale(sale) } else { PoolId::Product(self.product(name)) }
    }

    fn actor(&mut self, prefix: &str) -> Actor {
        let role = match prefix {
            "node" => return Actor::Node,
            "support" => Role::Support,
            "staff" => Role::Operator,
            "admin" => Role::Admin,
            _ => Role::Customer,
        };
        Actor::User { id: UserId::new(self.bits(prefix)), role }
    }

    /// Ids in a text, as the names that the script gave them.
    fn named(&self, mut text: String) -> String {
        for (name, bits) in &self.ids {
            for id in [
                OrderId::new(*bits).to_string(),
                AddressId::new(*bits).to_string(),
                SaleId::new(*bits).to_string(),
                ProductId::new(*bits).to_string(),
                UserId::new(*bits).to_string(),
                OrderId::new(*bits).payment().to_string(),
            ] {
                text = text.replace(&id, name);
            }
        }
        text
    }

    fn propose(&mut self, line: &Line, receipt: Option<(&str, &str)>, action: Action) -> String {
        let asker = match (&line.prefix, &action) {
            (Some(prefix), _) => prefix.as_str(),
            (None, Action::Tick(_)) => "node",
            (None, Action::PaymentSettle(settle)) => match settle.settlement {
                Settlement::PaidOutside { .. } => "staff",
                Settlement::Captured { .. } | Settlement::Declined { .. } => "node",
            },
            (None, Action::SettingsUpdate(_)) => "admin",
            (None, _) => "staff",
        };
        let actor = self.actor(asker);
        let receipt = receipt.map(|(key, body)| ReceiptKey {
            scope: Scope(padded(&format!("{asker}/{}/{key}", action.name()))),
            fingerprint: padded(body),
        });
        let command = Command { actor, receipt, action };
        let decision = self.store.step(&command, self.now);
        self.named(shown(&decision))
    }

    fn stock(&mut self, args: &mut ArgumentConsumer<'_>) -> Reply {
        let mut out = String::new();
        for name in args.rest_pos() {
            let id = self.pool(&name.value);
            let pool = self.store.view().pool(id).ok_or("no such pool")?;
            let accounts = pool.accounts;
            writeln!(
                out,
                "{} available={} held={} sold={} scrapped={}",
                name.value, accounts.available, accounts.held, accounts.sold, accounts.scrapped
            )?;
        }
        Ok(out)
    }

    fn show(&mut self, args: &mut ArgumentConsumer<'_>) -> Reply {
        let mut out = String::new();
        for name in args.rest_pos() {
            let id = self.order(&name.value);
            let order = self.store.view().order(id).ok_or("no such order")?;
            writeln!(out, "{}", order_shown(&order))?;
            for capture in &order.payment.captures {
                let refund = format!("{:?}", capture.refund).to_ascii_lowercase();
                writeln!(out, "  {} {} refund={refund}", capture.provider_ref, capture.amount)?;
            }
        }
        Ok(self.named(out))
    }

    fn wishes(&mut self, args: &mut ArgumentConsumer<'_>) -> Reply {
        let mut out = String::new();
        for name in args.rest_pos() {
            let customer = UserId::new(self.bits(&name.value));
            let first = (customer, PoolId::Product(ProductId::new(0)));
            let items = self.store.view().rows::<WishlistItem>(first, WISHLIST_ITEMS_MAX);
            let own = items.iter().filter(|item| item.customer == customer);
            let own: Vec<_> = own.map(|item| wish_shown(item)).collect();
            writeln!(out, "{}: {}", name.value, own.join(", "))?;
        }
        Ok(self.named(out))
    }

    /// What each customer's addresses say, by id; the default one has a star.
    fn addresses(&mut self, args: &mut ArgumentConsumer<'_>) -> Reply {
        let mut out = String::new();
        for name in args.rest_pos() {
            let customer = UserId::new(self.bits(&name.value));
            let first = (customer, AddressId::new(0));
            let rows = self.store.view().rows::<Address>(first, ADDRESSES_MAX);
            let own = rows.iter().filter(|address| address.customer == customer);
            let own: Vec<_> = own.map(|address| address_shown(address)).collect();
            writeln!(out, "{}: {}", name.value, own.join(", "))?;
        }
        Ok(self.named(out))
    }

    /// What the addresses of orders say.
    fn sent_to(&mut self, args: &mut ArgumentConsumer<'_>) -> Reply {
        let mut out = String::new();
        for name in args.rest_pos() {
            let id = self.order(&name.value);
            let order = self.store.view().order(id).ok_or("no such order")?;
            let address = order.address.as_ref().map_or_else(|| "-".into(), text_of);
            writeln!(out, "{}: {address}", name.value)?;
        }
        Ok(out)
    }

    fn versions(&self, id: u128) -> u64 {
        let view = self.store.view();
        let sale = view.sale(SaleId::new(id)).map(|row| row.row.version);
        let product = view.product(ProductId::new(id)).map(|row| row.row.version);
        sale.or(product).unwrap_or(0)
    }

    fn action(&mut self, line: &Line, args: &mut ArgumentConsumer<'_>) -> Result<Action, Fail> {
        let staff_edit = matches!(line.name.as_str(), "price" | "discontinue" | "offer");
        if staff_edit {
            return self.product_edit(line, args);
        }
        Ok(match line.name.as_str() {
            "product" => {
                let id = self.product(name(args)?);
                Action::ProductCreate(ProductCreate {
                    id,
                    name: args.lookup("name").map_or("Thing", |name| &name.value).into(),
                    description: None,
                    image_url: None,
                    no_shipping: number(args, "no_shipping")? == Some(1),
                    price: won(number(args, "price")?.unwrap_or(1000)),
                    stock: number(args, "units")?.unwrap_or(0),
                    waitlist: false,
                })
            }
            "sale" => self.sale_create(args)?,
            "update" => self.sale_update(args)?,
            "pause" | "resume" | "close" => {
                let (id, if_version) = (self.sale(name(args)?), number(args, "version")?);
                match line.name.as_str() {
                    "pause" => Action::SalePause(SalePause { id, if_version }),
                    "resume" => Action::SaleResume(SaleResume { id, if_version }),
                    _ => Action::SaleClose(SaleClose { id, if_version }),
                }
            }
            "adjust" => {
                let (pool, way) = (self.pool(name(args)?), name(args)?);
                let adjustment = match way {
                    "in" => Adjustment::In,
                    "out" => Adjustment::Out,
                    "scrap" => Adjustment::Scrap,
                    "unscrap" => Adjustment::Unscrap,
                    _ => return Err("in, out, scrap or unscrap".into()),
                };
                let quantity = name(args)?.parse()?;
                Action::StockAdjust(StockAdjust { pool, adjustment, quantity, note: None })
            }
            "allot" => {
                let (id, way) = (self.sale(name(args)?), name(args)?);
                let allotment = match way {
                    "up" => Allotment::UpFromGeneral,
                    "new" => Allotment::UpFromNew,
                    "down" => Allotment::Down,
                    _ => return Err("up, new or down".into()),
                };
                let quantity = name(args)?.parse()?;
                Action::SaleAllot(SaleAllot { id, allotment, quantity, note: None })
            }
            "order" => self.order_create(args)?,
            "save_address" | "change_address" | "remove_address" => {
                self.address_change(line, args)?
            }
            "wish" | "unwish" | "clear_wishes" | "order_wishes" => self.wishlist(line, args)?,
            "cancel" => Action::OrderCancel(OrderCancel { id: self.order(name(args)?) }),
            "ship" => {
                let id = self.order(name(args)?);
                let tracking_no = args.lookup("tracking").map(|arg| arg.value.clone());
                Action::OrderShip(OrderShip { id, tracking_no })
            }
            "deliver" => Action::OrderDeliver(OrderDeliver { id: self.order(name(args)?) }),
            "confirm" => Action::OrderConfirm(OrderConfirm { id: self.order(name(args)?) }),
            "return" => Action::OrderReturn(OrderReturn { id: self.order(name(args)?) }),
            "receive" => {
                let (id, way) = (self.order(name(args)?), name(args)?);
                Action::ReturnReceive(ReturnReceive { id, restock: way == "restock" })
            }
            "paid_outside" | "captured" | "declined" => self.settle(line, args)?,
            "settings" => {
                let mut settings = self.store.view().settings();
                let if_version = settings.row.version;
                if let Some(ms) = number(args, "pay_within_ms")? {
                    settings.pay_within_ms = ms;
                }
                if let Some(most) = number(args, "max_pending_orders")? {
                    settings.max_pending_orders = most;
                }
                if let Some(ms) = number(args, "ship_after_ms")? {
                    settings.ship_after_ms = Some(ms);
                }
                Action::SettingsUpdate(SettingsUpdate { if_version, settings })
            }
            "tick" => Action::Tick(Tick),
            other => return Err(format!("no command {other}").into()),
        })
    }

    fn product_edit(
        &mut self,
        line: &Line,
        args: &mut ArgumentConsumer<'_>,
    ) -> Result<Action, Fail> {
        let id = self.product(name(args)?);
        let if_version = number(args, "version")?.unwrap_or(self.versions(id.get()));
        let discontinued = line.name == "discontinue";
        if line.name != "price" {
            return Ok(Action::ProductSetStatus(ProductSetStatus { id, if_version, discontinued }));
        }
        let price = Some(won(name(args)?.parse()?));
        Ok(Action::ProductUpdate(ProductUpdate {
            id,
            if_version,
            name: None,
            description: None,
            image_url: None,
            no_shipping: None,
            price,
            waitlist: None,
        }))
    }

    fn sale_create(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<Action, Fail> {
        let id = self.sale(name(args)?);
        let product = args.lookup("product").map_or("p", |product| &product.value);
        Ok(Action::SaleCreate(SaleCreate {
            id,
            product: self.product(product),
            title: "Sale".into(),
            units: number(args, "units")?.unwrap_or(1),
            price: number(args, "price")?.map(won),
            opens_at: Millis::new(number(args, "opens_ms")?.unwrap_or(0)),
            closes_at: number(args, "closes_ms")?.map(Millis::new),
            per_customer_limit: number(args, "limit")?.unwrap_or(1),
            pay_within_ms: number(args, "pay_within_ms")?,
            disclosure: match args.lookup("disclosure").map(|arg| arg.value.as_str()) {
                Some("hidden") => Disclosure::Hidden,
                Some("bucketed") => Disclosure::Bucketed,
                _ => Disclosure::Exact,
            },
            waitlist: false,
        }))
    }

    fn sale_update(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<Action, Fail> {
        let id = self.sale(name(args)?);
        Ok(Action::SaleUpdate(SaleUpdate {
            id,
            if_version: number(args, "version")?.unwrap_or(self.versions(id.get())),
            title: args.lookup("title").map(|title| title.value.clone()),
            price: number(args, "price")?.map(won),
            opens_at: number(args, "opens_ms")?.map(Millis::new),
            closes_at: number(args, "closes_ms")?.map(|at| Some(Millis::new(at))),
            per_customer_limit: number(args, "limit")?,
            pay_within_ms: number(args, "pay_within_ms")?.map(Some),
            disclosure: None,
            waitlist: None,
        }))
    }

    fn order_create(&mut self, args: &mut ArgumentConsumer<'_>) -> Result<Action, Fail> {
        let id = self.order(name(args)?);
        let total: Option<i64> = number(args, "total")?;
        let expected_total = total.map(won);
        let address = match args.lookup("address").map(|arg| arg.value.as_str()) {
            Some("none") => None,
            Some(saved) => Some(ShipTo::Saved(AddressId::new(self.bits(saved)))),
            None => Some(sent()),
        };
        let mut lines = Vec::new();
        let wanted: Vec<(String, u32)> = args
            .rest_key()
            .into_iter()
            .map(|arg| Ok::<_, Fail>((arg.name().to_owned(), arg.parse()?)))
            .collect::<Result<_, _>>()?;
        for (target, quantity) in wanted {
            lines.push(WantedLine { target: self.pool(&target), quantity });
        }
        Ok(Action::OrderCreate(OrderCreate { id, lines, address, expected_total }))
    }

    fn address_change(
        &mut self,
        line: &Line,
        args: &mut ArgumentConsumer<'_>,
    ) -> Result<Action, Fail> {
        let id = AddressId::new(self.bits(name(args)?));
        let version: Option<u64> = number(args, "version")?;
        if line.name == "remove_address" {
            return Ok(Action::AddressRemove(AddressRemove { id, if_version: version }));
        }
        let body = Sealed(name(args)?.as_bytes().to_vec());
        if line.name == "save_address" {
            return Ok(Action::AddressAdd(AddressAdd { id, body }));
        }
        let make_default = number(args, "default")? == Some(1);
        let if_version = version.unwrap_or(1);
        Ok(Action::AddressUpdate(AddressUpdate { id, if_version, body, make_default }))
    }

    fn wishlist(&mut self, line: &Line, args: &mut ArgumentConsumer<'_>) -> Result<Action, Fail> {
        Ok(match line.name.as_str() {
            "wish" => {
                let (target, quantity) = (self.pool(name(args)?), name(args)?.parse()?);
                Action::WishlistSet(WishlistSet { target, quantity })
            }
            "unwish" => Action::WishlistRemove(WishlistRemove { target: self.pool(name(args)?) }),
            "clear_wishes" => Action::WishlistClear(WishlistClear),
            _ => Action::WishlistOrder(WishlistOrder {
                id: self.order(name(args)?),
                address: Some(sent()),
                expected_total: number(args, "total")?.map(won),
            }),
        })
    }

    fn settle(&mut self, line: &Line, args: &mut ArgumentConsumer<'_>) -> Result<Action, Fail> {
        let order = self.order(name(args)?);
        let provider_ref = args.lookup("ref").map(|arg| arg.value.clone());
        let settlement = match line.name.as_str() {
            "paid_outside" => Settlement::PaidOutside { reference: provider_ref },
            "captured" => Settlement::Captured {
                provider_ref: provider_ref.unwrap_or_else(|| "cap_1".into()),
                amount: number(args, "amount")?.ok_or("captured needs amount=")?,
            },
            _ => Settlement::Declined {
                code: args.lookup("code").map_or("declined", |code| &code.value).into(),
            },
        };
        Ok(Action::PaymentSettle(PaymentSettle { order, settlement }))
    }
}

type Fail = Box<dyn Error>;

impl<S: Store> goldenscript::Runner for Script<S> {
    fn run(&mut self, line: &Line) -> Reply {
        let mut args = line.consume_args();
        if let Some(now) = number(&mut args, "at_ms")? {
            self.now = Millis::new(now);
        }
        match line.name.as_str() {
            "stock" => self.stock(&mut args),
            "wishes" => self.wishes(&mut args),
            "addresses" => self.addresses(&mut args),
            "sent_to" => self.sent_to(&mut args),
            "show" => self.show(&mut args),
            "restart" => {
                self.store.restart();
                Ok(String::new())
            }
            _ => {
                let receipt = take_receipt(&mut args);
                let action = self.action(line, &mut args)?;
                args.reject_rest()?;
                Ok(self.propose(line, receipt, action))
            }
        }
    }

    fn end_command(&mut self, _: &Line) -> Reply {
        let mut violations = self.store.violations().into_iter().map(|found| found.to_string());
        match violations.next() {
            None => Ok(String::new()),
            Some(first) => Err(self.named(first).into()),
        }
    }
}

fn name<'a>(args: &mut ArgumentConsumer<'a>) -> Result<&'a str, Fail> {
    Ok(args.next_pos().ok_or("a name is missing")?.value.as_str())
}

/// The idempotency key and the request body that came with it.
fn take_receipt<'a>(args: &mut ArgumentConsumer<'a>) -> Option<(&'a str, &'a str)> {
    let key = args.lookup("key").map(|arg| arg.value.as_str());
    let body = args.lookup("body").map_or("", |arg| arg.value.as_str());
    key.map(|key| (key, body))
}

fn number<T: std::str::FromStr>(
    args: &mut ArgumentConsumer<'_>,
    key: &str,
) -> Result<Option<T>, Fail>
where
    T::Err: std::fmt::Display,
{
    args.lookup_parse(key)
}

fn won(amount: i64) -> Money {
    let currency = Currency::new("KRW").expect("three capitals");
    Money { amount, currency }
}

/// A readable stand-in for a hash: the text itself, cut or filled up to 32 bytes.
fn padded(text: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    bytes
}

fn order_shown(order: &Order) -> String {
    let payment = format!("{:?}", order.payment.status).to_ascii_lowercase();
    let due = order.due_at.map_or("-".into(), |at| at.get().to_string());
    let status = order.status.as_str();
    format!("{} {status} payment={payment} total={} due_ms={due}", order.id, order.total)
}

fn shown(decision: &Step) -> String {
    let mut out = match &decision.outcome {
        Outcome::Refused(refusal) => format!("Refused {}: {refusal:?}", refusal.code()),
        Outcome::Done(done) => format!("Done {}", done_shown(done)),
    };
    if decision.replayed {
        out.push_str(" (replay of r");
        out.push_str(&decision.decided.revision.to_string());
        out.push(')');
    }
    out.push('\n');
    for fact in decision.facts() {
        out.push_str("  ");
        out.push_str(&fact_shown(&fact));
        out.push('\n');
    }
    out
}

fn done_shown(done: &Done) -> String {
    match done {
        Done::Product(row, _) => format!("product {} v{}", row.id, row.row.version),
        Done::Sale(row, _, _) => format!("sale {} v{}", row.id, row.row.version),
        Done::Stock(pool) => format!("stock available={}", pool.accounts.available),
        Done::Order(order) => format!("order {}", order_shown(order)),
        Done::FeatureLevel(level) => format!("feature level {level}"),
        Done::Settings(row) => format!("settings v{}", row.row.version),
        Done::Ticked { more, next_due } => {
            let next = next_due.map_or("-".into(), |at| at.get().to_string());
            format!("ticked more={more} next_due_ms={next}")
        }
        Done::Wish(wish) => {
            format!("wish {} at {}", wish_shown(&wish.item), wish.unit_price.amount)
        }
        Done::WishesRemoved => "wishes removed".into(),
        Done::Address(row) => format!("address {} v{}", address_shown(row), row.row.version),
        Done::AddressRemoved => "address removed".into(),
        Done::Keyring(row) => format!("keyring v{}", row.row.version),
        Done::Accepted => "accepted".into(),
        Done::User(row) => format!("user {} v{}", row.id, row.row.version),
        Done::Session(row) => format!("session {} generation={}", row.id, row.generation),
    }
}

/// An address that comes with an order.
fn sent() -> ShipTo {
    ShipTo::Sent(Sealed(b"sealed address".to_vec()))
}

fn address_shown(address: &Address) -> String {
    let star = if address.is_default { "*" } else { "" };
    format!("{}{star} {}", address.id, text_of(&address.body))
}

/// Scripts seal nothing.
fn text_of(body: &Sealed) -> String {
    String::from_utf8_lossy(&body.0).into_owned()
}

fn wish_shown(item: &WishlistItem) -> String {
    let target = match item.target {
        PoolId::Product(id) => id.to_string(),
        PoolId::Sale(id) => id.to_string(),
    };
    format!("{target}={}", item.quantity)
}

fn fact_shown(fact: &Fact) -> String {
    let name = fact.name();
    match fact {
        Fact::OrderCreated { order, total, pay_by, .. } => {
            format!("{name} {order} total={total} pay_by_ms={}", pay_by.get())
        }
        Fact::OrderStatus { order, from, .. } => format!("{name} {order} from={}", from.as_str()),
        Fact::Payment { payment, amount, .. } => format!("{name} {payment} amount={amount}"),
        Fact::StockChanged { pool, accounts, .. } => {
            let (available, held) = (accounts.available, accounts.held);
            let (sold, scrapped) = (accounts.sold, accounts.scrapped);
            let pool = match pool {
                PoolId::Product(id) => id.to_string(),
                PoolId::Sale(id) => id.to_string(),
            };
            format!(
                "{name} {pool} available={available} held={held} sold={sold} scrapped={scrapped}"
            )
        }
        Fact::Sale { sale, phase, .. } => format!("{name} {sale} phase={phase:?}"),
        Fact::Product { product, discontinued, .. } => {
            format!("{name} {product} discontinued={discontinued}")
        }
        Fact::SettingsChanged => name.into(),
        Fact::User { user, .. } => format!("{name} {user}"),
        Fact::Session { session, user, .. } => format!("{name} {session} of {user}"),
    }
}
