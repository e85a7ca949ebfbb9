//! Saved addresses: what customers keep, order to, and nobody else sees.

use firstcome_api::ApiOptions;
use firstcome_domain::Role;
use serde_json::{Value, json};

use crate::site::{Ask, Reply, Site, written};

const LIST: &str = "/v1/me/addresses";

/// Has every field.
fn whole() -> Value {
    json!({
        "label": "\u{c9d1}", "recipient": "Ren\u{e9}e O'Hara", "phone": "+82-10-1234-5678",
        "country": "FR", "postcode": "75001", "region": "\u{ce}le-de-France", "city": "Paris",
        "line1": "1 rue \u{1f3e0}", "line2": "3\u{e8}me \u{e9}tage",
    })
}

/// Has what is required.
fn least(recipient: &str) -> Value {
    json!({ "recipient": recipient, "phone": "01012345678", "line1": "Sejong-daero 110" })
}

fn path(address: &Value) -> String {
    format!("{LIST}/{}", address["id"].as_str().unwrap())
}

fn post<'s>(site: &'s Site, user: u128, body: &Value) -> Ask<'s> {
    site.post(LIST).token(&site.customer(user)).json(body)
}

async fn saved(site: &Site, user: u128, recipient: &str) -> Value {
    post(site, user, &least(recipient)).send().await.is(201)
}

fn patch<'s>(site: &'s Site, user: u128, address: &Value, body: &Value) -> Ask<'s> {
    site.ask("PATCH", &path(address)).token(&site.customer(user)).json(body)
}

fn delete<'s>(site: &'s Site, user: u128, address: &Value) -> Ask<'s> {
    site.ask("DELETE", &path(address)).token(&site.customer(user))
}

async fn list(site: &Site, user: u128) -> Vec<Value> {
    let list = site.get(LIST).token(&site.customer(user)).send().await.is(200);
    assert_eq!((&list["object"], &list["next_cursor"]), (&json!("list"), &json!(null)));
    list["data"].as_array().unwrap().clone()
}

/// The ids of the defaults on a customer's list.
async fn defaults(site: &Site, user: u128) -> Vec<Value> {
    let list = list(site, user).await;
    let defaults = list.iter().filter(|address| address["is_default"] == true);
    defaults.map(|address| address["id"].clone()).collect()
}

/// A product that needs an address.
async fn shipped(site: &Site, stock: u64) -> Value {
    let price = json!({ "amount": 100, "currency": "KRW" });
    let body = json!({ "name": "Canary cup", "price": price, "stock": stock });
    site.post("/v1/admin/products").token(&site.operator()).json(&body).send().await.is(201)
}

fn order<'s>(site: &'s Site, user: u128, key: &str, product: &Value, address: &Value) -> Ask<'s> {
    let lines = json!([{ "product_id": product["id"], "quantity": 1 }]);
    let body = json!({ "lines": lines, "address_id": address["id"] });
    site.post("/v1/orders").token(&site.customer(user)).key(key).json(&body)
}

/// The address that an order shows its owner.
async fn address_of(site: &Site, user: u128, order: &Value) -> Value {
    let path = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    let shown = site.get(&path).token(&site.customer(user)).send().await.is(200);
    shown["address"].clone()
}

#[track_caller]
fn is_gone(reply: &Reply) {
    assert_eq!((reply.status, reply.body.len()), (204, 0));
}

#[track_caller]
fn has(shown: &Value, fields: &Value) {
    for (name, value) in fields.as_object().unwrap() {
        assert_eq!(&shown[name], value, "{name} of {shown}");
    }
}

#[tokio::test]
async fn an_address_has_the_documented_shape() {
    let site = Site::start().await;
    assert_eq!(list(&site, 1).await, [] as [Value; 0], "an empty page is a valid answer");
    let reply = post(&site, 1, &whole()).send().await;
    let address = reply.is(201);
    has(&address, &whole());
    has(&address, &json!({ "object": "address", "is_default": true, "version": 1 }));
    assert!(address["id"].as_str().unwrap().starts_with("adr_"));
    assert_eq!(reply.header("location"), Some(path(&address).as_str()));
    assert_eq!(reply.header("etag"), Some("\"1\""));
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(reply.header("x-revision"), Some(address["revision"].to_string().as_str()));
    let one = site.get(&path(&address)).token(&site.customer(1)).send().await;
    assert_eq!((one.is(200), one.header("etag")), (address.clone(), Some("\"1\"")));
    assert_eq!(list(&site, 1).await, [address]);
}

#[tokio::test]
async fn ref44_line2_is_optional() {
    let site = Site::start().await;
    let address = saved(&site, 1, "Kim").await;
    has(&address, &json!({ "line1": "Sejong-daero 110", "country": "KR" }));
    for absent in ["line2", "label", "postcode", "region", "city"] {
        assert!(address.get(absent).is_none(), "{absent}");
    }
    let null = json!({ "recipient": "Kim", "phone": "01012345678", "line1": "x", "line2": null });
    assert!(post(&site, 1, &null).send().await.is(201).get("line2").is_none());
    let product = shipped(&site, 1).await;
    let placed = order(&site, 1, "k", &product, &address).send().await.is(201);
    let shown = address_of(&site, 1, &placed).await;
    assert_eq!(shown["line1"], "Sejong-daero 110");
    assert!(shown.get("line2").is_none());
}

#[tokio::test]
async fn ref45_fifty_korean_letters_fit() {
    let site = Site::start().await;
    let letters = |count| "\u{d55c}".repeat(count);
    let mut body = least(&letters(50));
    body["label"] = letters(50).into();
    body["line1"] = letters(200).into();
    body["line2"] = letters(200).into();
    has(&post(&site, 1, &body).send().await.is(201), &body);
    body["recipient"] = letters(51).into();
    let json = post(&site, 1, &body).send().await.is_problem(422, "validation_failed");
    assert_eq!(json["errors"][0]["pointer"], "/recipient");
    // Letters that do not fit as they are sent, but as they are stored.
    let mut body = least(&"e\u{301}".repeat(50));
    body["country"] = "DE".into();
    let shown = post(&site, 1, &body).send().await.is(201);
    assert_eq!(shown["recipient"], "\u{e9}".repeat(50));
}

#[tokio::test]
async fn the_default_country_is_that_of_the_deployment() {
    let country = "JP".parse().unwrap();
    let site = Site::start_with(ApiOptions { country, ..ApiOptions::default() }).await;
    let address = saved(&site, 1, "Sato").await;
    assert_eq!(address["country"], "JP");
    let abroad = patch(&site, 1, &address, &json!({ "country": "US" })).send().await.is(200);
    assert_eq!(abroad["country"], "US");
    let renamed = patch(&site, 1, &address, &json!({ "recipient": "Abe" })).send().await.is(200);
    assert_eq!(renamed["country"], "US", "it is filled in once");
    let product = shipped(&site, 1).await;
    let lines = json!([{ "product_id": product["id"], "quantity": 1 }]);
    let body = json!({ "lines": lines, "address": least("Sato") });
    let placed = site.post("/v1/orders").token(&site.customer(1)).key("k").json(&body);
    let shown = address_of(&site, 1, &placed.send().await.is(201)).await;
    assert_eq!(shown["country"], "JP");
}

#[tokio::test]
async fn bad_input_is_refused_with_its_pointer() {
    let site = Site::start().await;
    let address = saved(&site, 1, "Kim").await;
    let long = "x".repeat(201);
    for (name, value) in [
        ("label", json!("")),
        ("label", json!("x".repeat(51))),
        ("recipient", json!(" ")),
        ("recipient", json!("a\u{0}b")),
        ("phone", json!("1234567")),
        ("phone", json!("+82 10 1234 5678")),
        ("phone", json!(1_012_345_678)),
        ("country", json!("kr")),
        ("country", json!("UK")),
        ("postcode", json!("x".repeat(21))),
        ("region", json!("x".repeat(101))),
        ("city", json!("x".repeat(101))),
        ("city", json!(["Seoul"])),
        ("line1", json!(long)),
        ("line2", json!(long)),
        ("id", json!("adr_00000000000000000000000001")),
    ] {
        let mut body = least("Kim");
        body[name] = value.clone();
        let json = post(&site, 1, &body).send().await.is_problem(422, "validation_failed");
        assert_eq!(json["errors"][0]["pointer"], format!("/{name}"), "{body}: {json}");
        let change = json!({ name: value });
        let json = patch(&site, 1, &address, &change).send().await;
        let json = json.is_problem(422, "validation_failed");
        assert_eq!(json["errors"][0]["pointer"], format!("/{name}"), "{change}: {json}");
        assert!(!json.to_string().contains(&long), "what was sent is not repeated");
    }
    for (name, required) in [("recipient", true), ("phone", true), ("line1", true), ("city", false)]
    {
        let mut body = least("Kim");
        body.as_object_mut().unwrap().remove(name);
        let reply = post(&site, 1, &body).send().await;
        if required {
            let json = reply.is_problem(422, "validation_failed");
            assert_eq!(json["errors"][0]["pointer"], format!("/{name}"), "{json}");
        } else {
            reply.is(201);
        }
    }
    for is_default in [json!(1), json!("true")] {
        let json = patch(&site, 1, &address, &json!({ "is_default": is_default })).send().await;
        json.is_problem(422, "validation_failed");
    }
    post(&site, 1, &json!([])).send().await.is_problem(422, "validation_failed");
    let text = site.post(LIST).token(&site.customer(1)).raw("application/json", b"{".to_vec());
    text.send().await.is_problem(400, "malformed_json");
    site.post(LIST).token(&site.customer(1)).send().await.is_problem(415, "unsupported_media_type");
    let unknown = site.get("/v1/me/addresses?q=Kim").token(&site.customer(1)).send().await;
    unknown.is_problem(400, "unknown_parameter");
    for id in ["x", "adr_", "ord_00000000000000000000000001", "adr_00000000000000000000000001"] {
        let path = format!("{LIST}/{id}");
        for method in ["GET", "DELETE", "PATCH"] {
            let ask = site.ask(method, &path).token(&site.customer(1)).json(&json!({}));
            ask.send().await.is_problem(404, "not_found");
        }
    }
    assert_eq!(list(&site, 1).await.len(), 2);
    let kept = site.get(&path(&address)).token(&site.customer(1)).send().await.is(200);
    assert_eq!(kept, address);
}

/// Every field is at most as long as it may be, but sealed they are more than a row may hold.
#[tokio::test]
async fn an_address_has_a_limit_as_a_whole() {
    let site = Site::start().await;
    let letters = |count| "\u{1f3e0}".repeat(count);
    let (mut body, product) = (least(&letters(50)), shipped(&site, 1).await);
    body["line1"] = letters(200).into();
    let address = post(&site, 1, &body).send().await.is(201);
    body["line2"] = letters(200).into();
    body["city"] = letters(100).into();
    let change = json!({ "line2": body["line2"], "city": body["city"] });
    let lines = json!([{ "product_id": product["id"], "quantity": 1 }]);
    let placed = json!({ "lines": lines, "address": body });
    for (ask, pointer) in [
        (post(&site, 1, &body), ""),
        (patch(&site, 1, &address, &change), ""),
        (site.post("/v1/orders").token(&site.customer(1)).key("k").json(&placed), "/address"),
    ] {
        let json = ask.send().await.is_problem(422, "validation_failed");
        assert_eq!(json["errors"][0]["pointer"], pointer, "{json}");
        assert_eq!(json["errors"][0]["code"], "too_long");
    }
}

#[tokio::test]
async fn single_fields_change() {
    let site = Site::start().await;
    let address = post(&site, 1, &whole()).send().await.is(201);
    let reply = patch(&site, 1, &address, &json!({ "line1": "2 rue X", "label": null })).send();
    let reply = reply.await;
    let changed = reply.is(200);
    let mut expected = whole();
    expected["line1"] = "2 rue X".into();
    expected.as_object_mut().unwrap().remove("label");
    has(&changed, &expected);
    assert!(changed.get("label").is_none());
    has(&changed, &json!({ "version": 2, "is_default": true, "id": address["id"] }));
    assert_eq!(reply.header("etag"), Some("\"2\""));
    assert_eq!(changed["created_at"], address["created_at"]);
    let nothing = patch(&site, 1, &address, &json!({})).send().await.is(200);
    has(&nothing, &expected);
    for name in ["region", "postcode", "city", "line2"] {
        let removed = patch(&site, 1, &address, &json!({ name: null })).send().await.is(200);
        assert!(removed.get(name).is_none(), "{removed}");
    }
    for name in ["recipient", "phone", "country", "line1", "is_default"] {
        let kept = patch(&site, 1, &address, &json!({ name: null })).send().await;
        let problem = kept.is_problem(422, "validation_failed");
        let error = &problem["errors"][0];
        assert_eq!(error["pointer"], format!("/{name}"), "{problem}");
        assert_eq!(error["code"], "required", "{problem}");
    }
}

#[tokio::test]
async fn a_change_for_another_version_is_refused() {
    let site = Site::start().await;
    let address = saved(&site, 1, "Kim").await;
    let change = |tag: &str, name: &str| {
        patch(&site, 1, &address, &json!({ "recipient": name })).header("if-match", tag)
    };
    change("\"1\"", "Lee").send().await.is(200);
    let json = change("\"1\"", "Park").send().await.is_problem(412, "version_mismatch");
    assert_eq!(json["current_version"], 2);
    change("*", "Park").send().await.is_problem(422, "validation_failed");
    change("W/\"2\"", "Choi").send().await.is(200);
    let stale = delete(&site, 1, &address).header("if-match", "\"2\"").send().await;
    stale.is_problem(412, "version_mismatch");
    assert_eq!(list(&site, 1).await[0]["recipient"], "Choi");
    is_gone(&delete(&site, 1, &address).header("if-match", "\"3\"").send().await);
}

/// Without If-Match nobody's change is lost, and nobody is refused for somebody else's.
#[tokio::test(flavor = "multi_thread")]
async fn changes_of_different_fields_at_once_all_count() {
    let site = Site::start().await;
    let address = saved(&site, 1, "Kim").await;
    for round in 0..10 {
        let change = |name: &str| {
            let body = json!({ name: format!("{name} {round}") });
            patch(&site, 1, &address, &body).send()
        };
        let (a, b, c) = tokio::join!(change("line2"), change("city"), change("region"));
        for reply in [a, b, c] {
            reply.is(200);
        }
        let shown = list(&site, 1).await.remove(0);
        for name in ["line2", "city", "region"] {
            assert_eq!(shown[name], format!("{name} {round}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_race_for_the_default_has_one_winner() {
    let site = Site::start().await;
    let mut all = Vec::new();
    for name in ["a", "b", "c", "d"] {
        all.push(saved(&site, 1, name).await);
    }
    assert_eq!(defaults(&site, 1).await, [all[0]["id"].clone()], "the first one");
    let body = json!({ "is_default": true });
    for _ in 0..5 {
        let make = |place: usize| patch(&site, 1, &all[place], &body).send();
        let (b, c, d) = tokio::join!(make(1), make(2), make(3));
        let mut last = (0, Value::Null);
        for reply in [b, c, d] {
            let shown = reply.is(200);
            assert_eq!(shown["is_default"], true, "as its log entry left it");
            let revision = shown["revision"].as_u64().unwrap();
            if revision > last.0 {
                last = (revision, shown["id"].clone());
            }
        }
        assert_eq!(defaults(&site, 1).await, [last.1], "the last one in the log");
    }
    let current = defaults(&site, 1).await.remove(0);
    let current = all.iter().find(|address| address["id"] == current).unwrap();
    let none = patch(&site, 1, current, &json!({ "is_default": false })).send().await;
    let json = none.is_problem(422, "validation_failed");
    assert_eq!(json["errors"][0]["pointer"], "/is_default");
    let other = patch(&site, 1, &all[0], &json!({ "is_default": false })).send().await;
    assert_eq!(other.is(200)["is_default"], false, "it is not the default anyway");
    is_gone(&delete(&site, 1, current).send().await);
    assert_eq!(defaults(&site, 1).await, [all[0]["id"].clone()], "passed to the oldest");
    delete(&site, 1, current).send().await.is_problem(404, "not_found");
}

#[tokio::test]
async fn a_repeat_with_its_key_gets_the_first_answer() {
    let site = Site::start().await;
    let first = post(&site, 1, &whole()).key("k").send().await;
    let address = first.is(201);
    patch(&site, 1, &address, &json!({ "label": "later" })).send().await.is(200);
    let again = post(&site, 1, &whole()).key("k").send().await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let other = post(&site, 1, &least("Kim")).key("k").send().await;
    other.is_problem(422, "idempotency_key_reused");
    assert_eq!(list(&site, 1).await.len(), 1);
    post(&site, 2, &whole()).key("k").send().await.is(201);
    is_gone(&delete(&site, 1, &address).send().await);
    assert_eq!(post(&site, 1, &whole()).key("k").send().await.body, first.body);
    assert_eq!(list(&site, 1).await.len(), 0, "the key answers, whatever has become of it");
}

#[tokio::test]
async fn a_customer_has_twenty_addresses_at_most_in_pages_of_both_directions() {
    let site = Site::start().await;
    let mut all = Vec::new();
    for at in 0..20 {
        all.push(saved(&site, 1, &format!("Kim {at}")).await["id"].clone());
    }
    let reply = post(&site, 1, &least("Kim")).key("full").send().await;
    reply.is_problem(409, "address_limit");
    saved(&site, 2, "Lee").await;
    for order in ["asc", "desc"] {
        let mut found = Vec::new();
        let mut path = format!("{LIST}?limit=7&order={order}");
        loop {
            let page = site.get(&path).token(&site.customer(1)).send().await.is(200);
            let data = page["data"].as_array().unwrap();
            found.extend(data.iter().map(|address| address["id"].clone()));
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            path = format!("{LIST}?limit=7&order={order}&cursor={cursor}");
            let other = site.get(&path).token(&site.customer(2)).send().await;
            other.is_problem(400, "cursor_invalid");
        }
        assert_eq!(found, all, "{order}");
        all.reverse();
    }
    let path = format!("{LIST}/{}", all[3].as_str().unwrap());
    is_gone(&site.ask("DELETE", &path).token(&site.customer(1)).send().await);
    saved(&site, 1, "Kim").await;
    let again = post(&site, 1, &least("Kim")).key("full").send().await;
    assert_eq!(again.body, reply.body, "what was decided under a key stays decided");
}

#[tokio::test]
async fn ref01_another_customers_address_is_not_found() {
    let site = Site::start().await;
    let (address, product) = (saved(&site, 1, "Kim").await, shipped(&site, 3).await);
    for (method, path) in
        [("GET", LIST), ("POST", LIST), ("GET", &path(&address)), ("DELETE", &path(&address))]
    {
        site.ask(method, path).send().await.is_problem(401, "token_missing");
    }
    // Staff have addresses of their own, like anybody.
    for stranger in [site.customer(2), site.token(3, Role::Support), site.operator(), site.admin()]
    {
        let theirs = site.get(LIST).token(&stranger).send().await.is(200);
        assert_eq!(theirs["data"], json!([]));
        for method in ["GET", "DELETE", "PATCH"] {
            let ask = site.ask(method, &path(&address)).token(&stranger).json(&json!({}));
            let json = ask.send().await.is_problem(404, "not_found");
            assert!(!json.to_string().contains("Kim"));
        }
        let lines = json!([{ "product_id": product["id"], "quantity": 1 }]);
        let body = json!({ "lines": lines, "address_id": address["id"] });
        let ask = site.post("/v1/orders").token(&stranger).key("k").json(&body);
        ask.send().await.is_problem(404, "not_found");
        let item = format!("/v1/me/wishlist/{}", product["id"].as_str().unwrap());
        let ask = site.ask("PUT", &item).token(&stranger).json(&json!({ "quantity": 1 }));
        ask.send().await.is(200);
        let body = json!({ "address_id": address["id"] });
        let ask = site.post("/v1/me/wishlist/orders").token(&stranger).key("k").json(&body);
        ask.send().await.is_problem(404, "not_found");
        let own = site.post(LIST).token(&stranger).json(&least("Staff")).send().await.is(201);
        assert_eq!(own["is_default"], true);
    }
    assert_eq!(list(&site, 1).await, [address]);
}

#[tokio::test]
async fn an_order_keeps_the_address_it_was_sent_to() {
    let site = Site::start().await;
    let product = shipped(&site, 5).await;
    let address = post(&site, 1, &whole()).send().await.is(201);
    let first = order(&site, 1, "a", &product, &address).send().await;
    let placed = first.is(201);
    assert!(placed.get("address").is_none());
    assert_eq!(address_of(&site, 1, &placed).await, whole());

    patch(&site, 1, &address, &json!({ "line1": "elsewhere" })).send().await.is(200);
    let item = format!("/v1/me/wishlist/{}", product["id"].as_str().unwrap());
    let ask = site.ask("PUT", &item).token(&site.customer(1)).json(&json!({ "quantity": 1 }));
    ask.send().await.is(200);
    let ask = site.post("/v1/me/wishlist/orders").token(&site.customer(1)).key("b");
    let wished = ask.json(&json!({ "address_id": address["id"] })).send().await.is(201);
    is_gone(&delete(&site, 1, &address).send().await);
    assert_eq!(address_of(&site, 1, &placed).await, whole());
    assert_eq!(address_of(&site, 1, &wished).await["line1"], "elsewhere");

    let gone = order(&site, 1, "c", &product, &address).send().await;
    let json = gone.is_problem(404, "not_found");
    assert!(json["detail"].as_str().unwrap().contains("address"), "{json}");
    let again = order(&site, 1, "a", &product, &address).send().await;
    assert_eq!(again.body, first.body, "the key answers, though the address is gone");
    for (key, id) in [("d", ""), ("e", "x"), ("f", "ord_00000000000000000000000001")] {
        let ask = order(&site, 1, key, &product, &json!({ "id": id }));
        ask.send().await.is_problem(404, "not_found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ref56_no_plain_personal_data_on_disk() {
    let site = Site::start().await;
    let product = shipped(&site, 5).await;
    let body = json!({
        "label": "LABELsecret", "recipient": "\u{d64d}\u{ae38}\u{b3d9}", "phone": "010-9876-5432",
        "country": "KR", "postcode": "PC04524", "region": "REGIONsecret", "city": "CITYsecret",
        "line1": "LINEONEsecret", "line2": "LINETWOsecret",
    });
    let address = post(&site, 1, &body).key("saved-once").send().await.is(201);
    order(&site, 1, "a", &product, &address).send().await.is(201);
    let change = json!({ "recipient": "RECIPIENTsecret", "line2": "LINETHREEsecret" });
    patch(&site, 1, &address, &change).send().await.is(200);
    let lines = json!([{ "product_id": product["id"], "quantity": 1 }]);
    let inline = json!({ "lines": lines, "address": body });
    let ask = site.post("/v1/orders").token(&site.customer(1)).key("b").json(&inline);
    ask.send().await.is(201);
    let removed = saved(&site, 1, "REMOVEDsecret").await;
    is_gone(&delete(&site, 1, &removed).send().await);
    site.node.snapshot().await.unwrap();
    let dir = site.stop().await;

    let written = written(&dir.path().join("n1"));
    let holds = |bytes: &[u8], text: &str| {
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    };
    for kind in ["log.", "state.redb", "snapshot"] {
        let mut of_kind = written.iter().filter(|(name, _)| name.starts_with(kind));
        let found = of_kind.any(|(_, bytes)| holds(bytes, "Canary cup"));
        assert!(found, "what is not secret is there in plain text: {kind}");
    }
    let secrets = body.as_object().unwrap().iter().filter(|(name, _)| *name != "country");
    let secrets = secrets.map(|(_, text)| text.as_str().unwrap());
    let more = ["RECIPIENTsecret", "LINETHREEsecret", "REMOVEDsecret", "secret", "saved-once"];
    for secret in secrets.chain(more) {
        for (name, bytes) in &written {
            assert!(!holds(bytes, secret), "{secret} is in {name}");
        }
    }
}
