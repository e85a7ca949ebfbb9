//! Buying: what customers see of sales, orders and sold-out stock.

use serde_json::{Value, json};

use crate::site::Site;

#[tokio::test]
async fn a_purchase_has_the_documented_shape() {
    let site = Site::start().await;
    let sale = site.sale(5, 2).await;
    let reply = site.order(1, "k", &sale, 2).send().await;
    let order = reply.is(201);
    let id = order["id"].as_str().unwrap();
    assert_eq!(reply.header("location"), Some(format!("/v1/orders/{id}").as_str()));
    assert_eq!(order["object"], "order");
    assert_eq!(order["status"], "payment_pending");
    assert!(order["customer_id"].as_str().unwrap().starts_with("usr_"));
    let line = &order["lines"][0];
    assert_eq!((&line["sale_id"], &line["product_id"]), (&sale["id"], &sale["product_id"]));
    assert_eq!((&line["name"], &line["quantity"]), (&json!("T-shirt"), &json!(2)));
    assert_eq!(line["unit_price"], json!({ "amount": 15000, "currency": "KRW" }));
    assert_eq!(order["total"], json!({ "amount": 30000, "currency": "KRW" }));
    assert_eq!(order["revision"], order["ticket"]);
    assert_eq!(reply.header("x-revision"), Some(order["ticket"].to_string().as_str()));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert!(order["payment"]["id"].as_str().unwrap().starts_with("pay_"));
    for instant in ["pay_by", "placed_at", "entered_at"] {
        let text = order[instant].as_str().unwrap();
        assert!(text.len() == 24 && text.ends_with('Z'), "{text}");
    }
}

#[tokio::test]
async fn same_key_same_outcome() {
    let site = Site::start().await;
    let sale = site.sale(1, 1).await;
    let first = site.order(1, "k", &sale, 1).send().await;
    let again = site.order(1, "k", &sale, 1).send().await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.body, again.body);
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!(first.header("x-revision"), again.header("x-revision"));
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let stock = site.get(&path(&sale, "/v1/sales", "/stock")).send().await.is(200);
    assert_eq!((&stock["held"], &stock["available"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn a_refusal_is_replayed_byte_for_byte() {
    let site = Site::start().await;
    let sale = site.sale(5, 1).await;
    site.order(1, "won", &sale, 1).send().await.is(201);
    let first = site.order(1, "k", &sale, 1).send().await;
    let again = site.order(1, "k", &sale, 1).send().await;
    first.is_problem(409, "already_holding");
    again.is_problem(409, "already_holding");
    assert_eq!(first.body, again.body);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
}

#[tokio::test]
async fn lost_race_is_sold_out() {
    let site = Site::start().await;
    let sale = site.sale(3, 1).await;
    let asks = (0..12_u128).map(|user| site.order(100 + user, "k", &sale, 1).send());
    let replies = futures_util::future::join_all(asks).await;
    let won = replies.iter().filter(|reply| reply.status == 201).count();
    assert_eq!(won, 3);
    for reply in replies.iter().filter(|reply| reply.status != 201) {
        let json = reply.is_problem(409, "sold_out");
        assert_eq!(json["sale_id"], sale["id"]);
        let early = json["early"] == json!(true);
        assert_eq!(json["ticket"].is_u64(), !early, "{json}");
        assert_eq!(json["revision"].is_u64(), early, "{json}");
    }
}

#[tokio::test]
async fn ref39_refusal_is_never_success_or_crash() {
    let site = Site::start().await;
    let sale = site.sale(2, 1).await;
    let order = site.order(1, "a", &sale, 1).send().await.is(201);
    let json = site.order(1, "b", &sale, 1).send().await.is_problem(409, "already_holding");
    assert_eq!((&json["order_id"], &json["pay_by"]), (&order["id"], &order["pay_by"]));
    settle(&site, &order).await;
    let json = site.order(1, "c", &sale, 1).send().await.is_problem(409, "limit_reached");
    assert_eq!((&json["limit"], &json["used"]), (&json!(1), &json!(1)));
    let ask = site.post(&path(&order, "/v1/orders", "/returns")).token(&site.customer(1)).key("d");
    let json = ask.send().await.is_problem(409, "not_returnable");
    assert_eq!(json["order_status"], "paid");
    assert!(json["detail"].as_str().unwrap().contains("paid"), "{json}");
}

#[tokio::test]
async fn sold_out_names_the_sale() {
    let site = Site::start().await;
    let product = site.product("Cup", 10).await;
    let sale = site.sale_of(&product, json!({ "units": 1, "waitlist": true })).await;
    site.order(1, "a", &sale, 1).send().await.is(201);
    let reply = site.order(2, "b", &sale, 1).send().await;
    let json = reply.is_problem(409, "sold_out");
    assert_eq!(json["sale_id"], sale["id"]);
    assert_eq!(json.get("waitlist_url"), Some(&json!(null)), "there are no waitlists yet");
}

#[tokio::test]
async fn a_settlement_needs_a_key() {
    let site = Site::start().await;
    let sale = site.sale(2, 1).await;
    let order = site.order(1, "a", &sale, 1).send().await.is(201);
    let pay = path(&order, "/v1/admin/orders", "/settlements");
    let blind = site.post(&pay).token(&site.operator()).send().await;
    blind.is_problem(400, "idempotency_key_required");
    let first = site.post(&pay).token(&site.operator()).key("s").send().await;
    let again = site.post(&pay).token(&site.operator()).key("s").send().await;
    assert_eq!(first.is(201)["status"], "paid");
    assert_eq!((first.status, &first.body), (201, &again.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
}

#[tokio::test]
async fn ref40_failure_never_looks_sold_out() {
    let site = Site::start().await;
    let missing = json!({ "id": "sal_00000000000000000000000001" });
    let json = site.order(1, "k", &missing, 1).send().await.is_problem(404, "not_found");
    assert_eq!(json["early"], true, "invented ids do not get into the log");
    for path in ["/v1/sales", "/v1/products"] {
        let id = if path == "/v1/sales" { "sal_" } else { "prd_" };
        let path = format!("{path}/{id}00000000000000000000000001/stock");
        site.get(&path).send().await.is_problem(404, "not_found");
    }
    let ask = site.order(1, "k", &missing, 1).header("min-revision", "999999999");
    ask.send().await.is_problem(503, "revision_not_reached");
}

#[tokio::test]
async fn reads_show_window_and_phase() {
    let site = Site::start().await;
    let product = site.product("T-shirt", 10).await;
    let (opens_at, closes_at) = (site.instant(3_600_000), site.instant(7_200_000));
    let more = json!({ "opens_at": opens_at, "closes_at": closes_at, "units": 4 });
    let sale = site.sale_of(&product, more).await;
    let shown = site.get(&path(&sale, "/v1/sales", "")).send().await.is(200);
    assert_eq!((&shown["opens_at"], &shown["closes_at"]), (&json!(opens_at), &json!(closes_at)));
    assert_eq!(shown["state"], "scheduled");
    assert_eq!(shown["stock"]["available"], 4);
    let detail = site.get(&path(&product, "/v1/products", "")).send().await.is(200);
    assert_eq!(detail["sales"][0]["id"], sale["id"]);
    assert_eq!(detail["sales"][0]["opens_at"], json!(opens_at));
    assert_eq!(detail["stock"]["available"], 6);
}

#[tokio::test]
async fn an_unpaid_order_can_be_canceled_once() {
    let site = Site::start().await;
    let sale = site.sale(1, 1).await;
    let order = site.order(1, "k", &sale, 1).send().await.is(201);
    let cancel = path(&order, "/v1/orders", "/cancellations");
    let reply = site.post(&cancel).token(&site.customer(1)).key("c").send().await;
    assert_eq!(reply.is(201)["status"], "canceled");
    assert_eq!(reply.header("location"), Some(path(&order, "/v1/orders", "").as_str()));
    let reply = site.post(&cancel).token(&site.customer(1)).key("c2").send().await;
    assert_eq!(reply.is_problem(409, "not_cancelable")["order_status"], "canceled");
    let stock = site.get(&path(&sale, "/v1/sales", "/stock")).send().await.is(200);
    assert_eq!(stock["available"], 1);
}

#[tokio::test]
async fn another_total_than_the_expected_one_is_refused() {
    let site = Site::start().await;
    let sale = site.sale(1, 1).await;
    let lines = json!([{ "sale_id": sale["id"], "quantity": 1 }]);
    let total = json!({ "amount": 15000, "currency": "KRW" });
    let dollars = json!({ "amount": 15000, "currency": "USD" });
    for (key, expected) in [("k", json!({ "amount": 14000, "currency": "KRW" })), ("l", dollars)] {
        let body = json!({ "lines": lines, "expected_total": expected });
        let ask = site.post("/v1/orders").token(&site.customer(1)).key(key).json(&body);
        assert_eq!(ask.send().await.is_problem(409, "price_changed")["total"], total);
    }
    let body = json!({ "lines": lines, "expected_total": total });
    let ask = site.post("/v1/orders").token(&site.customer(1)).key("m").json(&body);
    assert_eq!(ask.send().await.is(201)["total"], total);
}

#[tokio::test]
async fn only_the_owner_sees_the_address() {
    let site = Site::start().await;
    let price = json!({ "amount": 100, "currency": "KRW" });
    let body = json!({ "name": "Cup", "price": price, "stock": 3 });
    let ask = site.post("/v1/admin/products").token(&site.operator()).json(&body);
    let product = ask.send().await.is(201);
    let lines = json!([{ "product_id": product["id"], "quantity": 1 }]);
    let address = json!({
        "recipient": "Hong Gildong", "phone": "010-1234-5678", "country": "KR",
        "line1": "Sejong-daero 110",
    });
    let ask = site.post("/v1/orders").token(&site.customer(1)).key("none");
    let reply = ask.json(&json!({ "lines": lines })).send().await;
    let json = reply.is_problem(422, "validation_failed");
    assert_eq!(json["errors"][0]["pointer"], "/address", "{json}");
    let body = json!({ "lines": lines, "address": address });
    let ask = site.post("/v1/orders").token(&site.customer(1)).key("k").json(&body);
    let order = ask.send().await.is(201);
    assert!(order.get("address").is_none());
    let own = site.get(&path(&order, "/v1/orders", "")).token(&site.customer(1)).send().await;
    assert_eq!(own.is(200)["address"], address);
    for path in [path(&order, "/v1/admin/orders", ""), "/v1/admin/orders".to_owned()] {
        let staff = site.get(&path).token(&site.admin()).send().await;
        assert_eq!(staff.status, 200);
        assert!(!String::from_utf8_lossy(&staff.body).contains("1234-5678"));
    }
}

#[tokio::test]
async fn disclosure_hides_stock_from_customers_only() {
    let site = Site::start().await;
    let product = site.product("T-shirt", 40).await;
    let sale = site.sale_of(&product, json!({ "units": 20, "disclosure": "bucketed" })).await;
    let path = path(&sale, "/v1/sales", "/stock");
    let public = site.get(&path).send().await.is(200);
    assert_eq!(public["level"], "plenty");
    assert!(public.get("available").is_none());
    let staff = site.get(&path).token(&site.operator()).send().await.is(200);
    assert_eq!(staff["available"], 20);
}

pub(crate) fn path(object: &Value, list: &str, rest: &str) -> String {
    format!("{list}/{}{rest}", object["id"].as_str().unwrap())
}

pub(crate) async fn settle(site: &Site, order: &Value) -> Value {
    let path = path(order, "/v1/admin/orders", "/settlements");
    let ask = site.post(&path).token(&site.operator()).key("settle");
    ask.json(&json!({ "reference": "bank transfer 7" })).send().await.is(201)
}
