//! Limits of fields: each is met from both sides, because `decide` trusts no sender.

use firstcome_domain::command::*;
use firstcome_domain::settings::{OutOfRange, Settings};
use firstcome_domain::value::{
    Currency, DESCRIPTION_CHARS_MAX, IMAGE_URL_CHARS_MAX, LINE_QUANTITY_MAX, Money, NAME_CHARS_MAX,
    NOTE_CHARS_MAX, STOCK_QUANTITY_MAX, TITLE_CHARS_MAX, TRACKING_CHARS_MAX,
};
use firstcome_domain::{Millis, ProductId, Refusal, SaleId};
use serde::Deserialize;
use serde::de::value::{Error, SeqDeserializer};

use crate::shop::*;

/// What is wrong with a text, and such texts; none of a letter that takes one byte.
fn bad_texts(chars_max: usize) -> [(&'static str, String); 6] {
    [
        ("required", String::new()),
        ("too_long", "\u{e9}".repeat(chars_max + 1)),
        ("invalid", "a\u{0}b".into()),
        ("invalid", " a".into()),
        ("invalid", "a ".into()),
        // As long as it may be, and still not clean.
        ("invalid", format!("\u{0}{}", "\u{e9}".repeat(chars_max - 1))),
    ]
}

/// The longest text.
fn longest(chars_max: usize) -> String {
    "\u{e9}".repeat(chars_max)
}

/// A currency as only a decoder can make it.
fn no_currency() -> Currency {
    let bytes = SeqDeserializer::<_, Error>::new(std::iter::once(b"krw".to_vec()));
    Currency::deserialize(bytes).unwrap()
}

fn bad_prices() -> [Money; 4] {
    let strange = Money { amount: 1, currency: no_currency() };
    [won(0), won(-1), won(Money::UNIT_PRICE_MAX + 1), strange]
}

const BAD_INSTANTS: [Millis; 2] = [Millis::new(-1), Millis::new(Millis::MAX.get() + 1)];

#[track_caller]
fn invalid(shop: &mut Shop, action: Action, pointer: &str, code: &str) {
    let asked = format!("{action:?}");
    let expected = Refusal::InvalidField { pointer: pointer.into(), code: code.into() };
    assert_eq!(shop.refused(STAFF, action), expected, "{asked}");
}

#[track_caller]
fn done(shop: &mut Shop, action: Action) {
    let asked = format!("{action:?}");
    assert_eq!(shop.code(STAFF, action), "done", "{asked}");
}

/// A product that nobody has changed yet, and this change of it.
fn product_update(change: impl FnOnce(&mut ProductUpdate)) -> Action {
    let mut update = ProductUpdate {
        id: PRODUCT,
        if_version: 1,
        name: None,
        description: None,
        image_url: None,
        no_shipping: None,
        price: None,
        waitlist: None,
    };
    change(&mut update);
    Action::ProductUpdate(update)
}

fn product(change: impl FnOnce(&mut ProductCreate)) -> Action {
    let mut create = product_of(ProductId::new(2), 1);
    change(&mut create);
    Action::ProductCreate(create)
}

fn sale(change: impl FnOnce(&mut SaleCreate)) -> Action {
    let mut create = sale_of(SaleId::new(2), 1);
    change(&mut create);
    Action::SaleCreate(create)
}

/// A change of a sale that opens in a minute.
fn sale_update(change: impl FnOnce(&mut SaleUpdate)) -> Action {
    let mut update = no_update(SALE, 1);
    change(&mut update);
    Action::SaleUpdate(update)
}

fn with_scheduled_sale() -> Shop {
    let mut shop = Shop::with_product();
    let opens_at = Millis::new(MINUTE);
    done(&mut shop, Action::SaleCreate(SaleCreate { opens_at, ..sale_of(SALE, 1) }));
    shop
}

#[test]
fn texts_of_a_product_are_bounded() {
    let mut shop = Shop::with_product();
    for (code, text) in bad_texts(NAME_CHARS_MAX) {
        invalid(&mut shop, product(|p| p.name = text.clone()), "/name", code);
        invalid(&mut shop, product_update(|p| p.name = Some(text)), "/name", code);
    }
    for (code, text) in bad_texts(DESCRIPTION_CHARS_MAX) {
        let place = "/description";
        invalid(&mut shop, product(|p| p.description = Some(text.clone())), place, code);
        invalid(&mut shop, product_update(|p| p.description = Some(Some(text))), place, code);
    }
    for (code, text) in bad_texts(IMAGE_URL_CHARS_MAX) {
        let place = "/image_url";
        invalid(&mut shop, product(|p| p.image_url = Some(text.clone())), place, code);
        invalid(&mut shop, product_update(|p| p.image_url = Some(Some(text))), place, code);
    }
    let lines = format!("a\n\tb{}", longest(DESCRIPTION_CHARS_MAX - 4));
    invalid(&mut shop, product(|p| p.name = "a\nb".into()), "/name", "invalid");
    invalid(&mut shop, product(|p| p.name = "a\tb".into()), "/name", "invalid");
    invalid(&mut shop, product(|p| p.description = Some("a\rb".into())), "/description", "invalid");
    done(
        &mut shop,
        product(|p| {
            p.name = longest(NAME_CHARS_MAX);
            p.description = Some(lines);
            p.image_url = Some(longest(IMAGE_URL_CHARS_MAX));
        }),
    );
}

#[test]
fn prices_and_stock_of_a_product_are_bounded() {
    let mut shop = Shop::with_product();
    for price in bad_prices() {
        invalid(&mut shop, product(|p| p.price = price), "/price", "out_of_range");
        invalid(&mut shop, product_update(|p| p.price = Some(price)), "/price", "out_of_range");
    }
    let too_many = product(|p| p.stock = STOCK_QUANTITY_MAX + 1);
    invalid(&mut shop, too_many, "/stock", "out_of_range");
    done(&mut shop, product_update(|p| p.price = Some(won(1))));
    done(
        &mut shop,
        product(|p| {
            p.price = won(Money::UNIT_PRICE_MAX);
            p.stock = STOCK_QUANTITY_MAX;
        }),
    );
    assert_eq!(shop.stock(P).stocked(), 10);
}

#[test]
fn nothing_moves_where_there_is_nothing_to_move() {
    let mut shop = Shop::with_product();
    let before = shop.memory.ledger().count();
    done(&mut shop, product(|p| p.stock = 0));
    done(&mut shop, Action::SaleCreate(sale_of(SALE, 0)));
    done(&mut shop, close(SALE));
    assert_eq!(shop.memory.ledger().count(), before);
}

#[test]
fn fields_of_a_sale_are_bounded() {
    let mut shop = with_scheduled_sale();
    for (code, text) in bad_texts(TITLE_CHARS_MAX) {
        invalid(&mut shop, sale(|s| s.title = text.clone()), "/title", code);
        invalid(&mut shop, sale_update(|s| s.title = Some(text)), "/title", code);
    }
    for price in bad_prices() {
        invalid(&mut shop, sale(|s| s.price = Some(price)), "/price", "out_of_range");
        invalid(&mut shop, sale_update(|s| s.price = Some(price)), "/price", "out_of_range");
    }
    let euro = Money { amount: 1, currency: Currency::new("EUR").unwrap() };
    invalid(&mut shop, sale(|s| s.price = Some(euro)), "/price/currency", "invalid");
    invalid(&mut shop, sale_update(|s| s.price = Some(euro)), "/price/currency", "invalid");
    for at in BAD_INSTANTS {
        invalid(&mut shop, sale(|s| s.opens_at = at), "/opens_at", "out_of_range");
        invalid(&mut shop, sale_update(|s| s.opens_at = Some(at)), "/opens_at", "out_of_range");
        invalid(&mut shop, sale(|s| s.closes_at = Some(at)), "/closes_at", "out_of_range");
        let closes = sale_update(|s| s.closes_at = Some(Some(at)));
        invalid(&mut shop, closes, "/closes_at", "out_of_range");
    }
    for limit in [0, LINE_QUANTITY_MAX + 1] {
        let place = "/per_customer_limit";
        invalid(&mut shop, sale(|s| s.per_customer_limit = limit), place, "out_of_range");
        let update = sale_update(|s| s.per_customer_limit = Some(limit));
        invalid(&mut shop, update, place, "out_of_range");
    }
    for ms in [MINUTE - 1, DAY + 1] {
        let place = "/pay_within_seconds";
        invalid(&mut shop, sale(|s| s.pay_within_ms = Some(ms)), place, "out_of_range");
        let update = sale_update(|s| s.pay_within_ms = Some(Some(ms)));
        invalid(&mut shop, update, place, "out_of_range");
    }
    let too_many = sale(|s| s.units = STOCK_QUANTITY_MAX + 1);
    invalid(&mut shop, too_many, "/units", "out_of_range");
    done(
        &mut shop,
        sale(|s| {
            s.title = longest(TITLE_CHARS_MAX);
            s.price = Some(won(Money::UNIT_PRICE_MAX));
            s.opens_at = Millis::new(Millis::MAX.get() - 1);
            s.closes_at = Some(Millis::MAX);
            s.per_customer_limit = LINE_QUANTITY_MAX;
            s.pay_within_ms = Some(DAY);
        }),
    );
    done(&mut shop, sale_update(|s| s.pay_within_ms = Some(Some(MINUTE))));
}

#[test]
fn an_open_sale_keeps_each_of_its_terms() {
    let mut shop = Shop::with_sale(1);
    for update in [
        sale_update(|s| s.price = Some(won(1))),
        sale_update(|s| s.opens_at = Some(Millis::new(MINUTE))),
        sale_update(|s| s.pay_within_ms = Some(None)),
    ] {
        assert_eq!(shop.code(STAFF, update.clone()), "sale_open", "{update:?}");
    }
    shop.now = MINUTE;
    let now = sale_update(|s| s.closes_at = Some(Some(Millis::new(MINUTE))));
    invalid(&mut shop, now, "/closes_at", "out_of_range");
    done(&mut shop, sale_update(|s| s.closes_at = Some(Some(Millis::new(MINUTE + 1)))));
}

#[test]
fn notes_and_references_are_bounded() {
    let mut shop = Shop::with_sale(2);
    shop.order(1, S, 1);
    shop.order(2, S, 1);
    let settle = |settlement| Action::PaymentSettle(PaymentSettle { order: oid(1), settlement });
    for (code, note) in bad_texts(NOTE_CHARS_MAX) {
        let reference = Some(note.clone());
        invalid(&mut shop, settle(Settlement::PaidOutside { reference }), "/reference", code);
        let adjust = StockAdjust {
            pool: P,
            adjustment: Adjustment::In,
            quantity: 1,
            note: Some(note.clone()),
        };
        invalid(&mut shop, Action::StockAdjust(adjust), "/reason", code);
        let allot =
            SaleAllot { id: SALE, allotment: Allotment::UpFromNew, quantity: 1, note: Some(note) };
        invalid(&mut shop, Action::SaleAllot(allot), "/note", code);
    }
    let reference = Some(longest(NOTE_CHARS_MAX));
    done(&mut shop, settle(Settlement::PaidOutside { reference }));
    for (code, text) in bad_texts(TRACKING_CHARS_MAX) {
        let parcel = OrderShip { id: oid(1), tracking_no: Some(text) };
        invalid(&mut shop, Action::OrderShip(parcel), "/tracking_no", code);
    }
    let tracking_no = Some(longest(TRACKING_CHARS_MAX));
    done(&mut shop, Action::OrderShip(OrderShip { id: oid(1), tracking_no }));
}

#[test]
fn reports_of_a_provider_are_bounded() {
    let mut shop = Shop::with_sale(2);
    shop.order(1, S, 1);
    let settle = |settlement| Action::PaymentSettle(PaymentSettle { order: oid(1), settlement });
    let mut refused = |settlement, pointer: &str, code: &str| {
        let refusal = shop.refused(Actor::Node, settle(settlement));
        let expected = Refusal::InvalidField { pointer: pointer.into(), code: code.into() };
        assert_eq!(refusal, expected);
    };
    let capture = |provider_ref, amount| Settlement::Captured { provider_ref, amount };
    for (code, text) in bad_texts(200) {
        refused(capture(text, PRICE), "/provider_ref", code);
    }
    for (code, text) in bad_texts(64) {
        refused(Settlement::Declined { code: text }, "/code", code);
    }
    refused(capture("cap".into(), 0), "/amount", "out_of_range");
    refused(capture("cap".into(), -1), "/amount", "out_of_range");
    // Too little, but somebody's money: it is taken note of, and goes back.
    let order = order_in(shop.done(Actor::Node, settle(capture(longest(200), 1))));
    assert_eq!(order.payment.captures.len(), 1);
}

#[test]
fn a_line_takes_up_to_its_most() {
    let mut shop = Shop::empty();
    shop.done(STAFF, Action::ProductCreate(product_of(PRODUCT, 1_000)));
    assert_eq!(shop.code(customer(1), order_of(1, &[(P, LINE_QUANTITY_MAX)])), "done");
    let more = order_of(2, &[(P, LINE_QUANTITY_MAX + 1)]);
    assert_eq!(shop.code(customer(2), more), "invalid_field");
}

/// A field of the settings, in its unit, with its least and its most.
type Limits = (&'static str, fn(&mut Settings, i64), i64, i64);

#[test]
fn settings_are_bounded() {
    const HOUR: i64 = 60 * MINUTE;
    let limits: [Limits; 10] = [
        ("pay_within_seconds", |s, ms| s.pay_within_ms = ms, MINUTE, DAY),
        ("confirm_grace_seconds", |s, ms| s.confirm_grace_ms = ms, 0, 10 * MINUTE),
        ("pay_attempts", |s, n| s.pay_attempts = u32::try_from(n).unwrap(), 1, 10),
        ("max_pending_orders", |s, n| s.max_pending_orders = u32::try_from(n).unwrap(), 1, 100),
        ("ship_after_seconds", |s, ms| s.ship_after_ms = Some(ms), MINUTE, 30 * DAY),
        ("deliver_after_seconds", |s, ms| s.deliver_after_ms = Some(ms), MINUTE, 30 * DAY),
        ("return_window_seconds", |s, ms| s.return_window_ms = ms, MINUTE, 90 * DAY),
        ("return_after_seconds", |s, ms| s.return_after_ms = ms, MINUTE, 30 * DAY),
        ("receipt_retention_seconds", |s, ms| s.receipt_retention_ms = ms, HOUR, 7 * DAY),
        ("event_retention_seconds", |s, ms| s.event_retention_ms = ms, HOUR, 90 * DAY),
    ];
    for (name, set, least, most) in limits {
        let with = |value| {
            let mut settings = Settings::default();
            set(&mut settings, value);
            settings
        };
        for value in [least, most] {
            assert_eq!(with(value).out_of_range(), None, "{name} may be {value}");
        }
        for value in [least - 1, most + 1] {
            let settings = with(value);
            let unit = if name.ends_with("_seconds") { 1_000 } else { 1 };
            let wrong = OutOfRange { field: name, allowed: least / unit..=most / unit };
            assert_eq!(settings.out_of_range(), Some(wrong), "{name} may not be {value}");
            let update = Action::SettingsUpdate(SettingsUpdate { if_version: 0, settings });
            let refusal = Shop::empty().refused(ADMIN, update);
            let pointer = format!("/{name}");
            assert_eq!(refusal, Refusal::InvalidField { pointer, code: "out_of_range".into() });
        }
    }
}
