//! Staff: products, sales, stock, all orders, ledger, events, settings.

use serde_json::json;

use crate::buying::{path, settle};
use crate::site::Site;

#[tokio::test]
async fn staff_edits_name_the_version_they_saw() {
    let site = Site::start().await;
    let product = site.product("Cup", 1).await;
    let at = path(&product, "/v1/admin/products", "");
    let blind = site.ask("PATCH", &at).token(&site.operator()).json(&json!({ "name": "Mug" }));
    blind.send().await.is_problem(428, "precondition_required");
    let ask = |tag: &str| {
        let ask = site.ask("PATCH", &at).token(&site.operator()).header("if-match", tag);
        ask.json(&json!({ "name": "Mug" }))
    };
    let json = ask("\"7\"").send().await.is_problem(412, "version_mismatch");
    assert_eq!(json["current_version"], 1);
    ask("\"other\"").send().await.is_problem(412, "version_mismatch");
    ask("*").send().await.is_problem(422, "validation_failed");
    let reply = ask("\"1\"").send().await;
    assert_eq!(reply.is(200)["name"], "Mug");
    assert_eq!(reply.header("etag"), Some("\"2\""));
    let shown = site.get(&path(&product, "/v1/products", "")).send().await;
    assert_eq!(shown.header("etag"), Some("\"2\""));
    let json = ask("W/\"1\"").send().await.is_problem(412, "version_mismatch");
    assert_eq!(json["current_version"], 2);
    ask("W/\"2\"").send().await.is(200);
}

#[tokio::test]
async fn delete_discontinues_and_hides_from_lists() {
    let site = Site::start().await;
    let product = site.product("Cup", 1).await;
    let at = path(&product, "/v1/admin/products", "");
    let gone = site.ask("DELETE", &at).token(&site.operator()).header("if-match", "\"1\"");
    let gone = gone.send().await;
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    assert!(gone.header("x-revision").is_some());
    assert_eq!(site.get("/v1/products").send().await.is(200)["data"], json!([]));
    let list = || site.get("/v1/products?status=discontinued");
    list().send().await.is_problem(401, "token_missing");
    list().token(&site.customer(1)).send().await.is_problem(403, "permission_denied");
    let asked = list().token(&site.operator()).send().await.is(200);
    assert_eq!(asked["data"][0]["id"], product["id"]);
    let lines = json!([{ "product_id": product["id"], "quantity": 1 }]);
    let ask = site.post("/v1/orders").token(&site.customer(1)).key("k");
    let reply = ask.json(&json!({ "lines": lines })).send().await;
    reply.is_problem(409, "product_discontinued");
    let back = site.ask("PATCH", &at).token(&site.operator()).header("if-match", "\"2\"");
    let back = back.json(&json!({ "status": "available" })).send().await.is(200);
    assert_eq!(back["status"], "available");
}

#[tokio::test]
async fn units_are_never_taken_below_held_and_sold() {
    let site = Site::start().await;
    let sale = site.sale(3, 3).await;
    site.order(1, "k", &sale, 2).send().await.is(201);
    let at = path(&sale, "/v1/admin/sales", "/stock-adjustments");
    let adjust = |delta: i64, key: &str| {
        let ask = site.post(&at).token(&site.operator()).key(key);
        ask.json(&json!({ "delta": delta, "reason": "count" }))
    };
    let json = adjust(-2, "a").send().await.is_problem(409, "not_enough_units");
    assert_eq!(json["available"], 1);
    let stock = adjust(-1, "b").send().await.is(201);
    assert_eq!((&stock["available"], &stock["held"]), (&json!(0), &json!(2)));
    assert_eq!(adjust(5, "c").send().await.is(201)["available"], 5);
    adjust(0, "d").send().await.is_problem(422, "validation_failed");
    let ask = site.post(&at).token(&site.operator()).json(&json!({ "delta": 1, "reason": "x" }));
    ask.send().await.is_problem(400, "idempotency_key_required");
}

#[tokio::test]
async fn allotments_move_units_between_sale_and_product() {
    let site = Site::start().await;
    let product = site.product("Cup", 10).await;
    let sale = site.sale_of(&product, json!({ "units": 4 })).await;
    let at = path(&sale, "/v1/admin/sales", "/allotments");
    let allot = |body, key: &str| site.post(&at).token(&site.operator()).key(key).json(&body);
    let up = allot(json!({ "delta": 3 }), "a").send().await.is(201);
    assert_eq!(up["stock"]["available"], 7);
    let down = allot(json!({ "delta": -5, "reason": "too many" }), "b").send().await.is(201);
    assert_eq!(down["stock"]["available"], 2);
    let new = allot(json!({ "delta": 8, "from": "new" }), "c").send().await.is(201);
    assert_eq!(new["stock"]["available"], 10);
    let stock = site.get(&path(&product, "/v1/products", "/stock")).send().await.is(200);
    assert_eq!(stock["available"], 8);
}

#[tokio::test]
async fn a_sale_pauses_goes_on_and_closes() {
    let site = Site::start().await;
    let sale = site.sale(2, 1).await;
    let step = |name: &str| {
        site.post(&path(&sale, "/v1/admin/sales", name)).token(&site.operator()).send()
    };
    assert_eq!(step("/pauses").await.is(201)["state"], "paused");
    site.order(1, "a", &sale, 1).send().await.is_problem(409, "sale_paused");
    assert_eq!(step("/resumptions").await.is(201)["state"], "open");
    site.order(1, "b", &sale, 1).send().await.is(201);
    assert_eq!(step("/closures").await.is(201)["state"], "closed");
    site.order(2, "c", &sale, 1).send().await.is_problem(409, "sale_closed");
    step("/pauses").await.is_problem(409, "sale_closed");
}

#[tokio::test]
async fn an_order_walks_to_its_return() {
    let site = Site::start().await;
    let sale = site.sale(1, 1).await;
    let order = site.order(1, "k", &sale, 1).send().await.is(201);
    assert_eq!(settle(&site, &order).await["payment"]["status"], "paid");
    let staff = |step: &str, body| {
        let ask = site.post(&path(&order, "/v1/admin/orders", step)).token(&site.operator());
        ask.key(step).json(&body).send()
    };
    let shipped = staff("/shipments", json!({ "tracking_no": "KR123" })).await.is(201);
    assert_eq!(
        (&shipped["status"], &shipped["tracking_no"]),
        (&json!("shipping"), &json!("KR123"))
    );
    assert_eq!(staff("/deliveries", json!({})).await.is(201)["status"], "delivered");
    let ask = site.post(&path(&order, "/v1/orders", "/returns")).token(&site.customer(1)).key("r");
    assert_eq!(ask.send().await.is(201)["status"], "return_requested");
    let back = staff("/return-receipts", json!({ "restock": true })).await.is(201);
    assert_eq!(back["status"], "returned");
    assert_eq!(back["ticket"], order["ticket"]);
    assert!(back["revision"].as_u64() > order["revision"].as_u64());
    let repeat = site.post(&path(&order, "/v1/admin/orders", "/deliveries"));
    repeat.token(&site.operator()).send().await.is_problem(409, "wrong_status");
}

#[tokio::test]
async fn the_ledger_tells_every_movement() {
    let site = Site::start().await;
    let sale = site.sale(2, 1).await;
    let order = site.order(1, "k", &sale, 1).send().await.is(201);
    let pool = sale["id"].as_str().unwrap();
    let ask = site.get(&format!("/v1/admin/stock-ledger?pool={pool}")).token(&site.operator());
    let rows = ask.send().await.is(200);
    let reasons: Vec<_> = rows["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["reason"].as_str().unwrap())
        .collect();
    assert_eq!(reasons, ["allot", "hold"]);
    assert_eq!(rows["data"][1]["order_id"], order["id"]);
    let bad = site.get("/v1/admin/stock-ledger?pool=x").token(&site.operator());
    bad.send().await.is_problem(422, "validation_failed");
}

#[tokio::test]
async fn events_are_read_on_without_gaps_or_repeats() {
    let site = Site::start().await;
    let sale = site.sale(5, 1).await;
    for user in 1..=3 {
        site.order(user, "k", &sale, 1).send().await.is(201);
    }
    let read = |query: String| {
        site.get(&format!("/v1/admin/events?{query}")).token(&site.operator()).send()
    };
    let all = read("limit=100".to_owned()).await.is(200);
    let all = all["data"].as_array().unwrap().clone();
    assert!(all.len() >= 8, "{}", all.len());
    let mut followed = Vec::new();
    let mut after = String::from("0");
    loop {
        let page = read(format!("limit=2&after={after}")).await.is(200);
        let Some(last) = page["data"].as_array().unwrap().last().cloned() else { break };
        followed.extend(page["data"].as_array().unwrap().iter().cloned());
        after = format!("{}:{}", last["revision"], last["offset"]);
    }
    assert_eq!(followed, all);
    let mut paged = Vec::new();
    let mut query = String::from("limit=3");
    loop {
        let page = read(query).await.is(200);
        paged.extend(page["data"].as_array().unwrap().iter().cloned());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        query = format!("limit=3&cursor={cursor}");
    }
    assert_eq!(paged, all);
    // A cursor goes with its own filters.
    let filter = format!("limit=1&after={}:{}", all[0]["revision"], all[0]["offset"]);
    let page = read(filter.clone()).await.is(200);
    assert_eq!(page["data"][0], all[1]);
    let cursor = page["next_cursor"].as_str().unwrap();
    let page = read(format!("{filter}&cursor={cursor}")).await.is(200);
    assert_eq!(page["data"][0], all[2]);
    for other in ["limit=1", "limit=1&after=0"] {
        let reply = read(format!("{other}&cursor={cursor}")).await;
        reply.is_problem(400, "cursor_invalid");
    }
    assert!(all.iter().any(|event| event["type"] == "order.created"));
    read("after=x".to_owned()).await.is_problem(422, "validation_failed");
}

#[tokio::test]
async fn events_show_money_with_its_currency_and_name_what_they_are_about() {
    let site = Site::start().await;
    let sale = site.sale(1, 1).await;
    let order = site.order(1, "k", &sale, 1).send().await.is(201);
    let pay = format!("/v1/admin/orders/{}/settlements", order["id"].as_str().unwrap());
    site.post(&pay).token(&site.operator()).key("pay").send().await.is(201);
    let ask = site.get("/v1/admin/events?limit=100").token(&site.operator());
    let all = ask.send().await.is(200);
    let data = |name: &str| {
        let events = all["data"].as_array().unwrap();
        let found = events.iter().find(|event| event["type"] == name);
        found.unwrap_or_else(|| panic!("no {name}"))["data"].clone()
    };
    let created = data("order.created");
    assert_eq!((&created["total"], &created["ticket"]), (&order["total"], &order["ticket"]));
    assert_eq!(created["lines"][0]["unit_price"], order["lines"][0]["unit_price"]);
    assert_eq!(data("payment.paid")["amount"], order["total"]);
    assert_eq!(data("order.paid")["payment_id"], order["payment"]["id"]);
    assert_eq!(data("product.created")["status"], "available");
}

#[tokio::test]
async fn settings_change_as_a_whole_version() {
    let site = Site::start().await;
    let admin = site.admin();
    let first = site.get("/v1/admin/settings").token(&admin).send().await;
    assert_eq!(first.is(200)["pay_within_seconds"], 900);
    let tag = first.header("etag").unwrap().to_owned();
    let patch = |tag: &str, body| {
        site.ask("PATCH", "/v1/admin/settings")
            .token(&admin)
            .header("if-match", tag)
            .json(&body)
            .send()
    };
    let changed =
        patch(&tag, json!({ "pay_within_seconds": 60, "ship_after_seconds": null })).await;
    let settings = changed.is(200);
    assert_eq!(settings["pay_within_seconds"], 60);
    assert_eq!(settings["ship_after_seconds"], json!(null));
    assert_eq!(settings["deliver_after_seconds"], 86400);
    patch(&tag, json!({ "pay_attempts": 2 })).await.is_problem(412, "version_mismatch");
    let now = changed.header("etag").unwrap().to_owned();
    let json = patch(&now, json!({ "pay_within_seconds": 1 })).await;
    let json = json.is_problem(422, "validation_failed");
    assert_eq!(json["errors"][0]["pointer"], "/pay_within_seconds");
    assert_eq!(json["errors"][0]["detail"], "must be 60 to 86400");
}

#[tokio::test]
async fn creating_twice_with_one_key_creates_once() {
    let site = Site::start().await;
    let price = json!({ "amount": 100, "currency": "KRW" });
    let body = json!({ "name": "Cup", "price": price, "stock": 3 });
    let create =
        || site.post("/v1/admin/products").token(&site.operator()).key("once").json(&body).send();
    let (first, again) = (create().await, create().await);
    assert_eq!((first.status, &first.body), (201, &again.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let list = site.get("/v1/products").send().await.is(200);
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
}
