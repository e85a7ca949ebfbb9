//! The wishlist: what customers keep for later, and ordering all of it at once.

use firstcome_domain::Role;
use serde_json::{Value, json};

use crate::site::{Ask, Reply, Site};

const LIST: &str = "/v1/me/wishlist";
const ORDERS: &str = "/v1/me/wishlist/orders";

fn item(target: &Value) -> String {
    format!("{LIST}/{}", target["id"].as_str().unwrap())
}

fn put<'s>(site: &'s Site, user: u128, target: &Value, quantity: u32) -> Ask<'s> {
    let ask = site.ask("PUT", &item(target)).token(&site.customer(user));
    ask.json(&json!({ "quantity": quantity }))
}

fn delete<'s>(site: &'s Site, user: u128, path: &str) -> Ask<'s> {
    site.ask("DELETE", path).token(&site.customer(user))
}

fn order<'s>(site: &'s Site, user: u128, key: &str) -> Ask<'s> {
    site.post(ORDERS).token(&site.customer(user)).key(key)
}

async fn list(site: &Site, user: u128) -> Vec<Value> {
    let list = site.get(LIST).token(&site.customer(user)).send().await.is(200);
    assert_eq!((&list["object"], &list["next_cursor"]), (&json!("list"), &json!(null)));
    list["data"].as_array().unwrap().clone()
}

#[track_caller]
fn is_gone(reply: &Reply) {
    assert_eq!((reply.status, reply.body.len()), (204, 0));
    assert!(reply.header("x-revision").is_some());
}

#[tokio::test]
async fn an_item_has_the_documented_shape_and_the_price_of_now() {
    let site = Site::start().await;
    let product = site.product("Cup", 10).await;
    let price = json!({ "amount": 900, "currency": "KRW" });
    let sale = site.sale_of(&product, json!({ "units": 2, "price": price })).await;
    assert_eq!(list(&site, 1).await, [] as [Value; 0], "an empty page is a valid answer");
    let reply = put(&site, 1, &product, 3).send().await;
    let set = reply.is(200);
    assert_eq!(reply.header("etag"), None, "stock moves, and If-Match means nothing here");
    assert_eq!(reply.header("x-revision"), Some(set["revision"].to_string().as_str()));
    put(&site, 1, &sale, 1).send().await.is(200);

    let [of_sale, of_product] = &list(&site, 1).await[..] else { panic!("two items") };
    assert_eq!(of_product, &set, "PUT answers what the list shows");
    assert_eq!(of_product["object"], "wishlist_item");
    assert_eq!(of_product["target_id"], product["id"]);
    assert_eq!(of_product["product_id"], product["id"]);
    assert_eq!((&of_product["name"], &of_product["quantity"]), (&json!("Cup"), &json!(3)));
    assert_eq!(of_product["unit_price"], json!({ "amount": 15000, "currency": "KRW" }));
    assert_eq!(
        (&of_product["state"], &of_product["stock"]["available"]),
        (&json!("available"), &json!(8))
    );
    assert!(of_product.get("sale_id").is_none() && of_product.get("title").is_none());
    assert_eq!((&of_sale["target_id"], &of_sale["sale_id"]), (&sale["id"], &sale["id"]));
    assert_eq!((&of_sale["product_id"], &of_sale["title"]), (&product["id"], &sale["title"]));
    assert_eq!((&of_sale["unit_price"], &of_sale["state"]), (&price, &json!("open")));

    let path = format!("/v1/admin/products/{}", product["id"].as_str().unwrap());
    let dearer = json!({ "price": { "amount": 16000, "currency": "KRW" } });
    let ask = site.ask("PATCH", &path).token(&site.operator()).header("if-match", "\"1\"");
    ask.json(&dearer).send().await.is(200);
    let ask = site.ask("DELETE", &path).token(&site.operator()).header("if-match", "\"2\"");
    is_gone(&ask.send().await);
    let [of_sale, of_product] = &list(&site, 1).await[..] else { panic!("two items") };
    assert_eq!(of_product["unit_price"], dearer["price"]);
    assert_eq!(
        (&of_product["state"], &of_sale["state"]),
        (&json!("discontinued"), &json!("discontinued"))
    );
    put(&site, 1, &sale, 2).send().await.is_problem(409, "product_discontinued");
}

#[tokio::test]
async fn a_quantity_is_set_and_items_are_removed_and_cleared() {
    let site = Site::start().await;
    let (cup, mug) = (site.product("Cup", 1).await, site.product("Mug", 1).await);
    put(&site, 1, &cup, 1).send().await.is(200);
    put(&site, 1, &mug, 1).send().await.is(200);
    let again = put(&site, 1, &cup, 100).send().await;
    assert_eq!((&again.is(200)["quantity"], &again.is(200)["version"]), (&json!(100), &json!(2)));
    let shown = list(&site, 1).await;
    let targets: Vec<_> = shown.iter().map(|item| &item["target_id"]).collect();
    assert_eq!(targets, [&mug["id"], &cup["id"]], "a changed item keeps its place");

    is_gone(&delete(&site, 1, &item(&cup)).send().await);
    delete(&site, 1, &item(&cup)).send().await.is_problem(404, "not_found");
    assert_eq!(list(&site, 1).await.len(), 1);
    for _ in 0..2 {
        is_gone(&delete(&site, 1, LIST).send().await);
        assert_eq!(list(&site, 1).await, [] as [Value; 0]);
    }
}

#[tokio::test]
async fn the_list_is_paged_in_both_directions() {
    let site = Site::start().await;
    let mut all = Vec::new();
    for name in ["a", "b", "c"] {
        let product = site.product(name, 1).await;
        put(&site, 1, &product, 1).send().await.is(200);
        all.push(product["id"].clone());
    }
    for order in ["asc", "desc"] {
        let mut found = Vec::new();
        let mut path = format!("{LIST}?limit=2&order={order}");
        loop {
            let page = site.get(&path).token(&site.customer(1)).send().await.is(200);
            let data = page["data"].as_array().unwrap();
            found.extend(data.iter().map(|item| item["target_id"].clone()));
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("{LIST}?limit=2&order={order}&cursor={cursor}");
            let other = site.get(&path).token(&site.customer(2)).send().await;
            other.is_problem(400, "cursor_invalid");
        }
        assert_eq!(found, all, "{order}");
        all.reverse();
    }
    let ask = site.get("/v1/me/wishlist?status=open").token(&site.customer(1));
    ask.send().await.is_problem(400, "unknown_parameter");
}

#[tokio::test]
async fn bad_input_is_refused_with_its_pointer() {
    let site = Site::start().await;
    let cup = site.product("Cup", 1).await;
    let token = site.customer(1);
    for (body, pointer) in [
        (json!({ "quantity": 0 }), "/quantity"),
        (json!({ "quantity": 101 }), "/quantity"),
        (json!({ "quantity": -1 }), "/quantity"),
        (json!({ "quantity": 4_294_967_297_u64 }), "/quantity"),
        (json!({ "quantity": 1.5 }), "/quantity"),
        (json!({ "quantity": "1" }), "/quantity"),
        (json!({ "quantity": null }), "/quantity"),
        (json!({}), "/quantity"),
        (json!({ "quantity": 1, "price": 1 }), "/price"),
    ] {
        let ask = site.ask("PUT", &item(&cup)).token(&token).json(&body);
        let json = ask.send().await.is_problem(422, "validation_failed");
        assert_eq!(json["errors"][0]["pointer"], pointer, "{body}: {json}");
    }
    site.ask("PUT", &item(&cup))
        .token(&token)
        .send()
        .await
        .is_problem(415, "unsupported_media_type");
    let text = site.ask("PUT", &item(&cup)).token(&token).raw("application/json", b"{".to_vec());
    text.send().await.is_problem(400, "malformed_json");
    for id in ["sal_00000000000000000000000001", "prd_00000000000000000000000001"] {
        let path = format!("{LIST}/{id}");
        let ask = site.ask("PUT", &path).token(&token).json(&json!({ "quantity": 1 }));
        let json = ask.send().await.is_problem(404, "not_found");
        assert_eq!(json["early"], true, "invented ids do not get into the log");
        delete(&site, 1, &path).send().await.is_problem(404, "not_found");
    }
    let others = ["orders", "ord_00000000000000000000000001", "x", "%ff", "prd_", "*"];
    for id in others {
        let path = format!("{LIST}/{id}");
        let ask = site.ask("PUT", &path).token(&token).json(&json!({ "quantity": 1 }));
        let (status, code) =
            if id == "orders" { (405, "method_not_allowed") } else { (404, "not_found") };
        ask.send().await.is_problem(status, code);
    }
    for body in [
        json!({ "address": {} }),
        json!({ "lines": [] }),
        json!({ "expected_total": { "amount": 1, "currency": "won" } }),
        json!({ "address_id": 1 }),
        json!([]),
    ] {
        let reply = order(&site, 1, "bad").json(&body).send().await;
        reply.is_problem(422, "validation_failed");
    }
    assert_eq!(list(&site, 1).await, [] as [Value; 0]);
}

#[tokio::test]
async fn every_route_needs_a_token_and_shows_only_the_callers_list() {
    let site = Site::start().await;
    let cup = site.product("Cup", 5).await;
    put(&site, 1, &cup, 2).send().await.is(200);
    for (method, path) in [
        ("GET", LIST),
        ("PUT", &item(&cup)),
        ("DELETE", &item(&cup)),
        ("DELETE", LIST),
        ("POST", ORDERS),
    ] {
        site.ask(method, path).send().await.is_problem(401, "token_missing");
        site.ask(method, path).token("x").send().await.is_problem(401, "token_invalid");
    }
    // Staff have a list of their own, like anybody.
    for stranger in [site.customer(2), site.token(3, Role::Support), site.operator(), site.admin()]
    {
        let theirs = site.get(LIST).token(&stranger).send().await.is(200);
        assert_eq!(theirs["data"], json!([]));
        let ask = site.ask("DELETE", &item(&cup)).token(&stranger);
        ask.send().await.is_problem(404, "not_found");
        is_gone(&site.ask("DELETE", LIST).token(&stranger).send().await);
        let ask = site.post(ORDERS).token(&stranger).key("k").json(&json!({}));
        ask.send().await.is_problem(409, "wishlist_empty");
        let ask = site.ask("PUT", &item(&cup)).token(&stranger).json(&json!({ "quantity": 1 }));
        ask.send().await.is(200);
    }
    assert_eq!(list(&site, 1).await[0]["quantity"], 2);
}

#[tokio::test]
async fn disclosure_holds_on_the_wishlist_too() {
    let site = Site::start().await;
    let product = site.product("Cup", 10).await;
    let sale = site.sale_of(&product, json!({ "units": 2, "disclosure": "hidden" })).await;
    put(&site, 1, &sale, 1).send().await.is(200);
    let shown = &list(&site, 1).await[0];
    assert_eq!(shown["stock"]["state"], "open");
    assert!(shown["stock"].get("available").is_none(), "{shown}");
}

#[tokio::test]
async fn the_whole_list_is_ordered_once() {
    let site = Site::start().await;
    let cup = site.product("Cup", 5).await;
    let sale = site.sale(2, 2).await;
    put(&site, 1, &cup, 3).send().await.is(200);
    put(&site, 1, &sale, 2).send().await.is(200);
    site.post(ORDERS)
        .token(&site.customer(1))
        .send()
        .await
        .is_problem(400, "idempotency_key_required");
    let first = order(&site, 1, "k").send().await;
    let placed = first.is(201);
    let id = placed["id"].as_str().unwrap();
    assert_eq!(first.header("location"), Some(format!("/v1/orders/{id}").as_str()));
    assert_eq!(
        (&placed["source"], &placed["status"]),
        (&json!("wishlist"), &json!("payment_pending"))
    );
    assert_eq!(placed["total"], json!({ "amount": 75000, "currency": "KRW" }));
    assert_eq!(placed["revision"], placed["ticket"]);
    let lines = placed["lines"].as_array().unwrap();
    assert_eq!((&lines[0]["product_id"], &lines[1]["sale_id"]), (&cup["id"], &sale["id"]));
    assert_eq!(list(&site, 1).await, [] as [Value; 0]);

    // The repeat neither sees that the list is empty, nor that something else is on it.
    let again = order(&site, 1, "k").send().await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    put(&site, 1, &cup, 1).send().await.is(200);
    assert_eq!(order(&site, 1, "k").send().await.body, first.body);
    let body = json!({ "expected_total": { "amount": 1, "currency": "KRW" } });
    let reused = order(&site, 1, "k").json(&body).send().await;
    reused.is_problem(422, "idempotency_key_reused");
    assert_eq!(list(&site, 1).await.len(), 1);
    let orders = site.get("/v1/orders").token(&site.customer(1)).send().await.is(200);
    assert_eq!(orders["data"].as_array().unwrap().len(), 1);
    // A key counts per route.
    site.order(1, "k", &sale, 1).send().await.is_problem(409, "already_holding");
}

#[tokio::test]
async fn the_list_is_ordered_whole_or_not_at_all() {
    let site = Site::start().await;
    order(&site, 1, "empty").send().await.is_problem(409, "wishlist_empty");
    let nowhere = |key| {
        let ask = site.post(ORDERS).token(&site.customer(1)).key(key);
        ask.json(&json!({ "address_id": "nowhere" })).send()
    };
    nowhere("empty_nowhere").await.is_problem(409, "wishlist_empty");
    let cup = site.product("Cup", 5).await;
    let sale = site.sale(1, 1).await;
    site.order(2, "k", &sale, 1).send().await.is(201);
    put(&site, 1, &cup, 3).send().await.is(200);
    put(&site, 1, &sale, 1).send().await.is(200);
    nowhere("nowhere").await.is_problem(404, "not_found");
    let first = order(&site, 1, "k").send().await;
    let json = first.is_problem(409, "sold_out");
    assert_eq!(json["sale_id"], sale["id"]);
    assert!(json["ticket"].is_u64(), "it is always decided by the log: {json}");
    assert_eq!(list(&site, 1).await.len(), 2);
    let path = format!("/v1/products/{}/stock", cup["id"].as_str().unwrap());
    assert_eq!(site.get(&path).send().await.is(200)["available"], 5);
    is_gone(&delete(&site, 1, &item(&sale)).send().await);
    let again = order(&site, 1, "k").send().await;
    assert_eq!(again.body, first.body, "what was decided under a key stays decided");
    let body = json!({ "expected_total": { "amount": 1, "currency": "KRW" } });
    let json = order(&site, 1, "l").json(&body).send().await.is_problem(409, "price_changed");
    let body = json!({ "expected_total": json["total"] });
    order(&site, 1, "m").json(&body).send().await.is(201);
}

#[tokio::test]
async fn an_order_of_the_list_goes_to_its_address() {
    let site = Site::start().await;
    let price = json!({ "amount": 100, "currency": "KRW" });
    let body = json!({ "name": "Cup", "price": price, "stock": 3 });
    let ask = site.post("/v1/admin/products").token(&site.operator()).json(&body);
    let cup = ask.send().await.is(201);
    put(&site, 1, &cup, 1).send().await.is(200);
    let json = order(&site, 1, "none").send().await.is_problem(422, "validation_failed");
    assert_eq!(json["errors"][0]["pointer"], "/address", "{json}");
    let saved = json!({ "address_id": "adr_00000000000000000000000001" });
    order(&site, 1, "saved").json(&saved).send().await.is_problem(404, "not_found");
    let address = json!({
        "recipient": "Hong Gildong", "phone": "010-1234-5678", "country": "KR",
        "line1": "Sejong-daero 110",
    });
    let both = json!({ "address": address, "address_id": "adr_00000000000000000000000001" });
    let json =
        order(&site, 1, "both").json(&both).send().await.is_problem(422, "validation_failed");
    assert_eq!(json["errors"][0]["pointer"], "/address_id", "{json}");
    let placed = order(&site, 1, "k").json(&json!({ "address": address })).send().await.is(201);
    let path = format!("/v1/orders/{}", placed["id"].as_str().unwrap());
    let shown = site.get(&path).token(&site.customer(1)).send().await.is(200);
    assert_eq!(shown["address"], address);
}

#[tokio::test]
async fn a_list_is_bounded_and_so_is_its_order() {
    let site = Site::start().await;
    for at in 0..101 {
        let product = site.product(&format!("p{at}"), 1).await;
        let reply = put(&site, 1, &product, 1).send().await;
        if at == 100 {
            reply.is_problem(409, "wishlist_full");
        } else {
            reply.is(200);
        }
        if at == 20 {
            let json = order(&site, 1, "k").send().await.is_problem(422, "validation_failed");
            assert_eq!(json["errors"][0]["pointer"], "/wishlist", "{json}");
            assert_eq!(json["errors"][0]["code"], "too_long");
        }
    }
    let path = format!("{LIST}?limit=100");
    let page = site.get(&path).token(&site.customer(1)).send().await.is(200);
    assert_eq!(page["data"].as_array().unwrap().len(), 100);
    assert_eq!(page["next_cursor"], json!(null));
}
