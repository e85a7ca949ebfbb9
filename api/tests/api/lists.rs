//! Lists: pages, filters, order.

use serde_json::{Value, json};

use crate::site::Site;

fn names(page: &Value) -> Vec<String> {
    let rows = page["data"].as_array().unwrap().iter();
    rows.map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn ref42_first_page_is_first() {
    let site = Site::start().await;
    let empty = site.get("/v1/products").send().await.is(200);
    assert_eq!(empty, json!({ "object": "list", "data": [], "next_cursor": null }));
    let mut made: Vec<String> = Vec::new();
    for number in 0..25 {
        let name = format!("product {number:02}");
        site.product(&name, 1).await;
        made.insert(0, name);
    }
    let first = site.get("/v1/products").send().await.is(200);
    assert_eq!(names(&first), made[..20]);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = site.get(&format!("/v1/products?cursor={cursor}")).send().await.is(200);
    assert_eq!(names(&second), made[20..]);
    assert_eq!(second["next_cursor"], json!(null));
}

#[tokio::test]
async fn products_are_filtered_by_status_and_name() {
    let site = Site::start().await;
    site.product("Red cup", 1).await;
    site.product("Blue CUP", 0).await;
    site.product("Plate", 1).await;
    let read =
        async |query: &str| names(&site.get(&format!("/v1/products?{query}")).send().await.is(200));
    assert_eq!(read("q=cUp").await, ["Blue CUP", "Red cup"]);
    assert_eq!(read("status=available").await, ["Plate", "Red cup"]);
    assert_eq!(read("status=out_of_stock&q=cup").await, ["Blue CUP"]);
    assert_eq!(read("limit=1&q=red").await, ["Red cup"]);
    assert_eq!(read("q=d+c").await, ["Red cup"]);
    assert_eq!(read("q=").await, ["Plate", "Blue CUP", "Red cup"]);
}

/// Story: no index holds such a text, so anyone could have a thousand names compared by each call.
#[tokio::test]
async fn a_search_without_a_letter_or_digit_is_refused() {
    let site = Site::start().await;
    site.product("Tea-cup", 1).await;
    for text in ["-", "%20", "+--+", "%F0%9F%8D%B5"] {
        let reply = site.get(&format!("/v1/products?q={text}")).send().await;
        let json = reply.is_problem(422, "validation_failed");
        assert_eq!(json["errors"][0]["pointer"], "/query/q");
    }
    let found = site.get("/v1/products?q=a-c").send().await.is(200);
    assert_eq!(names(&found), ["Tea-cup"]);
}

#[tokio::test]
async fn sales_are_filtered_by_state() {
    let site = Site::start().await;
    let product = site.product("Cup", 10).await;
    let open = site.sale_of(&product, json!({ "units": 1 })).await;
    let later = site.sale_of(&product, json!({ "opens_at": site.instant(3_600_000) })).await;
    let empty = site.sale_of(&product, json!({ "units": 0 })).await;
    let read = async |state: &str| {
        let page = site.get(&format!("/v1/sales?state={state}")).send().await.is(200);
        let rows = page["data"].as_array().unwrap().iter();
        rows.map(|row| row["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(read("open").await, [open["id"].clone()]);
    assert_eq!(read("scheduled").await, [later["id"].clone()]);
    assert_eq!(read("sold_out").await, [empty["id"].clone()]);
    assert_eq!(read("closed").await, [] as [Value; 0]);
}

#[tokio::test]
async fn orders_are_listed_for_their_owner_and_for_staff() {
    let site = Site::start().await;
    let sale = site.sale(9, 9).await;
    let other = site.sale(9, 9).await;
    let mine = site.order(1, "a", &sale, 1).send().await.is(201);
    let mine_too = site.order(1, "b", &other, 1).send().await.is(201);
    let theirs = site.order(2, "a", &sale, 1).send().await.is(201);
    let ids = |page: Value| {
        let rows = page["data"].as_array().unwrap().iter();
        rows.map(|row| row["id"].clone()).collect::<Vec<_>>()
    };
    let own = site.get("/v1/orders").token(&site.customer(1)).send().await.is(200);
    assert_eq!(ids(own), [mine_too["id"].clone(), mine["id"].clone()]);
    let paid = site.get("/v1/orders?status=paid").token(&site.customer(1)).send().await.is(200);
    assert_eq!(ids(paid), [] as [Value; 0]);
    let staff = async |query: &str| {
        let path = format!("/v1/admin/orders?{query}");
        ids(site.get(&path).token(&site.admin()).send().await.is(200))
    };
    let sale_id = sale["id"].as_str().unwrap();
    let product_id = other["product_id"].as_str().unwrap();
    let customer_id = theirs["customer_id"].as_str().unwrap();
    assert_eq!(staff("").await.len(), 3);
    let of_sale = staff(&format!("sale_id={sale_id}")).await;
    assert_eq!(of_sale, [theirs["id"].clone(), mine["id"].clone()]);
    assert_eq!(staff(&format!("product_id={product_id}")).await, [mine_too["id"].clone()]);
    let both = staff(&format!("customer_id={customer_id}&status=payment_pending")).await;
    assert_eq!(both, [theirs["id"].clone()]);
    let bad = site.get("/v1/admin/orders?sale_id=x").token(&site.admin()).send().await;
    bad.is_problem(422, "validation_failed");
}

/// Story: lists were sorted by id, which carries the clock of the node that took the request, so a
/// client that polled for new orders missed those of a node whose clock was behind.
#[tokio::test]
async fn orders_are_listed_by_ticket_in_both_directions() {
    let site = Site::start().await;
    let mut placed: Vec<Value> = Vec::new();
    for customer in 1..=5 {
        let sale = site.sale(9, 9).await;
        placed.push(site.order(customer, "a", &sale, 1).send().await.is(201));
    }
    let tickets: Vec<u64> = placed.iter().map(|order| order["ticket"].as_u64().unwrap()).collect();
    let listed = async |query: &str| {
        let path = format!("/v1/admin/orders?{query}");
        let page = site.get(&path).token(&site.admin()).send().await.is(200);
        let rows = page["data"].as_array().unwrap().iter();
        let tickets: Vec<u64> = rows.map(|row| row["ticket"].as_u64().unwrap()).collect();
        (tickets, page["next_cursor"].as_str().map(str::to_owned))
    };
    let newest_first: Vec<u64> = tickets.iter().rev().copied().collect();
    assert_eq!(listed("").await.0, newest_first);
    assert_eq!(listed("order=desc").await.0, newest_first);
    assert_eq!(listed("order=asc").await.0, tickets);

    let (first, cursor) = listed("order=asc&limit=3").await;
    assert_eq!(first, tickets[..3]);
    let cursor = cursor.unwrap();
    let (rest, end) = listed(&format!("order=asc&limit=3&cursor={cursor}")).await;
    assert_eq!((rest.as_slice(), end), (&tickets[3..], None));
    let path = format!("/v1/admin/orders?order=desc&limit=3&cursor={cursor}");
    let other_way = site.get(&path).token(&site.admin()).send().await;
    other_way.is_problem(400, "cursor_invalid");

    assert_eq!(listed(&format!("order=asc&ticket_after={}", tickets[1])).await.0, tickets[2..]);
    assert_eq!(listed("placed_after=2001-01-01T00:00:00Z&order=asc").await.0, tickets);
    assert_eq!(listed("placed_before=2001-01-01T00:00:00Z").await.0, [] as [u64; 0]);
    for bad in ["order=up", "ticket_after=-1", "placed_after=noon", "placed_before=5"] {
        let answer = site.get(&format!("/v1/admin/orders?{bad}")).token(&site.admin()).send().await;
        answer.is_problem(422, "validation_failed");
    }

    let own = site.get("/v1/orders?order=asc&ticket_after=1").token(&site.customer(1)).send().await;
    own.is_problem(400, "unknown_parameter");
}
