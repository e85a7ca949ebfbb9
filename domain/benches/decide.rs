//! One order on a hot sale, decided against memory: the cost that every log entry pays.
#![expect(missing_docs, reason = "criterion's macro makes an undocumented function")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use firstcome_domain::command::{OrderCreate, ProductCreate, SaleCreate, ShipTo, WantedLine};
use firstcome_domain::receipt::{ReceiptKey, Scope};
use firstcome_domain::sale::Disclosure;
use firstcome_domain::stock::PoolId;
use firstcome_domain::testing::memory::Memory;
use firstcome_domain::value::{Currency, Money, Revision, Sealed};
use firstcome_domain::{
    Action, Actor, Command, Millis, OrderId, ProductId, Role, SaleId, Stamp, UserId, decide,
    early_refusal,
};

fn staff(action: Action) -> Command {
    Command {
        actor: Actor::User { id: UserId::new(1), role: Role::Operator },
        receipt: None,
        action,
    }
}

/// A sale with this many units, and one unpaid order by each of `orders` customers.
fn hot_sale(units: u64, orders: u32) -> Memory {
    let (product, sale) = (ProductId::new(1), SaleId::new(1));
    let price = Money { amount: 15_000, currency: Currency::new("KRW").expect("three capitals") };
    let mut memory = Memory::new();
    memory.step(
        &staff(Action::ProductCreate(ProductCreate {
            id: product,
            name: "A pair of shoes".into(),
            description: Some("Red, with white soles.".into()),
            image_url: None,
            no_shipping: false,
            price,
            stock: units,
            waitlist: false,
        })),
        Millis::new(0),
    );
    memory.step(
        &staff(Action::SaleCreate(SaleCreate {
            id: sale,
            product,
            title: "Drop".into(),
            units,
            price: None,
            opens_at: Millis::new(0),
            closes_at: None,
            per_customer_limit: 1,
            pay_within_ms: None,
            disclosure: Disclosure::Exact,
            waitlist: false,
        })),
        Millis::new(0),
    );
    for number in 0..orders {
        memory.step(&order(number), Millis::new(1));
    }
    memory
}

fn order(number: u32) -> Command {
    let bits = u128::from(number) + 10;
    let mut scope = [0; 32];
    scope[..4].copy_from_slice(&number.to_be_bytes());
    Command {
        actor: Actor::User { id: UserId::new(bits), role: Role::Customer },
        receipt: Some(ReceiptKey { scope: Scope(scope), fingerprint: [7; 32] }),
        action: Action::OrderCreate(OrderCreate {
            id: OrderId::new(bits),
            lines: vec![WantedLine { target: PoolId::Sale(SaleId::new(1)), quantity: 1 }],
            address: Some(ShipTo::Sent(Sealed(vec![0; 200]))),
            expected_total: None,
        }),
    }
}

fn bench(criterion: &mut Criterion) {
    let stamp = Stamp { revision: Revision::new(1 << 40), now: Millis::new(2) };
    let open = hot_sale(1_000_000, 10_000);
    let winner = order(20_000);
    criterion.bench_function("decide/order_won", |bencher| {
        bencher.iter(|| decide(black_box(&open), black_box(&winner), stamp));
    });
    let sold_out = hot_sale(10_000, 10_000);
    criterion.bench_function("decide/order_sold_out", |bencher| {
        bencher.iter(|| decide(black_box(&sold_out), black_box(&winner), stamp));
    });
    criterion.bench_function("early_refusal/sold_out", |bencher| {
        bencher.iter(|| early_refusal(black_box(&sold_out), black_box(&winner), stamp.now, None));
    });
}

criterion_group!(benches, bench);
criterion_main!(benches);
