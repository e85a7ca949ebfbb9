//! A small shop: one product, two sales, a few customers, and commands that meet in it.

use std::sync::OnceLock;

use firstcome_domain::command::{
    Action, Actor, Adjustment, Allotment, Command, OrderCancel, OrderCreate, PaymentSettle,
    ProductCreate, Role, SaleAllot, SaleClose, SaleCreate, SalePause, SaleResume, Settlement,
    StockAdjust, WantedLine,
};
use firstcome_domain::receipt::{ReceiptKey, Scope};
use firstcome_domain::sale::Disclosure;
use firstcome_domain::stock::PoolId;
use firstcome_domain::testing::memory::Memory;
use firstcome_domain::value::{Currency, Money};
use firstcome_domain::{Millis, OrderId, ProductId, SaleId, UserId};

/// The only product.
pub const PRODUCT: ProductId = ProductId::new(1);

/// The pools: general stock, a sale that is open, one that opens and closes.
pub const POOLS: [PoolId; 3] =
    [PoolId::Product(PRODUCT), PoolId::Sale(SaleId::new(1)), PoolId::Sale(SaleId::new(2))];

/// Who runs the shop.
pub const STAFF: Actor = Actor::User { id: UserId::new(1), role: Role::Admin };

/// A customer by number.
pub const fn customer(n: u8) -> Actor {
    Actor::User { id: UserId::new(1000 + n as u128), role: Role::Customer }
}

/// A command without a key.
pub const fn by(actor: Actor, action: Action) -> Command {
    Command { actor, receipt: None, action }
}

/// A receipt key by number, with a fingerprint by number.
pub const fn key(name: u8, body: u8) -> ReceiptKey {
    ReceiptKey { scope: Scope([name; 32]), fingerprint: [body; 32] }
}

/// Creates the product.
pub fn product(stock: u64) -> Action {
    Action::ProductCreate(ProductCreate {
        id: PRODUCT,
        name: "cup".to_owned(),
        description: None,
        image_url: None,
        no_shipping: true,
        price: won(15_000),
        stock,
        waitlist: false,
    })
}

/// An amount in won.
pub fn won(amount: i64) -> Money {
    Money { amount, currency: Currency::new("KRW").expect("three capitals") }
}

/// Creates one of the two sales.
pub fn sale(n: u8, units: u64, opens_at: i64, closes_at: Option<i64>) -> Action {
    Action::SaleCreate(SaleCreate {
        id: SaleId::new(n.into()),
        product: PRODUCT,
        title: "drop".to_owned(),
        units,
        price: None,
        opens_at: Millis::new(opens_at),
        closes_at: closes_at.map(Millis::new),
        per_customer_limit: 2,
        pay_within_ms: Some(60_000),
        disclosure: Disclosure::Exact,
        waitlist: false,
    })
}

/// Wants units of pools.
pub fn order(id: u32, lines: &[(PoolId, u32)]) -> Action {
    Action::OrderCreate(OrderCreate {
        id: OrderId::new(id.into()),
        lines: lines
            .iter()
            .map(|(target, quantity)| WantedLine { target: *target, quantity: *quantity })
            .collect(),
        address: None,
        expected_total: None,
    })
}

/// Cancels an order.
pub fn cancel(id: u32) -> Action {
    Action::OrderCancel(OrderCancel { id: OrderId::new(id.into()) })
}

/// Settles a payment.
pub fn settle(id: u32, settlement: Settlement) -> Action {
    Action::PaymentSettle(PaymentSettle { order: OrderId::new(id.into()), settlement })
}

/// Corrects a pool.
pub fn adjust(pool: PoolId, adjustment: Adjustment, quantity: u64) -> Action {
    Action::StockAdjust(StockAdjust { pool, adjustment, quantity, note: None })
}

/// Moves units between a sale and its product.
pub fn allot(n: u8, allotment: Allotment, quantity: u64) -> Action {
    Action::SaleAllot(SaleAllot { id: SaleId::new(n.into()), allotment, quantity, note: None })
}

/// Pauses a sale.
pub fn pause(n: u8) -> Action {
    Action::SalePause(SalePause { id: SaleId::new(n.into()), if_version: None })
}

/// Resumes a sale.
pub fn resume(n: u8) -> Action {
    Action::SaleResume(SaleResume { id: SaleId::new(n.into()), if_version: None })
}

/// Closes a sale.
pub fn close(n: u8) -> Action {
    Action::SaleClose(SaleClose { id: SaleId::new(n.into()), if_version: None })
}

/// The shop on its first day: nine units, two orders waiting for payment, one paid.
pub fn memory() -> Memory {
    static SHOP: OnceLock<Memory> = OnceLock::new();
    let open = || {
        let mut memory = Memory::new();
        let staff = [product(9), sale(1, 3, 0, None), sale(2, 2, 1_000, Some(3_600_000))];
        for action in staff {
            memory.step(&by(STAFF, action), Millis::new(0));
        }
        for n in 1..=3 {
            let lines = [(POOLS[usize::from(n) % 2], 1)];
            memory.step(&by(customer(n), order(n.into(), &lines)), Millis::new(0));
        }
        let paid = Settlement::PaidOutside { reference: None };
        memory.step(&by(STAFF, settle(1, paid)), Millis::new(0));
        memory
    };
    SHOP.get_or_init(open).clone()
}
