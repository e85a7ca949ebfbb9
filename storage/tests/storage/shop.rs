//! A small shop for tests: directories, commands, and a stream of random commands.

use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use firstcome_domain::command::{
    Action, AddressAdd, AddressRemove, AddressUpdate, Adjustment, AdminBootstrap, Attempt, Command,
    EffectReport, EmailCodeConfirm, EmailCodeRequest, LoginFail, OrderCancel, OrderCreate,
    OrderShip, PasswordChange, PasswordReset, PaymentSettle, ProductCreate, ProductSetStatus,
    SaleClose, SaleCreate, SaleUpdate, SessionClose, SessionIssue, SessionOpen, SessionRotate,
    Settlement, ShipTo, StockAdjust, Tick, UserManage, UserSignUp, UserUpdate, WantedLine,
    WishlistClear, WishlistOrder, WishlistRemove, WishlistSet,
};
use firstcome_domain::email_code::CodePurpose;
use firstcome_domain::id::{AddressId, EffectId, OrderId, ProductId, SaleId, SessionId, UserId};
use firstcome_domain::receipt::{ReceiptKey, Scope};
use firstcome_domain::sale::Disclosure;
use firstcome_domain::stock::PoolId;
use firstcome_domain::user::Account;
use firstcome_domain::value::{
    Currency, EmailIndex, Language, Millis, Money, Revision, Sealed, Stamp,
};
use firstcome_domain::{Actor, Role};
use firstcome_storage::dir::IdentityState;
use firstcome_storage::log::{Done, Entry};
use firstcome_storage::state::Committed;
use firstcome_storage::{Identity, LogOptions, StateOptions};

/// Where the simulated directory lies.
pub(crate) fn sim_path() -> PathBuf {
    PathBuf::from("/data")
}

/// The identity of node 7.
pub(crate) fn identity() -> Identity {
    Identity {
        format: 1,
        cluster_uuid: "0192f0c1-2345-7abc-8def-0123456789ab".into(),
        incarnation: 0,
        node_id: 7,
        name: "n7".into(),
        state: IdentityState::Active,
    }
}

/// A small cache, so that reads of the file happen.
pub(crate) const LOG: LogOptions = LogOptions { cache_bytes: 1024, segment_bytes: 64 * 1024 };

/// Checkpoints only when asked.
pub(crate) const STATE: StateOptions = StateOptions {
    cache_bytes: 4 * 1024 * 1024,
    checkpoint_interval: Duration::from_hours(1),
    checkpoint_bytes: usize::MAX,
};

/// A log entry whose bytes say its index and term.
pub(crate) fn entry(index: u64, term: u64) -> Entry {
    let text = format!("entry {index} of term {term}, and some bytes to fill a page with");
    Entry { index, bytes: Bytes::from(text) }
}

/// Entries of one term.
pub(crate) fn entries(range: std::ops::Range<u64>, term: u64) -> Vec<Entry> {
    range.map(|index| entry(index, term)).collect()
}

/// A callback, and where its answer arrives.
pub(crate) fn done() -> (Done, mpsc::Receiver<std::io::Result<()>>) {
    let (sender, receiver) = mpsc::channel();
    let done: Done = Box::new(move |result| {
        sender.send(result).unwrap_or_default();
    });
    (done, receiver)
}

pub(crate) fn product(n: u128) -> ProductId {
    ProductId::new(1000 + n)
}

pub(crate) fn sale(n: u128) -> SaleId {
    SaleId::new(2000 + n)
}

/// Neighbours stand in another order than their numbers, as ids of nodes do whose clocks differ.
pub(crate) fn order(n: u128) -> OrderId {
    OrderId::new(3000 + (n ^ 5))
}

pub(crate) fn customer(n: u128) -> UserId {
    UserId::new(4000 + n)
}

fn money(amount: i64) -> Money {
    Money { amount, currency: Currency::new("KRW").unwrap() }
}

pub(crate) fn by_staff(action: Action) -> Command {
    let actor = Actor::User { id: UserId::new(1), role: Role::Admin };
    Command { actor, receipt: None, action }
}

pub(crate) fn by_customer(n: u128, key: Option<u64>, action: Action) -> Command {
    let actor = Actor::User { id: customer(n), role: Role::Customer };
    let receipt = key.map(|key| {
        let mut scope = [0; 32];
        scope[..8].copy_from_slice(&key.to_be_bytes());
        scope[31] = u8::try_from(n % 256).unwrap();
        ReceiptKey { scope: Scope(scope), fingerprint: [5; 32] }
    });
    Command { actor, receipt, action }
}

pub(crate) fn create_product(n: u128, stock: u64) -> Command {
    by_staff(Action::ProductCreate(ProductCreate {
        id: product(n),
        name: format!("product {n}"),
        description: None,
        image_url: None,
        no_shipping: false,
        price: money(100),
        stock,
        waitlist: false,
    }))
}

pub(crate) fn create_sale(n: u128, of: u128, units: u64, limit: u32) -> Command {
    by_staff(Action::SaleCreate(SaleCreate {
        id: sale(n),
        product: product(of),
        title: format!("sale {n}"),
        units,
        price: None,
        opens_at: Millis::new(0),
        closes_at: None,
        per_customer_limit: limit,
        pay_within_ms: None,
        disclosure: Disclosure::Exact,
        waitlist: false,
    }))
}

pub(crate) fn buy(id: u128, who: u128, target: PoolId, quantity: u32, key: Option<u64>) -> Command {
    let ask = OrderCreate {
        id: order(id),
        lines: vec![WantedLine { target, quantity }],
        address: Some(ShipTo::Sent(Sealed(vec![9; 64]))),
        expected_total: None,
    };
    by_customer(who, key, Action::OrderCreate(ask))
}

pub(crate) fn wish(who: u128, target: PoolId, quantity: u32) -> Command {
    by_customer(who, None, Action::WishlistSet(WishlistSet { target, quantity }))
}

fn order_wishes(id: u128, who: u128, key: Option<u64>) -> Command {
    let (address, expected_total) = (Some(ShipTo::Sent(Sealed(vec![9; 64]))), None);
    let ask = WishlistOrder { id: order(id), address, expected_total };
    by_customer(who, key, Action::WishlistOrder(ask))
}

pub(crate) fn save_address(id: u128, who: u128) -> Command {
    let ask = AddressAdd { id: AddressId::new(id), body: Sealed(vec![9; 200]) };
    by_customer(who, None, Action::AddressAdd(ask))
}

pub(crate) fn cancel(id: u128, who: u128) -> Command {
    by_customer(who, None, Action::OrderCancel(OrderCancel { id: order(id) }))
}

pub(crate) fn pay(id: u128) -> Command {
    let settlement = Settlement::PaidOutside { reference: Some("bank".into()) };
    by_staff(Action::PaymentSettle(PaymentSettle { order: order(id), settlement }))
}

pub(crate) fn restock(pool: PoolId) -> Command {
    let (adjustment, note) = (Adjustment::In, Some("counted".into()));
    by_staff(Action::StockAdjust(StockAdjust { pool, adjustment, quantity: 5, note }))
}

/// Discontinues a product that was not changed before.
pub(crate) fn discontinue(id: ProductId) -> Command {
    let (if_version, discontinued) = (1, true);
    by_staff(Action::ProductSetStatus(ProductSetStatus { id, if_version, discontinued }))
}

pub(crate) fn tick() -> Command {
    Command { actor: Actor::Node, receipt: None, action: Action::Tick(Tick) }
}

fn by_anyone(action: Action) -> Command {
    Command { actor: Actor::Anyone, receipt: None, action }
}

fn session(n: u128) -> SessionId {
    SessionId::new(5000 + n)
}

/// Everything of a person, and everything that is sent to them, is so many equal bytes.
fn account(n: u8) -> Account {
    Account {
        data_key: Sealed(vec![n; 66]),
        email_index: EmailIndex([n; 32]),
        email: Sealed(vec![n; 40]),
        profile: Sealed(vec![n; 50]),
        password: Sealed(vec![n; 100]),
        password_version: 1,
        language: Language::English,
    }
}

/// The entry at a revision and time.
pub(crate) fn committed(revision: u64, now: i64, command: Option<Command>) -> Committed {
    Committed { stamp: Stamp { revision: Revision::new(revision), now: Millis::new(now) }, command }
}

/// A repeatable stream of commands that hit each other: few products, sales and customers.
pub(crate) struct Stream {
    seed: u64,
    next: u64,
    now: i64,
    /// The last mail that was asked for.
    mail: u64,
}

impl Stream {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, next: 1, now: 1_000, mail: 0 }
    }

    /// A number below `end`; xorshift64*.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.seed;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % end
    }

    /// The next log entry.
    pub(crate) fn entry(&mut self) -> Committed {
        let revision = self.next;
        self.next += 1;
        // Mostly moments apart, now and then an hour, so that holds and receipts run out.
        self.now += match self.below(40) {
            0 => 3_600_000,
            1 => -500,
            _ => i64::try_from(self.below(2_000)).unwrap(),
        };
        let command = (self.below(25) != 0).then(|| self.command(revision));
        committed(revision, self.now, command)
    }

    fn command(&mut self, revision: u64) -> Command {
        if revision.is_multiple_of(4) {
            return self.about_people(revision);
        }
        let who = u128::from(self.below(9));
        let old_order = u128::from(self.below(revision));
        let (nth_sale, nth_product) = (u128::from(self.below(5)), u128::from(self.below(3)));
        let pool = if self.below(3) == 0 {
            PoolId::Product(product(nth_product))
        } else {
            PoolId::Sale(sale(nth_sale))
        };
        let quantity = u32::try_from(1 + self.below(3)).unwrap();
        let key = (self.below(3) != 0).then(|| self.below(40));
        match self.below(20) {
            0 => create_product(nth_product, 50),
            1 => create_sale(nth_sale, nth_product, 10, 4),
            2 => tick(),
            3 | 4 => cancel(old_order, who),
            5 | 6 => pay(old_order),
            7 => by_staff(Action::OrderShip(OrderShip { id: order(old_order), tracking_no: None })),
            8 => restock(pool),
            9 if self.below(4) == 0 => {
                by_staff(Action::SaleClose(SaleClose { id: sale(nth_sale), if_version: None }))
            }
            // Of the others there is always something to buy.
            9 if nth_product == 2 => discontinue(product(nth_product)),
            10 => by_staff(Action::SaleUpdate(SaleUpdate {
                id: sale(nth_sale),
                if_version: 1 + self.below(4),
                title: Some("another title".into()),
                price: None,
                opens_at: None,
                closes_at: None,
                per_customer_limit: Some(3),
                pay_within_ms: None,
                disclosure: None,
                waitlist: None,
            })),
            // Some buyers only wish. That draws nothing, so the others stay as they are.
            _ if revision.is_multiple_of(9) => match revision / 9 % 8 {
                0 => by_customer(who, None, Action::WishlistClear(WishlistClear)),
                1 => {
                    let remove = WishlistRemove { target: pool };
                    by_customer(who, None, Action::WishlistRemove(remove))
                }
                2 => order_wishes(u128::from(revision), who, key),
                _ => wish(who, pool, quantity),
            },
            // Nor do those who only move house.
            _ if revision.is_multiple_of(13) => {
                let (id, body) = (AddressId::new(who / 3), Sealed(vec![8; 100]));
                let action = match revision / 13 % 8 {
                    0 => Action::AddressRemove(AddressRemove { id, if_version: None }),
                    1 | 2 => {
                        let (if_version, make_default) = (1, true);
                        Action::AddressUpdate(AddressUpdate { id, if_version, body, make_default })
                    }
                    nth => return save_address(u128::from(nth % 4), who / 3),
                };
                by_customer(who / 3, None, action)
            }
            _ => buy(u128::from(revision), who, pool, quantity, key),
        }
    }

    /// A command about two customers who sign up and log in, each now and then what the other just
    /// did, or about the first admin. Most come in an order in which they succeed.
    fn about_people(&mut self, revision: u64) -> Command {
        const STEPS: u64 = 14;
        let turn = revision / 4;
        let is_in_turn = self.below(3) != 0;
        let step = if is_in_turn { turn % STEPS } else { self.below(STEPS) };
        let n = if is_in_turn { turn / STEPS % 2 } else { self.below(2) };
        let n = u8::try_from(n).unwrap();
        let (user, id, account) = (customer(n.into()), session(n.into()), account(n));
        let email = account.email_index;
        let ours = Actor::Session { user, session: id, role: Role::Customer };
        let by_user = |action| Command { actor: ours, receipt: None, action };
        let password_version = 1 + u32::from(self.below(4) == 0);
        match step {
            0 | 13 => {
                self.mail = revision;
                let purpose =
                    if step == 0 { CodePurpose::SignUp } else { CodePurpose::PasswordReset };
                let (effect, letter) = (EffectId::new(revision.into()), Sealed(vec![n; 80]));
                let ask = EmailCodeRequest { purpose, email, mac: [n; 32], effect, letter };
                by_anyone(Action::EmailCodeRequest(ask))
            }
            1 => {
                let code = "mail_refused".to_owned();
                let attempt = match self.below(4) {
                    0 => Attempt::Done,
                    1 => Attempt::Retry { wait_ms: 1_000, code },
                    _ => Attempt::Failed { code },
                };
                let id = EffectId::new(self.mail.into());
                let action = Action::EffectReport(EffectReport { id, attempts: 0, attempt });
                Command { actor: Actor::Node, receipt: None, action }
            }
            2 | 3 => {
                let mac = if step == 2 { [99; 32] } else { [n; 32] };
                let ask = EmailCodeConfirm { email, mac, proof: [n; 32] };
                by_anyone(Action::EmailCodeConfirm(ask))
            }
            4 => {
                let address = AddressAdd { id: AddressId::new(90), body: Sealed(vec![n; 100]) };
                let (proof, address) = ([n; 32], Some(address));
                by_anyone(Action::UserSignUp(UserSignUp { id: user, account, proof, address }))
            }
            5 => {
                let ask = SessionOpen { id, user, password_version, refresh_key: 1 };
                by_anyone(Action::SessionOpen(ask))
            }
            6 => {
                let generation = u32::try_from(self.below(3)).unwrap();
                by_anyone(Action::SessionRotate(SessionRotate { id, generation }))
            }
            7 => {
                let pool = PoolId::Product(product(1));
                by_user(buy(revision.into(), n.into(), pool, 1, None).action)
            }
            8 => by_anyone(Action::LoginFail(LoginFail { user })),
            9 => {
                let ask = AdminBootstrap { id: UserId::new(1), account: self::account(200) };
                by_staff(Action::AdminBootstrap(ask))
            }
            10 => {
                let (password, profile) = (Sealed(vec![n; 90]), Sealed(vec![n; 60]));
                match self.below(3) {
                    0 => {
                        let ask = PasswordReset { user, secret: [n; 32], password };
                        by_anyone(Action::PasswordReset(ask))
                    }
                    1 => {
                        let session = Some(id);
                        let ask = PasswordChange { password_version, password, session };
                        by_user(Action::PasswordChange(ask))
                    }
                    _ => by_user(Action::UserUpdate(UserUpdate { if_version: 1, profile })),
                }
            }
            11 => {
                let (role, blocked) = match self.below(4) {
                    0 => (Some(Role::Support), None),
                    1 => (Some(Role::Customer), Some(true)),
                    _ => (None, Some(false)),
                };
                let if_version = 1 + self.below(3);
                let ask = UserManage { id: user, if_version, role, blocked };
                by_staff(Action::UserManage(ask))
            }
            _ if self.below(2) == 0 => by_anyone(Action::SessionClose(SessionClose { id, user })),
            _ => {
                let ask = SessionIssue { id: session(90 + u128::from(n)), user, life_ms: 600_000 };
                by_staff(Action::SessionIssue(ask))
            }
        }
    }
}

/// Raft's meta for a state at a revision, as far as tests care.
pub(crate) fn meta(revision: u64) -> Bytes {
    Bytes::from(format!("applied {revision}"))
}

/// Asserts that a result is an error whose debug form contains a word.
#[track_caller]
pub(crate) fn refused<T>(result: Result<T, firstcome_storage::Error>, word: &str) {
    match result {
        Ok(_) => panic!("expected an error with {word:?}"),
        Err(error) => {
            let text = format!("{error:?}");
            assert!(text.contains(word), "{word:?} is not in {text}");
        }
    }
}

/// The files of a directory.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new("/data").join(name)
}
