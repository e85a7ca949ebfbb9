//! How fast committed purchases become rows: chunks of 64 on one hot sale, distinct buyers, with
//! checkpoints running as they do on a node.

#![expect(missing_docs, reason = "criterion writes a function without a comment")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use firstcome_domain::command::{
    Action, OrderCreate, ProductCreate, SaleCreate, ShipTo, WantedLine,
};
use firstcome_domain::id::{OrderId, ProductId, SaleId, UserId};
use firstcome_domain::receipt::{ReceiptKey, Scope};
use firstcome_domain::sale::Disclosure;
use firstcome_domain::stock::{Pool, PoolId};
use firstcome_domain::value::{Currency, Millis, Money, Revision, Sealed, Stamp};
use firstcome_domain::{Actor, Command, Role, View as _};
use firstcome_storage::dir::IdentityState;
use firstcome_storage::state::Committed;
use firstcome_storage::{DataDir, Identity, Log, LogOptions, State, StateOptions};

const CHUNK: u64 = 64;
const SALE: SaleId = SaleId::new(2);
/// Product and sale take two revisions; purchases follow.
const FIRST_PURCHASE: u64 = 3;

fn committed(revision: u64, command: Command) -> Committed {
    let now = Millis::new(i64::try_from(revision).unwrap_or(0) / 10);
    Committed { stamp: Stamp { revision: Revision::new(revision), now }, command: Some(command) }
}

fn opening() -> Vec<Committed> {
    let staff = Actor::User { id: UserId::new(1), role: Role::Admin };
    let price = Money { amount: 100, currency: Currency::new("KRW").expect("three capitals") };
    let product = Action::ProductCreate(ProductCreate {
        id: ProductId::new(1),
        name: "thing".into(),
        description: None,
        image_url: None,
        no_shipping: false,
        price,
        stock: 1_000_000_000,
        waitlist: false,
    });
    let sale = Action::SaleCreate(SaleCreate {
        id: SALE,
        product: ProductId::new(1),
        title: "drop".into(),
        units: 1_000_000_000,
        price: None,
        opens_at: Millis::new(0),
        closes_at: None,
        per_customer_limit: 1,
        pay_within_ms: None,
        disclosure: Disclosure::Exact,
        waitlist: false,
    });
    [product, sale]
        .into_iter()
        .zip(1..)
        .map(|(action, revision)| {
            committed(revision, Command { actor: staff, receipt: None, action })
        })
        .collect()
}

/// The purchase of a buyer who never bought before. Ids come in time order, as `UUIDv7` does;
/// buyers and scopes do not.
fn purchase(revision: u64) -> Committed {
    let spread = u128::from(revision).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let mut scope = [0; 32];
    scope[..16].copy_from_slice(&spread.to_be_bytes());
    let command = Command {
        actor: Actor::User { id: UserId::new(spread), role: Role::Customer },
        receipt: Some(ReceiptKey { scope: Scope(scope), fingerprint: [5; 32] }),
        action: Action::OrderCreate(OrderCreate {
            id: OrderId::new((u128::from(revision) << 64) | (spread >> 64)),
            lines: vec![WantedLine { target: PoolId::Sale(SALE), quantity: 1 }],
            address: Some(ShipTo::Sent(Sealed(vec![9; 120]))),
            expected_total: None,
        }),
    };
    committed(revision, command)
}

fn apply(c: &mut Criterion) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let identity = Identity {
        format: 1,
        cluster_uuid: "bench".into(),
        incarnation: 0,
        node_id: 1,
        name: "n1".into(),
        state: IdentityState::Active,
    };
    let dir = DataDir::create(&home.path().join("n1"), &identity).expect("a new directory");
    let log = Log::open(&dir, LogOptions::default()).expect("a new log");
    let state = State::open(&dir, StateOptions::default(), log).expect("a new state");
    state.apply(&opening(), Bytes::new()).expect("the sale opens");
    let mut next = FIRST_PURCHASE;
    let mut group = c.benchmark_group("apply");
    group.throughput(Throughput::Elements(CHUNK));
    group.bench_function("order_create_64", |b| {
        b.iter_batched(
            || {
                let chunk: Vec<_> = (next..next + CHUNK).map(purchase).collect();
                next += CHUNK;
                chunk
            },
            |chunk| black_box(state.apply(&chunk, Bytes::new()).expect("applied")),
            BatchSize::SmallInput,
        );
    });
    group.finish();
    // What was measured was sales, not refusals.
    let sold = state
        .read(|view| view.get::<Pool>(PoolId::Sale(SALE)))
        .expect("readable")
        .map(|pool| pool.accounts.held + pool.accounts.sold);
    assert!(sold > Some(0), "nothing was sold");
}

criterion_group!(benches, apply);
criterion_main!(benches);
