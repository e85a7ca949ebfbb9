//! Client errors, one test each.

use firstcome_domain::Role;
use serde_json::{Value, json};

use crate::site::Site;

#[tokio::test]
async fn malformed_json_is_400() {
    let site = Site::start().await;
    for body in ["", "{", "{\"lines\": [}", "nope", "{} {}"] {
        let ask = site.post("/v1/orders").token(&site.customer(1)).key("k");
        let reply = ask.raw("application/json", body.into()).send().await;
        reply.is_problem(400, "malformed_json");
    }
}

#[tokio::test]
async fn unknown_field_is_422_with_its_pointer() {
    let site = Site::start().await;
    let body = json!({ "lines": [{ "product_id": "prd_x", "quantity": 1, "colour": "red" }] });
    let ask = site.post("/v1/orders").token(&site.customer(1)).key("k").json(&body);
    let json = ask.send().await.is_problem(422, "validation_failed");
    assert_eq!(json["errors"][0]["pointer"], "/lines/0/colour");
    assert_eq!(json["errors"][0]["code"], "unknown_field");
}

#[tokio::test]
async fn negative_zero_and_huge_quantities_are_422() {
    let site = Site::start().await;
    let sale = site.sale(5, 5).await;
    for quantity in ["-1", "0", "101", "99999999999999999999", "1.5", "\"1\"", "null"] {
        let text = format!(r#"{{"lines":[{{"sale_id":{},"quantity":{quantity}}}]}}"#, sale["id"]);
        let ask = site.post("/v1/orders").token(&site.customer(1)).key("k");
        let reply = ask.raw("application/json", text.into_bytes()).send().await;
        let json = reply.is_problem(422, "validation_failed");
        assert_eq!(json["errors"][0]["pointer"], "/lines/0/quantity", "{quantity}");
        assert_eq!(json["executed"], "no");
    }
}

#[tokio::test]
async fn no_lines_and_too_many_are_422() {
    let site = Site::start().await;
    let line = json!({ "product_id": "prd_x", "quantity": 1 });
    for lines in [vec![], vec![line; 21]] {
        let ask = site.post("/v1/orders").token(&site.customer(1)).key("k");
        let reply = ask.json(&json!({ "lines": lines })).send().await;
        let json = reply.is_problem(422, "validation_failed");
        assert_eq!(json["errors"][0]["pointer"], "/lines");
    }
}

#[tokio::test]
async fn wrong_content_type_is_415() {
    let site = Site::start().await;
    for media in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
        let ask = site.post("/v1/orders").token(&site.customer(1)).key("k");
        let reply = ask.raw(media, b"{\"lines\":[]}".to_vec()).send().await;
        reply.is_problem(415, "unsupported_media_type");
    }
}

#[tokio::test]
async fn one_mebibyte_body_is_413() {
    let site = Site::start().await;
    let ask = site.post("/v1/orders").token(&site.customer(1)).key("k");
    let reply = ask.raw("application/json", vec![b' '; 1 << 20]).send().await;
    reply.is_problem(413, "body_too_large");
}

#[tokio::test]
async fn missing_token_is_401_with_a_challenge() {
    let site = Site::start().await;
    let reply = site.get("/v1/orders").send().await;
    reply.is_problem(401, "token_missing");
    assert!(reply.header("www-authenticate").unwrap().starts_with("Bearer"));
    let reply = site.post("/v1/orders").key("k").json(&json!({})).send().await;
    reply.is_problem(401, "token_missing");
}

#[tokio::test]
async fn malformed_token_is_401() {
    let site = Site::start().await;
    let good = site.customer(1);
    for value in [
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer x.y.z".to_owned(),
        format!("Basic {good}"),
        format!("Bearer {}", &good[..good.len() - 2]),
        good.clone(),
    ] {
        let reply = site.get("/v1/orders").header("authorization", &value).send().await;
        reply.is_problem(401, "token_invalid");
        assert!(reply.header("www-authenticate").unwrap().contains("invalid_token"));
    }
}

#[tokio::test]
async fn sale_commands_need_operator() {
    let site = Site::start().await;
    let sale = site.sale(1, 1).await;
    let path = format!("/v1/admin/sales/{}/pauses", sale["id"].as_str().unwrap());
    for role in [Role::Customer, Role::Support] {
        let token = site.token(5, role);
        site.post(&path).token(&token).send().await.is_problem(403, "permission_denied");
        let create = site.post("/v1/admin/sales").token(&token).json(&json!({}));
        create.send().await.is_problem(403, "permission_denied");
    }
    assert_eq!(site.post(&path).token(&site.operator()).send().await.is(201)["state"], "paused");
}

#[tokio::test]
async fn ref03_identity_headers_are_ignored() {
    let site = Site::start().await;
    let admin = "usr_00000000000000000000000001";
    for name in ["x-authenticated-user", "x-authenticated-role", "x-user-id", "x-forwarded-user"] {
        let ask = site.get("/v1/admin/orders").header(name, admin);
        ask.send().await.is_problem(401, "token_missing");
        let ask = site.get("/v1/admin/orders").token(&site.customer(9)).header(name, "admin");
        ask.send().await.is_problem(403, "permission_denied");
    }
}

#[tokio::test]
async fn wrong_role_is_403_on_every_staff_area() {
    let site = Site::start().await;
    let customer = site.customer(1);
    for path in
        ["/v1/admin/orders", "/v1/admin/stock-ledger", "/v1/admin/events", "/v1/admin/settings"]
    {
        let reply = site.get(path).token(&customer).send().await;
        reply.is_problem(403, "permission_denied");
    }
    for path in ["/v1/cluster", "/v1/cluster/members", "/v1/cluster/hash"] {
        site.get(path).send().await.is_problem(401, "token_missing");
        site.get(path).token(&customer).send().await.is_problem(403, "permission_denied");
    }
    let reply = site.get("/v1/admin/settings").token(&site.operator()).send().await;
    reply.is_problem(403, "permission_denied");
    let reply = site.post("/v1/cluster/snapshots").token(&site.operator()).send().await;
    reply.is_problem(403, "permission_denied");
}

#[tokio::test]
async fn other_users_rows_are_not_found() {
    let site = Site::start().await;
    let sale = site.sale(2, 1).await;
    let order = site.order(1, "k", &sale, 1).send().await.is(201);
    let path = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    // Staff act as customers here: they reach other customers' orders only under /v1/admin.
    for stranger in [site.customer(2), site.admin()] {
        site.get(&path).token(&stranger).send().await.is_problem(404, "not_found");
        for step in ["cancellations", "returns", "receptions"] {
            let ask = site.post(&format!("{path}/{step}")).token(&stranger).key("k2");
            ask.send().await.is_problem(404, "not_found");
        }
        let list = site.get("/v1/orders").token(&stranger).send().await.is(200);
        assert_eq!(list["data"], json!([]));
    }
    assert_eq!(site.get(&path).token(&site.customer(1)).send().await.is(200)["id"], order["id"]);
}

#[tokio::test]
async fn missing_idempotency_key_is_400() {
    let site = Site::start().await;
    let body = json!({ "lines": [{ "product_id": "prd_x", "quantity": 1 }] });
    let ask = site.post("/v1/orders").token(&site.customer(1)).json(&body);
    ask.send().await.is_problem(400, "idempotency_key_required");
}

#[tokio::test]
async fn oversized_and_invisible_idempotency_keys_are_400() {
    let site = Site::start().await;
    for key in ["x".repeat(256), "a b".to_owned(), "caf\u{e9}".to_owned()] {
        let ask = site.post("/v1/orders").token(&site.customer(1)).key(&key).json(&json!({}));
        ask.send().await.is_problem(400, "idempotency_key_invalid");
    }
}

#[tokio::test]
async fn reused_idempotency_key_is_422() {
    let site = Site::start().await;
    let sale = site.sale(5, 5).await;
    site.order(1, "same", &sale, 1).send().await.is(201);
    site.order(1, "same", &sale, 2).send().await.is_problem(422, "idempotency_key_reused");
    // The same key of another caller is a different key.
    site.order(2, "same", &sale, 2).send().await.is(201);
}

#[tokio::test]
async fn cursor_misuse_is_400() {
    let site = Site::start().await;
    for name in ["a", "b", "c"] {
        site.product(name, 1).await;
    }
    let first = site.get("/v1/products?limit=1").send().await.is(200);
    let cursor = first["next_cursor"].as_str().unwrap();
    let changed = if cursor.starts_with('A') { 'B' } else { 'A' };
    for path in [
        "/v1/products?cursor=abc".to_owned(),
        "/v1/products?cursor=".to_owned(),
        format!("/v1/products?q=a&cursor={cursor}"),
        format!("/v1/products?status=available&cursor={cursor}"),
        format!("/v1/sales?cursor={cursor}"),
        format!("/v1/products?cursor={changed}{}", &cursor[1..]),
    ] {
        site.get(&path).send().await.is_problem(400, "cursor_invalid");
    }
    site.get(&format!("/v1/products?cursor={cursor}")).send().await.is(200);
}

#[tokio::test]
async fn unknown_parameter_is_400() {
    let site = Site::start().await;
    for path in ["/v1/products?page=2", "/v1/time?x", "/v1/sales?status=open", "/livez?verbose"] {
        let json = site.get(path).send().await.is_problem(400, "unknown_parameter");
        assert!(json["parameter"].is_string());
    }
    let ask = site.post("/v1/orders?dry_run=1").token(&site.customer(1)).key("k");
    ask.json(&json!({})).send().await.is_problem(400, "unknown_parameter");
}

#[tokio::test]
async fn wrong_parameter_values_are_422() {
    let site = Site::start().await;
    for (path, pointer) in [
        ("/v1/products?limit=0", "/query/limit"),
        ("/v1/products?limit=101", "/query/limit"),
        ("/v1/products?limit=ten", "/query/limit"),
        ("/v1/products?status=gone", "/query/status"),
        ("/v1/sales?state=shut", "/query/state"),
        ("/v1/time?consistency=eventual", "/query/consistency"),
        ("/v1/cluster/hash?revision=-1", "/query/revision"),
    ] {
        let reply = site.get(path).token(&site.operator()).send().await;
        let json = reply.is_problem(422, "validation_failed");
        assert_eq!(json["errors"][0]["pointer"], pointer);
    }
}

#[tokio::test]
async fn sale_before_its_window_is_not_open() {
    let site = Site::start().await;
    let product = site.product("T-shirt", 5).await;
    let opens_at = site.instant(3_600_000);
    let sale = site.sale_of(&product, json!({ "opens_at": opens_at })).await;
    let json = site.order(1, "k", &sale, 1).send().await.is_problem(409, "sale_not_open");
    assert_eq!(json["opens_at"], opens_at);
    // Answered from rows: see docs/adr/0005-early-refusal-runs-the-rules-on-a-read.md.
    assert_eq!((&json["early"], &json["ticket"]), (&json!(true), &Value::Null));
    assert!(json["revision"].is_u64());
}

#[tokio::test]
async fn sale_after_its_window_is_closed() {
    let site = Site::start().await;
    let product = site.product("T-shirt", 5).await;
    let (opens_at, closes_at) = (site.instant(-2000), site.instant(-1000));
    let body = json!({ "opens_at": opens_at, "closes_at": closes_at });
    let mut body = body;
    body["product_id"] = product["id"].clone();
    body["title"] = json!("Over");
    body["units"] = json!(1);
    let ask = site.post("/v1/admin/sales").token(&site.operator()).json(&body);
    let reply = ask.send().await;
    if reply.status == 201 {
        let sale = reply.json();
        site.order(1, "k", &sale, 1).send().await.is_problem(409, "sale_closed");
    } else {
        // A sale that would already be over may be refused at once.
        assert_eq!(reply.status, 422);
        let sale = site.sale_of(&product, json!({})).await;
        let path = format!("/v1/admin/sales/{}/closures", sale["id"].as_str().unwrap());
        site.post(&path).token(&site.operator()).send().await.is(201);
        site.order(1, "k", &sale, 1).send().await.is_problem(409, "sale_closed");
    }
}

#[tokio::test]
async fn unknown_route_is_a_problem_document() {
    let site = Site::start().await;
    for path in ["/", "/v1", "/v1/nothing", "/v1/orders/", "/v1/products/%FF"] {
        site.get(path).send().await.is_problem(404, "not_found");
    }
}

#[tokio::test]
async fn unknown_method_is_a_problem_document_with_allow() {
    let site = Site::start().await;
    let reply = site.ask("PUT", "/v1/orders").send().await;
    reply.is_problem(405, "method_not_allowed");
    let allow = reply.header("allow").unwrap();
    assert!(allow.contains("GET") && allow.contains("POST"), "{allow}");
    site.ask("DELETE", "/livez").send().await.is_problem(405, "method_not_allowed");
}

#[tokio::test]
async fn ids_of_other_kinds_are_not_found() {
    let site = Site::start().await;
    let sale = site.sale(1, 1).await;
    let id = sale["id"].as_str().unwrap();
    site.get(&format!("/v1/products/{id}")).send().await.is_problem(404, "not_found");
    site.get("/v1/sales/none").send().await.is_problem(404, "not_found");
    let body = json!({ "lines": [{ "product_id": id, "quantity": 1 }] });
    let ask = site.post("/v1/orders").token(&site.customer(1)).key("k").json(&body);
    ask.send().await.is_problem(404, "not_found");
}

#[tokio::test]
async fn ref46_malformed_input_is_a_client_error() {
    let site = Site::start().await;
    let token = site.operator();
    for body in [
        "[]",
        "null",
        "1",
        "\"x\"",
        "{\"name\":1}",
        "{\"price\":{}}",
        "{\"stock\":-1}",
        "{\"name\":\"x\",\"price\":{\"amount\":0,\"currency\":\"krw\"},\"stock\":0}",
        "{\"name\":\"\\u0000\",\"price\":{\"amount\":1,\"currency\":\"KRW\"},\"stock\":0}",
    ] {
        let ask = site.post("/v1/admin/products").token(&token);
        let reply = ask.raw("application/json", body.into()).send().await;
        reply.is_problem(422, "validation_failed");
    }
    let deep = "[".repeat(10_000);
    let ask = site.post("/v1/admin/products").token(&token);
    let reply = ask.raw("application/json", deep.into_bytes()).send().await;
    reply.is_problem(400, "malformed_json");
}

#[tokio::test]
async fn every_wrong_field_is_named_at_once() {
    let site = Site::start().await;
    let price = json!({ "amount": 0, "currency": "won" });
    let body = json!({ "name": " ", "price": price, "stock": 2_000_000_000_u64 });
    let ask = site.post("/v1/admin/products").token(&site.operator()).json(&body);
    let json = ask.send().await.is_problem(422, "validation_failed");
    let errors = json["errors"].as_array().unwrap();
    let mut pointers: Vec<_> = errors.iter().map(|e| e["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/name", "/price/amount", "/price/currency", "/stock"]);
}
