//! What it costs to turn rows into bytes and back.

#![expect(missing_docs, reason = "criterion writes a function without a comment")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use firstcome_domain::id::{OrderId, ProductId, SaleId, UserId};
use firstcome_domain::kernel::version::Level;
use firstcome_domain::order::{Line, Order, Payment, PaymentStatus, Source, Status};
use firstcome_domain::stock::PoolId;
use firstcome_domain::value::{Currency, Millis, Money, RowStamp, Sealed, Stamp};
use firstcome_storage::codec;

fn order() -> Order {
    let currency = Currency::new("KRW").expect("three capitals");
    Order {
        id: OrderId::new(u128::MAX / 3),
        customer: UserId::new(u128::MAX / 5),
        lines: vec![Line {
            pool: PoolId::Sale(SaleId::new(u128::MAX / 7)),
            product: ProductId::new(u128::MAX / 9),
            name: "a thing of some name".into(),
            unit_price: Money { amount: 129_000, currency },
            quantity: 1,
        }],
        total: 129_000,
        currency,
        address: Some(Sealed(vec![9; 120])),
        source: Source::Direct,
        status: Status::PaymentPending,
        entered_at: Millis::new(1_700_000_000_000),
        pay_by: Some(Millis::new(1_700_000_900_000)),
        due_at: Some(Millis::new(1_700_000_900_000)),
        payment: Payment { status: PaymentStatus::Pending, captures: Vec::new(), last_code: None },
        tracking_no: None,
        reason: None,
        #[cfg(feature = "next")]
        noted_at: None,
        ticket: Stamp::default(),
        row: RowStamp::default(),
    }
}

fn code(c: &mut Criterion) {
    let order = order();
    let bytes = codec::encode_at(&order, Level::FIRST);
    c.bench_function("codec/encode_order", |b| {
        b.iter(|| codec::encode_at(black_box(&order), Level::FIRST));
    });
    c.bench_function("codec/decode_order", |b| {
        b.iter(|| {
            codec::decode_versioned::<Order>(black_box(&bytes), "order").expect("its own bytes")
        });
    });
}

criterion_group!(benches, code);
criterion_main!(benches);
