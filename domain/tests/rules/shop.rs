//! A small shop: one product, one sale, and short words for what its people ask.

use std::cell::RefCell;
use std::sync::Arc;

use firstcome_domain::command::*;
use firstcome_domain::email_code::CodePurpose;
use firstcome_domain::event::Fact;
use firstcome_domain::invariant;
use firstcome_domain::journal::Journal;
use firstcome_domain::kernel::row::{Index, Row};
use firstcome_domain::keyring::{ClusterKey, Purpose};
use firstcome_domain::order::Order;
use firstcome_domain::outcome::Done;
use firstcome_domain::receipt::{ReceiptKey, Scope};
use firstcome_domain::registry::Declared;
use firstcome_domain::sale::{Disclosure, Sale};
use firstcome_domain::stock::{Accounts, PoolId};
use firstcome_domain::testing::memory::{Look as _, Memory, Step};
use firstcome_domain::user::Account;
use firstcome_domain::value::{Currency, EmailIndex, Language, Money, Sealed};
use firstcome_domain::{
    AddressId, Answer, Change, Decision, EffectId, Millis, OrderId, Outcome, ProductId, Refusal,
    SaleId, SessionId, UserId, View,
};

pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const DAY: i64 = 24 * 60 * MINUTE;
pub(crate) const PAY_WITHIN: i64 = 15 * MINUTE;
pub(crate) const PRICE: i64 = 1_000;

pub(crate) const PRODUCT: ProductId = ProductId::new(1);
pub(crate) const SALE: SaleId = SaleId::new(1);
/// The product's pool.
pub(crate) const P: PoolId = PoolId::Product(PRODUCT);
/// The sale's pool.
pub(crate) const S: PoolId = PoolId::Sale(SALE);

pub(crate) const STAFF: Actor = Actor::User { id: UserId::new(900), role: Role::Operator };
pub(crate) const SUPPORT: Actor = Actor::User { id: UserId::new(901), role: Role::Support };
pub(crate) const ADMIN: Actor = Actor::User { id: UserId::new(902), role: Role::Admin };

pub(crate) const fn customer(number: u128) -> Actor {
    Actor::User { id: UserId::new(number), role: Role::Customer }
}

pub(crate) const fn oid(number: u128) -> OrderId {
    OrderId::new(number)
}

pub(crate) fn won(amount: i64) -> Money {
    Money { amount, currency: Currency::new("KRW").unwrap() }
}

pub(crate) fn key(name: u8, body: u8) -> ReceiptKey {
    ReceiptKey { scope: Scope([name; 32]), fingerprint: [body; 32] }
}

pub(crate) fn order_of(id: u128, lines: &[(PoolId, u32)]) -> Action {
    let lines =
        lines.iter().map(|(target, quantity)| WantedLine { target: *target, quantity: *quantity });
    Action::OrderCreate(OrderCreate {
        id: oid(id),
        lines: lines.collect(),
        address: Some(ShipTo::Sent(Sealed(vec![7; 40]))),
        expected_total: None,
    })
}

pub(crate) const fn wish(target: PoolId, quantity: u32) -> Action {
    Action::WishlistSet(WishlistSet { target, quantity })
}

/// A version of the master key as node files have it: the number is in the check value.
pub(crate) const fn version(number: u32) -> MasterCheck {
    MasterCheck { number, check: [number.to_be_bytes()[3]; 32] }
}

/// The cluster's keys, wrapped by a version.
pub(crate) fn wrapped_by(master: u32) -> Vec<ClusterKey> {
    let key = |purpose| ClusterKey { purpose, number: 1, wrapped: Sealed(vec![5; 66]), master };
    Purpose::ALL.map(key).to_vec()
}

/// The first keyring, as a node proposes it.
pub(crate) fn first_keyring(node: u64, versions: &[u32]) -> Action {
    let keys = wrapped_by(versions[0]);
    let versions = versions.iter().copied().map(version).collect();
    Action::KeyringCreate(KeyringCreate { node, versions, keys })
}

/// An order of everything on the wishlist.
pub(crate) fn order_wishes(id: u128) -> Action {
    let address = Some(ShipTo::Sent(Sealed(vec![7; 40])));
    Action::WishlistOrder(WishlistOrder { id: oid(id), address, expected_total: None })
}

/// Saves an address whose sealed body is this many bytes, all 7.
pub(crate) fn save(id: u128, sevens: usize) -> Action {
    Action::AddressAdd(AddressAdd { id: AddressId::new(id), body: Sealed(vec![7; sevens]) })
}

pub(crate) fn change(id: u128, if_version: u64, sevens: usize, make_default: bool) -> Action {
    let (id, body) = (AddressId::new(id), Sealed(vec![7; sevens]));
    Action::AddressUpdate(AddressUpdate { id, if_version, body, make_default })
}

pub(crate) const fn discard(id: u128) -> Action {
    Action::AddressRemove(AddressRemove { id: AddressId::new(id), if_version: None })
}

/// Keyed hashes of addresses, codes and tokens are all so many equal bytes.
pub(crate) const fn email(number: u8) -> EmailIndex {
    EmailIndex([number; 32])
}

pub(crate) fn account(number: u8) -> Account {
    Account {
        data_key: Sealed(vec![1; 66]),
        email_index: email(number),
        email: Sealed(vec![2; 66]),
        profile: Sealed(vec![3; 66]),
        password: Sealed(vec![4; 66]),
        password_version: 1,
        language: Language::Korean,
    }
}

/// Code `mac` for address `number`; the mail has the number of the code.
pub(crate) fn send_code(purpose: CodePurpose, number: u8, mac: u8) -> Action {
    Action::EmailCodeRequest(EmailCodeRequest {
        purpose,
        email: email(number),
        mac: [mac; 32],
        effect: EffectId::new(mac.into()),
        letter: Sealed(vec![mac; 40]),
    })
}

pub(crate) fn confirm_code(number: u8, mac: u8, proof: u8) -> Action {
    let (email, mac, proof) = (email(number), [mac; 32], [proof; 32]);
    Action::EmailCodeConfirm(EmailCodeConfirm { email, mac, proof })
}

pub(crate) fn open_session(session: u8, number: u8, password_version: u32) -> Action {
    let (id, user) = (SessionId::new(session.into()), UserId::new(number.into()));
    Action::SessionOpen(SessionOpen { id, user, password_version, refresh_key: 1 })
}

/// The same order, sent to a saved address.
pub(crate) fn to_saved(order: Action, id: u128) -> Action {
    let address = Some(ShipTo::Saved(AddressId::new(id)));
    match order {
        Action::OrderCreate(ask) => Action::OrderCreate(OrderCreate { address, ..ask }),
        Action::WishlistOrder(ask) => Action::WishlistOrder(WishlistOrder { address, ..ask }),
        other => panic!("not an order: {other:?}"),
    }
}

pub(crate) fn product_of(id: ProductId, stock: u64) -> ProductCreate {
    ProductCreate {
        id,
        name: "Thing".into(),
        description: None,
        image_url: None,
        no_shipping: false,
        price: won(PRICE),
        stock,
        waitlist: false,
    }
}

pub(crate) fn sale_of(id: SaleId, units: u64) -> SaleCreate {
    SaleCreate {
        id,
        product: PRODUCT,
        title: "Drop".into(),
        units,
        price: None,
        opens_at: Millis::new(0),
        closes_at: None,
        per_customer_limit: 1,
        pay_within_ms: None,
        disclosure: Disclosure::Exact,
        waitlist: false,
    }
}

pub(crate) const fn no_update(id: SaleId, if_version: u64) -> SaleUpdate {
    SaleUpdate {
        id,
        if_version,
        title: None,
        price: None,
        opens_at: None,
        closes_at: None,
        per_customer_limit: None,
        pay_within_ms: None,
        disclosure: None,
        waitlist: None,
    }
}

pub(crate) const fn pause(id: SaleId) -> Action {
    Action::SalePause(SalePause { id, if_version: None })
}

pub(crate) const fn resume(id: SaleId) -> Action {
    Action::SaleResume(SaleResume { id, if_version: None })
}

pub(crate) const fn close(id: SaleId) -> Action {
    Action::SaleClose(SaleClose { id, if_version: None })
}

pub(crate) struct Shop {
    pub(crate) memory: Memory,
    pub(crate) now: i64,
}

impl Shop {
    /// Nothing yet, at time 0.
    pub(crate) fn empty() -> Self {
        Self { memory: Memory::new(), now: 0 }
    }

    /// A product with 10 units.
    pub(crate) fn with_product() -> Self {
        let mut shop = Self::empty();
        shop.done(STAFF, Action::ProductCreate(product_of(PRODUCT, 10)));
        shop
    }

    /// The same, with an open sale of so many of its units.
    pub(crate) fn with_sale(units: u64) -> Self {
        let mut shop = Self::with_product();
        shop.done(STAFF, Action::SaleCreate(sale_of(SALE, units)));
        shop
    }

    /// Asks, and checks that every invariant holds afterwards.
    pub(crate) fn ask(&mut self, actor: Actor, action: Action) -> Step {
        self.propose(&Command { actor, receipt: None, action })
    }

    pub(crate) fn ask_with_key(&mut self, actor: Actor, key: ReceiptKey, action: Action) -> Step {
        self.propose(&Command { actor, receipt: Some(key), action })
    }

    pub(crate) fn propose(&mut self, command: &Command) -> Step {
        let decision = self.memory.step(command, Millis::new(self.now));
        let Ok(violations) = invariant::check(&self.memory);
        assert_eq!(violations, [], "after {command:?}");
        decision
    }

    pub(crate) fn done(&mut self, actor: Actor, action: Action) -> Done {
        match self.ask(actor, action).outcome {
            Outcome::Done(done) => done,
            Outcome::Refused(refusal) => panic!("refused: {refusal:?}"),
        }
    }

    pub(crate) fn refused(&mut self, actor: Actor, action: Action) -> Refusal {
        match self.ask(actor, action).outcome {
            Outcome::Refused(refusal) => refusal,
            Outcome::Done(done) => panic!("not refused: {done:?}"),
        }
    }

    /// The code of the refusal, or `done`.
    pub(crate) fn code(&mut self, actor: Actor, action: Action) -> &'static str {
        code(&self.ask(actor, action))
    }

    /// Customer `id` orders so many units under the order id `id`.
    pub(crate) fn order(&mut self, id: u128, pool: PoolId, quantity: u32) -> Order {
        order_in(self.done(customer(id), order_of(id, &[(pool, quantity)])))
    }

    pub(crate) fn cancel(&mut self, id: u128) -> Step {
        self.ask(customer(id), Action::OrderCancel(OrderCancel { id: oid(id) }))
    }

    pub(crate) fn captured(&mut self, id: u128, provider_ref: &str, amount: i64) -> Order {
        order_in(self.done(Actor::Node, captured(id, provider_ref, amount)))
    }

    pub(crate) fn pay(&mut self, id: u128) -> Order {
        let total = self.row(id).total;
        self.captured(id, "cap", total)
    }

    pub(crate) fn tick(&mut self) -> (bool, Option<Millis>) {
        match self.done(Actor::Node, Action::Tick(Tick)) {
            Done::Ticked { more, next_due } => (more, next_due),
            other => panic!("not a tick: {other:?}"),
        }
    }

    pub(crate) fn row(&self, id: u128) -> Order {
        (*self.memory.order(oid(id)).unwrap()).clone()
    }

    pub(crate) fn stock(&self, pool: PoolId) -> Accounts {
        self.memory.pool(pool).unwrap().accounts
    }

    /// Available, held and sold units of a pool.
    pub(crate) fn units(&self, pool: PoolId) -> [u64; 3] {
        let accounts = self.stock(pool);
        [accounts.available, accounts.held, accounts.sold]
    }

    pub(crate) fn sale(&self) -> Sale {
        (*self.memory.sale(SALE).unwrap()).clone()
    }

    /// Brings an order as far as `delivered`.
    pub(crate) fn deliver(&mut self, id: u128) {
        self.pay(id);
        self.done(STAFF, Action::OrderShip(OrderShip { id: oid(id), tracking_no: None }));
        self.done(STAFF, Action::OrderDeliver(OrderDeliver { id: oid(id) }));
    }
}

pub(crate) fn captured(id: u128, provider_ref: &str, amount: i64) -> Action {
    let provider_ref = provider_ref.into();
    let settlement = Settlement::Captured { provider_ref, amount };
    Action::PaymentSettle(PaymentSettle { order: oid(id), settlement })
}

pub(crate) fn declined(id: u128) -> Action {
    let settlement = Settlement::Declined { code: "card_declined".into() };
    Action::PaymentSettle(PaymentSettle { order: oid(id), settlement })
}

pub(crate) fn paid_outside(id: u128) -> Action {
    let settlement = Settlement::PaidOutside { reference: None };
    Action::PaymentSettle(PaymentSettle { order: oid(id), settlement })
}

pub(crate) fn order_in(done: Done) -> Order {
    match done {
        Done::Order(order) => Arc::unwrap_or_clone(order),
        other => panic!("not an order: {other:?}"),
    }
}

/// The code of the refusal, or `done`.
pub(crate) fn code(step: &Step) -> &'static str {
    outcome_code(&step.outcome)
}

/// The same for a decision that was not applied.
pub(crate) fn decided_code(decision: &Decision) -> &'static str {
    match &decision.answer {
        Answer::Decided(outcome) => outcome_code(outcome),
        Answer::Replayed { .. } => "replayed",
    }
}

fn outcome_code(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done(_) => "done",
        Outcome::Refused(refusal) => refusal.code(),
    }
}

/// The names of what happened.
pub(crate) fn facts(step: &Step) -> Vec<&'static str> {
    step.facts().iter().map(Fact::name).collect()
}

/// How many of the changes write a row of this kind.
pub(crate) fn writes<R: Row>(changes: &[Change]) -> usize {
    changes.iter().filter(|change| change.table == R::TABLE && change.after.is_some()).count()
}

/// The entry of the journal that the changes add.
pub(crate) fn entry(changes: &[Change]) -> Option<&Journal> {
    let mut added = changes.iter().filter(|change| change.before.is_none());
    added.find_map(|change| Journal::from_any(change.after.as_ref()?)).map(|row| &**row)
}

/// A view that writes down what is read.
pub(crate) struct Counting<'a> {
    rows: &'a Memory,
    pub(crate) reads: RefCell<Vec<String>>,
}

impl<'a> Counting<'a> {
    pub(crate) fn new(rows: &'a Memory) -> Self {
        Self { rows, reads: RefCell::default() }
    }

    fn note(&self, read: String) {
        self.reads.borrow_mut().push(read);
    }
}

impl View for Counting<'_> {
    fn get<R: Declared>(&self, key: R::Key) -> Option<Arc<R>> {
        self.note(format!("{} {key:?}", R::NAME));
        self.rows.get(key)
    }
    fn scan<I: Index>(&self, first: I::Key, last: I::Key, limit: usize) -> Vec<I::Key> {
        self.note(format!("{} {first:?}..={last:?}", I::NAME));
        self.rows.scan::<I>(first, last, limit)
    }
    fn rows<R: Declared>(&self, first: R::Key, limit: usize) -> Vec<Arc<R>> {
        self.note(format!("{} {first:?}..", R::NAME));
        self.rows.rows(first, limit)
    }
}
