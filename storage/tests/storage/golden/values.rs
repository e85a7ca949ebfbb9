//! One value of every kind that is stored or proposed, each field different from its neighbours.

use std::sync::Arc;

use firstcome_domain::address::Address;
use firstcome_domain::audit::{AuditEntry, AuditHead};
use firstcome_domain::cluster::FeatureLevel;
use firstcome_domain::command::{
    Action, AddressAdd, AddressRemove, AddressUpdate, Adjustment, AdminBootstrap, Allotment,
    Attempt, EffectReport, EmailCodeConfirm, EmailCodeRequest, FeatureLevelRaise, KeyringCreate,
    LoginFail, MasterCheck, MasterVersionActivate, MasterVersionAdd, MasterVersionRetire,
    OrderCancel, OrderConfirm, OrderCreate, OrderDeliver, OrderReturn, OrderReveal, OrderShip,
    PasswordChange, PasswordReset, PaymentSettle, ProductCreate, ProductSetStatus, ProductUpdate,
    ReturnReceive, SaleAllot, SaleClose, SaleCreate, SalePause, SaleResume, SaleUpdate,
    SessionClose, SessionIssue, SessionOpen, SessionRotate, SettingsUpdate, Settlement, ShipTo,
    StockAdjust, Tick, UserErase, UserManage, UserReveal, UserSignUp, UserUpdate, WantedLine,
    WishlistClear, WishlistOrder, WishlistRemove, WishlistSet,
};
use firstcome_domain::effect::{Effect, Mail, Notice};
use firstcome_domain::email_code::row::Proof;
use firstcome_domain::email_code::{CodePurpose, EmailCode};
use firstcome_domain::event::{
    EventLine, Fact, PaymentFact, ProductFact, SaleFact, SessionFact, UserFact,
};
use firstcome_domain::id::{AddressId, EffectId, OrderId, ProductId, SaleId, SessionId, UserId};
use firstcome_domain::journal::row::Retention;
use firstcome_domain::journal::{Journal, LedgerEntry};
use firstcome_domain::kernel::version::{Level, Versioned};
use firstcome_domain::keyring::{ClusterKey, Keyring, MasterState, MasterVersion, Purpose};
use firstcome_domain::order::{
    Capture, EndReason, Line, Order, Payment, PaymentStatus, Refund, Source, Status,
};
use firstcome_domain::outcome::{Done, Kind, Outcome, Refusal};
use firstcome_domain::product::Product;
use firstcome_domain::receipt::{OutcomeBytes, Receipt, ReceiptKey, Scope};
use firstcome_domain::registry::Declared;
use firstcome_domain::sale::{Disclosure, Phase, Sale};
use firstcome_domain::session::Session;
use firstcome_domain::session::row::SessionKind;
use firstcome_domain::settings::Settings;
use firstcome_domain::stock::{Account, Accounts, Movement, Pool, PoolId, Reason, Usage};
use firstcome_domain::user::{self, User, UserStatus};
use firstcome_domain::value::{
    Currency, EmailIndex, Language, Millis, Money, Revision, RowStamp, Sealed, Stamp,
};
use firstcome_domain::wishlist::{Wish, WishlistItem};
use firstcome_domain::{Actor, Command, Role};
use firstcome_storage::codec;

const fn stamp(n: u64) -> Stamp {
    Stamp { revision: Revision::new(n), now: Millis::new(1_700_000_000_000) }
}

const fn row() -> RowStamp {
    RowStamp { version: 3, created: stamp(5), updated: stamp(70_000) }
}

const PRODUCT: ProductId = ProductId::new(0x0192_f0c1_2345_7abc_8def_0123_4567_89ab);
const SALE: SaleId = SaleId::new(0x0192_f0c1_2345_7abc_8def_0123_4567_89ac);
const ORDER: OrderId = OrderId::new(0x0192_f0c1_2345_7abc_8def_0123_4567_89ad);
const ADDRESS: AddressId = AddressId::new(0x0192_f0c1_2345_7abc_8def_0123_4567_89af);
const USER: UserId = UserId::new(0x0192_f0c1_2345_7abc_8def_0123_4567_89ae);
const SESSION: SessionId = SessionId::new(0x0192_f0c1_2345_7abc_8def_0123_4567_89b0);
const EFFECT: EffectId = EffectId::new(0x0192_f0c1_2345_7abc_8def_0123_4567_89b1);
const EMAIL: EmailIndex = EmailIndex([9; 32]);

fn money(amount: i64) -> Money {
    Money { amount, currency: Currency::new("KRW").unwrap() }
}

fn product() -> Product {
    Product {
        id: PRODUCT,
        name: "caf\u{e9}".into(),
        description: Some("two\nlines".into()),
        image_url: None,
        no_shipping: true,
        price: money(1_000_000_000_000),
        discontinued: false,
        waitlist: true,
        due_at: Some(Millis::new(9)),
        row: row(),
    }
}

fn sale() -> Sale {
    Sale {
        id: SALE,
        product: PRODUCT,
        title: "drop".into(),
        opens_at: Millis::new(1),
        closes_at: Some(Millis::MAX),
        per_customer_limit: 100,
        pay_within_ms: Some(60_000),
        price: money(7),
        disclosure: Disclosure::Hidden,
        paused: true,
        waitlist: false,
        closed: false,
        opened: true,
        due_at: None,
        row: row(),
    }
}

fn accounts() -> Accounts {
    Accounts { available: 250, held: 251, sold: 70_000, scrapped: 5_000_000_000 }
}

fn pool() -> Pool {
    Pool { id: PoolId::Sale(SALE), accounts: accounts(), row: row() }
}

fn order() -> Order {
    Order {
        id: ORDER,
        customer: USER,
        lines: vec![Line {
            pool: PoolId::Product(PRODUCT),
            product: PRODUCT,
            name: "thing".into(),
            unit_price: money(12),
            quantity: 3,
        }],
        total: 36,
        currency: Currency::new("KRW").unwrap(),
        address: Some(Sealed(vec![1, 2, 255])),
        source: Source::Direct,
        status: Status::ReturnRequested,
        entered_at: Millis::new(11),
        pay_by: Some(Millis::new(12)),
        due_at: Some(Millis::new(-14)),
        payment: Payment {
            status: PaymentStatus::Refunded,
            captures: vec![Capture {
                provider_ref: "p-1".into(),
                amount: 36,
                refund: Refund::Done,
            }],
            last_code: Some("insufficient_funds".into()),
        },
        tracking_no: Some("TR-9".into()),
        reason: Some(EndReason::PaymentRefused),
        #[cfg(feature = "next")]
        noted_at: None,
        ticket: stamp(6),
        row: row(),
    }
}

fn wishlist_item() -> WishlistItem {
    WishlistItem { customer: USER, target: PoolId::Sale(SALE), quantity: 4, row: row() }
}

fn address() -> Address {
    let body = Sealed(vec![5; 30]);
    Address { customer: USER, id: ADDRESS, body, is_default: true, row: row() }
}

fn account() -> user::Account {
    user::Account {
        data_key: Sealed(vec![10; 66]),
        email_index: EMAIL,
        email: Sealed(vec![11; 40]),
        profile: Sealed(vec![12; 50]),
        password: Sealed(vec![13; 100]),
        password_version: 300,
        language: Language::Korean,
    }
}

fn user() -> User {
    User {
        id: USER,
        role: Role::Support,
        status: UserStatus::Blocked,
        token_epoch: 70_000,
        epoch_at: Some(Millis::new(25)),
        account: Some(account()),
        login_failures: 6,
        login_after: Some(Millis::new(26)),
        row: row(),
    }
}

fn session() -> Session {
    Session {
        id: SESSION,
        user: USER,
        kind: SessionKind::Issued,
        epoch: 70_000,
        refresh_key: 2,
        generation: 300,
        rotated_at: Millis::new(27),
        idle_until: Millis::new(28),
        expires_at: Millis::new(29),
        row: row(),
    }
}

fn email_code() -> EmailCode {
    EmailCode {
        purpose: CodePurpose::PasswordReset,
        email: EMAIL,
        mac: [14; 32],
        attempts: 4,
        sent_at: Millis::new(30),
        expires_at: Millis::new(31),
        counted_from: Millis::new(32),
        sends: 5,
        proof: Some(Proof { hash: [15; 32], expires_at: Millis::new(33) }),
        row: row(),
    }
}

fn effect(mail: Mail) -> Effect {
    Effect {
        id: EFFECT,
        mail,
        attempts: 3,
        next_at: Millis::new(34),
        give_up_at: Millis::new(35),
        last_code: Some("mail_refused".into()),
        failed: true,
        row: row(),
    }
}

fn letter() -> Mail {
    Mail::Letter { sealed: Sealed(vec![16; 80]), expires_at: Millis::new(36) }
}

fn cluster_keys(master: u32) -> Vec<ClusterKey> {
    let key = |purpose| ClusterKey { purpose, number: 5, wrapped: Sealed(vec![6; 66]), master };
    Purpose::ALL.map(key).to_vec()
}

fn keyring() -> Keyring {
    let version = |number, state| MasterVersion {
        number,
        check: [2; 32],
        state,
        since: Millis::new(23),
        nodes: vec![1, 300],
    };
    let (known, active) = (MasterState::Known, MasterState::Active);
    let versions =
        vec![version(1, MasterState::Retired), version(3, active), version(70_000, known)];
    Keyring { versions, keys: cluster_keys(3), row: row() }
}

fn key() -> ReceiptKey {
    ReceiptKey { scope: Scope([7; 32]), fingerprint: [8; 32] }
}

pub(super) fn facts() -> Vec<Fact> {
    vec![
        Fact::OrderCreated {
            order: ORDER,
            lines: vec![EventLine { pool: PoolId::Sale(SALE), quantity: 2, unit_price: 5 }],
            total: 10,
            currency: Currency::new("EUR").unwrap(),
            pay_by: Millis::new(15),
            source: Source::Direct,
        },
        Fact::OrderStatus {
            order: ORDER,
            from: Status::Paid,
            to: Status::Shipping,
            due_at: Some(Millis::new(16)),
            tracking_no: Some("TR-9".into()),
        },
        Fact::Payment {
            payment: ORDER.payment(),
            what: PaymentFact::DuplicateCapture,
            amount: -1,
            code: Some("again".into()),
        },
        Fact::StockChanged { pool: PoolId::Product(PRODUCT), accounts: accounts() },
        Fact::Sale { sale: SALE, what: SaleFact::AvailableAgain, phase: Phase::Open },
        Fact::Product { product: PRODUCT, what: ProductFact::StatusChanged, discontinued: true },
        Fact::SettingsChanged,
        Fact::User { user: USER, what: UserFact::Unblocked },
        Fact::User { user: USER, what: UserFact::Erased },
        Fact::Session { session: SESSION, user: USER, what: SessionFact::ReuseDetected },
    ]
}

fn actions() -> Vec<Action> {
    let (id, if_version) = (SALE, Some(4));
    let settle = |settlement| Action::PaymentSettle(PaymentSettle { order: ORDER, settlement });
    let mut actions = vec![
        Action::ProductCreate(ProductCreate {
            id: PRODUCT,
            name: "thing".into(),
            description: None,
            image_url: Some("https://example.org/a.png".into()),
            no_shipping: false,
            price: money(5),
            stock: 300,
            waitlist: true,
        }),
        Action::ProductUpdate(ProductUpdate {
            id: PRODUCT,
            if_version: 2,
            name: Some("other".into()),
            description: Some(None),
            image_url: None,
            no_shipping: Some(true),
            price: Some(money(6)),
            waitlist: Some(false),
        }),
        Action::ProductSetStatus(ProductSetStatus {
            id: PRODUCT,
            if_version: 2,
            discontinued: true,
        }),
        Action::StockAdjust(StockAdjust {
            pool: PoolId::Product(PRODUCT),
            adjustment: Adjustment::Unscrap,
            quantity: 1_000_000_000,
            note: Some("found".into()),
        }),
        Action::SaleCreate(SaleCreate {
            id: SALE,
            product: PRODUCT,
            title: "drop".into(),
            units: 10,
            price: Some(money(4)),
            opens_at: Millis::new(100),
            closes_at: Some(Millis::new(200)),
            per_customer_limit: 1,
            pay_within_ms: None,
            disclosure: Disclosure::Bucketed,
            waitlist: true,
        }),
        Action::SaleUpdate(SaleUpdate {
            id: SALE,
            if_version: 3,
            title: None,
            price: Some(money(3)),
            opens_at: Some(Millis::new(101)),
            closes_at: Some(None),
            per_customer_limit: Some(2),
            pay_within_ms: Some(Some(60_000)),
            disclosure: Some(Disclosure::Exact),
            waitlist: None,
        }),
        Action::SaleAllot(SaleAllot {
            id: SALE,
            allotment: Allotment::Down,
            quantity: 8,
            note: None,
        }),
        Action::SalePause(SalePause { id, if_version }),
        Action::SaleResume(SaleResume { id, if_version }),
        Action::SaleClose(SaleClose { id, if_version }),
        Action::OrderCreate(OrderCreate {
            id: ORDER,
            lines: vec![WantedLine { target: PoolId::Sale(SALE), quantity: 100 }],
            address: Some(ShipTo::Sent(Sealed(vec![3; 40]))),
            expected_total: Some(money(700)),
        }),
        Action::OrderCancel(OrderCancel { id: ORDER }),
        Action::OrderShip(OrderShip { id: ORDER, tracking_no: Some("TR-1".into()) }),
        Action::OrderDeliver(OrderDeliver { id: ORDER }),
        Action::OrderConfirm(OrderConfirm { id: ORDER }),
        Action::OrderReturn(OrderReturn { id: ORDER }),
        Action::ReturnReceive(ReturnReceive { id: ORDER, restock: true }),
        settle(Settlement::PaidOutside { reference: Some("bank".into()) }),
        settle(Settlement::Captured { provider_ref: "p-2".into(), amount: 9 }),
        settle(Settlement::Declined { code: "no".into() }),
        Action::SettingsUpdate(SettingsUpdate { if_version: 0, settings: Settings::default() }),
        Action::Tick(Tick),
        Action::FeatureLevelRaise(FeatureLevelRaise { to: 2, release: "0.2.0".into() }),
        Action::WishlistSet(WishlistSet { target: PoolId::Product(PRODUCT), quantity: 99 }),
        Action::WishlistRemove(WishlistRemove { target: PoolId::Sale(SALE) }),
        Action::WishlistClear(WishlistClear),
        Action::WishlistOrder(WishlistOrder {
            id: ORDER,
            address: Some(ShipTo::Saved(ADDRESS)),
            expected_total: Some(money(800)),
        }),
        Action::AddressAdd(AddressAdd { id: ADDRESS, body: Sealed(vec![6; 20]) }),
        Action::AddressUpdate(AddressUpdate {
            id: ADDRESS,
            if_version: 7,
            body: Sealed(vec![8; 10]),
            make_default: true,
        }),
        Action::AddressRemove(AddressRemove { id: ADDRESS, if_version: Some(9) }),
        Action::KeyringCreate(KeyringCreate {
            node: 2,
            versions: vec![MasterCheck { number: 3, check: [2; 32] }],
            keys: cluster_keys(3),
        }),
        Action::MasterVersionAdd(MasterVersionAdd {
            node: 300,
            versions: vec![MasterCheck { number: 70_000, check: [3; 32] }],
        }),
        Action::MasterVersionActivate(MasterVersionActivate {
            number: 4,
            members: vec![1, 300],
            keys: cluster_keys(4),
        }),
        Action::MasterVersionRetire(MasterVersionRetire { number: 70_000 }),
    ];
    actions.extend(people());
    actions
}

/// Commands about users and sessions, and about what is mailed to them.
fn people() -> Vec<Action> {
    let report = |attempt| Action::EffectReport(EffectReport { id: EFFECT, attempts: 3, attempt });
    vec![
        Action::EmailCodeRequest(EmailCodeRequest {
            purpose: CodePurpose::SignUp,
            email: EMAIL,
            mac: [17; 32],
            effect: EFFECT,
            letter: Sealed(vec![18; 80]),
        }),
        Action::EmailCodeConfirm(EmailCodeConfirm { email: EMAIL, mac: [19; 32], proof: [20; 32] }),
        Action::UserSignUp(UserSignUp {
            id: USER,
            account: account(),
            proof: [21; 32],
            address: Some(AddressAdd { id: ADDRESS, body: Sealed(vec![22; 20]) }),
        }),
        Action::AdminBootstrap(AdminBootstrap { id: USER, account: account() }),
        Action::UserUpdate(UserUpdate { if_version: 300, profile: Sealed(vec![23; 30]) }),
        Action::PasswordChange(PasswordChange {
            password_version: 2,
            password: Sealed(vec![24; 100]),
            session: Some(SESSION),
        }),
        Action::PasswordReset(PasswordReset {
            user: USER,
            secret: [25; 32],
            password: Sealed(vec![26; 100]),
        }),
        Action::UserManage(UserManage {
            id: USER,
            if_version: 5,
            role: Some(Role::Operator),
            blocked: Some(false),
        }),
        Action::UserErase(UserErase { id: USER, if_version: Some(300) }),
        Action::SessionOpen(SessionOpen {
            id: SESSION,
            user: USER,
            password_version: 2,
            refresh_key: 300,
        }),
        Action::LoginFail(LoginFail { user: USER }),
        Action::SessionRotate(SessionRotate { id: SESSION, generation: 300 }),
        Action::SessionClose(SessionClose { id: SESSION, user: USER }),
        Action::SessionIssue(SessionIssue { id: SESSION, user: USER, life_ms: 60_000 }),
        report(Attempt::Done),
        report(Attempt::Retry { wait_ms: 1_000, code: "mail_busy".into() }),
        report(Attempt::Failed { code: "mail_refused".into() }),
        Action::OrderReveal(OrderReveal { id: ORDER, reason: Sealed(vec![27; 30]) }),
        Action::UserReveal(UserReveal { id: USER, reason: Sealed(vec![28; 30]) }),
    ]
}

fn audit_entry() -> AuditEntry {
    let mut entry = AuditEntry {
        seq: 300,
        stamp: stamp(9),
        actor: USER,
        action: "OrderReveal".into(),
        target: ORDER.to_string(),
        reason: Some(Sealed(vec![29; 30])),
        previous: [8; 32],
        hash: [0; 32],
    };
    // The way an entry is hashed is format, too.
    entry.hash = entry.chained();
    entry
}

fn actors() -> [(&'static str, Actor); 4] {
    [
        ("node", Actor::Node),
        ("user", Actor::User { id: USER, role: Role::Admin }),
        ("anyone", Actor::Anyone),
        ("session", Actor::Session { user: USER, session: SESSION, role: Role::Operator }),
    ]
}

pub(super) fn refusals() -> Vec<Refusal> {
    let status = Status::Canceled;
    vec![
        Refusal::PermissionDenied,
        Refusal::FeatureUnavailable { level: 2 },
        Refusal::IdempotencyKeyReused,
        Refusal::InvalidField { pointer: "/name".into(), code: "too_long".into() },
        Refusal::NotFound(Kind::Order),
        Refusal::VersionMismatch { current: 9 },
        Refusal::IdInUse,
        Refusal::CurrencyFixed,
        Refusal::NotEnoughUnits { available: 3 },
        Refusal::SaleOpen,
        Refusal::ProductDiscontinued { product: PRODUCT },
        Refusal::SalePaused,
        Refusal::SaleNotOpen { opens_at: Millis::new(17) },
        Refusal::SaleClosed { closes_at: Some(Millis::new(18)) },
        Refusal::CurrencyMixed,
        Refusal::AmountOverflow,
        Refusal::PriceChanged { total: money(19) },
        Refusal::AlreadyHolding { order: ORDER, pay_by: Millis::new(20) },
        Refusal::TooManyPendingOrders { limit: 10 },
        Refusal::LimitReached { limit: 1, used: 1 },
        Refusal::SoldOut { pool: PoolId::Sale(SALE), available: Some(0) },
        Refusal::NotCancelable { status },
        Refusal::WrongStatus { status },
        Refusal::NotReturnable { status },
        Refusal::OrderNotPayable { status },
        Refusal::WishlistFull,
        Refusal::WishlistEmpty,
        Refusal::AddressLimit,
        Refusal::KeyVersionMissing { nodes: vec![2, 300] },
        Refusal::KeyVersionInUse {
            active: true,
            wrapped_keys: 1,
            not_before: Some(Millis::new(24)),
        },
        Refusal::KeyVersionRetired,
        Refusal::SessionClosed,
        Refusal::UserBlocked,
        Refusal::SessionReuse,
        Refusal::LoginRefused,
        Refusal::LoginThrottled { until: Millis::new(37) },
        Refusal::CodeInvalid,
        Refusal::CodeTooSoon { until: Millis::new(38) },
        Refusal::CodeTooMany { until: Millis::new(39) },
        Refusal::EmailUnverified,
        Refusal::EmailTaken,
        Refusal::AdminExists,
        Refusal::LastAdmin,
        Refusal::OrdersOpen,
    ]
}

pub(super) fn done() -> Vec<Done> {
    vec![
        Done::Product(Box::new(product()), pool()),
        Done::Sale(Box::new(sale()), pool(), true),
        Done::Stock(pool()),
        Done::Order(Arc::new(order())),
        Done::Settings(Box::default()),
        Done::FeatureLevel(2),
        Done::Ticked { more: true, next_due: Some(Millis::new(21)) },
        Done::Wish(Box::new(Wish::of(wishlist_item(), &product(), Some(&sale()), pool()))),
        Done::WishesRemoved,
        Done::Address(Arc::new(address())),
        Done::AddressRemoved,
        Done::Keyring(Box::new(keyring())),
        Done::Accepted,
        Done::User(Arc::new(user())),
        Done::Session(Arc::new(session())),
    ]
}

/// Encodes, and checks on the way that decoding gives the value back.
fn add<T: Versioned + PartialEq>(values: &mut Values, name: impl Into<String>, value: &T) {
    let bytes = codec::encode_at(value, Level::FIRST);
    assert!(codec::decode_versioned::<T>(&bytes, "").is_ok_and(|decoded| decoded == *value));
    values.push((name.into(), bytes));
}

/// Adds a row, under the name of its table.
fn add_row<R: Declared>(values: &mut Values, row: &R) {
    add(values, R::NAME, row);
}

fn add_command(values: &mut Values, name: String, command: &Command) {
    let bytes = codec::encode_command(command, Level::FIRST);
    assert_eq!(codec::decode_command(&bytes).as_ref().ok(), Some(command));
    values.push((name, bytes.to_vec()));
}

type Values = Vec<(String, Vec<u8>)>;

fn journal() -> Journal {
    let outcome = Outcome::Refused(Refusal::SalePaused);
    let outcome = OutcomeBytes(codec::encode_at(&outcome, Level::FIRST));
    let movement =
        Movement { from: Account::Available, to: Account::Held, quantity: 4, reason: Reason::Hold };
    Journal {
        stamp: stamp(7),
        actor: Actor::User { id: USER, role: Role::Operator },
        receipt: Some(Receipt { key: key(), expires_at: Millis::new(22), outcome }),
        movements: vec![LedgerEntry {
            pool: PoolId::Sale(SALE),
            movement,
            order: Some(ORDER),
            peer: Some(PoolId::Product(PRODUCT)),
            by_node: true,
            note: Some("counted".into()),
        }],
        facts: facts(),
    }
}

/// Every value with its name, encoded.
pub(super) fn all() -> Values {
    let mut values = Vec::new();
    let all = &mut values;
    add_row(all, &Settings { row: row(), ..Settings::default() });
    add_row(all, &product());
    add_row(all, &sale());
    add_row(all, &pool());
    add_row(all, &order());
    add_row(all, &Usage { sale: SALE, customer: USER, used: 2, holding: Some(ORDER), row: row() });
    add_row(all, &journal());
    let (receipts, facts_until) = (Revision::new(300), Revision::new(70_001));
    add_row(all, &Retention { receipts, facts: facts_until, row: row() });
    add_row(all, &FeatureLevel { level: 2, release: "0.2.0".into(), row: row() });
    add_row(all, &user());
    add_row(all, &session());
    add_row(all, &email_code());
    add_row(all, &effect(letter()));
    add_row(all, &wishlist_item());
    add_row(all, &address());
    add_row(all, &keyring());
    add_row(all, &audit_entry());
    add_row(all, &AuditHead { seq: 300, hash: [9; 32], row: row() });
    for status in Status::ALL {
        add(all, format!("orders.{}", status.as_str()), &Order { status, ..order() });
    }
    let notice = Mail::Notice { user: USER, notice: Notice::SessionReuse };
    add(all, "effects.notice", &effect(notice));
    for fact in facts() {
        let name = format!("journal.{}", fact.name());
        let facts = vec![fact];
        add(all, name, &Journal { receipt: None, movements: Vec::new(), facts, ..journal() });
    }
    for (place, action) in actions().into_iter().enumerate() {
        let actor = Actor::User { id: USER, role: Role::Customer };
        let name = format!("command.{place}.{}", action.name());
        add_command(all, name, &Command { actor, receipt: Some(key()), action });
    }
    for (name, actor) in actors() {
        let command = Command { actor, receipt: None, action: Action::Tick(Tick) };
        add_command(all, format!("actor.{name}"), &command);
    }
    for (place, done) in done().into_iter().enumerate() {
        add(all, format!("done.{place}"), &Outcome::Done(done));
    }
    for refusal in refusals() {
        add(all, format!("refused.{}", refusal.code()), &Outcome::Refused(refusal));
    }
    values
}
