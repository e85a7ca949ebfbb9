//! The master key in two steps, and nodes whose key is not that of their cluster.

use std::time::Duration;

use firstcome_api::{ApiOptions, Keyring, Keys, MasterKey, Shop};
use firstcome_domain::Role;
use firstcome_raft::{Node, Options};
use serde_json::{Value, json};

use crate::site::Site;

const ONE: &str = "1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const TWO: &str = "2:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
/// Another key under the number of [`ONE`].
const OTHER: &str = "1:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";

const KEYS: &str = "/v1/admin/keys";

fn master(lines: &[&str]) -> MasterKey {
    MasterKey::parse(&lines.join("\n")).unwrap()
}

async fn started(lines: &[&str]) -> Site {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::new("n1", dir.path().join("n1"));
    options.bootstrap = true;
    let node = Node::start(options, Shop).await.unwrap();
    let site = Site::serving_with(node, &master(lines), dir, ApiOptions::default()).await;
    site.led().await;
    site
}

/// Waits until the cluster knows this many versions.
async fn known(site: &Site, count: usize) -> Value {
    let known = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let seen = site.get(KEYS).token(&site.operator()).send().await.is(200);
            if seen["versions"].as_array().unwrap().len() == count {
                return seen;
            }
            tokio::task::yield_now().await;
        }
    });
    known.await.expect("the versions are reported")
}

async fn shipped_order(site: &Site, user: u128, key: &str, product: &Value) -> Value {
    let address = json!({
        "recipient": "Kim", "phone": "010-1234-5678", "line1": "Sejong-daero 110",
    });
    let lines = json!([{ "product_id": product["id"], "quantity": 1 }]);
    let body = json!({ "lines": lines, "address": address });
    let ask = site.post("/v1/orders").token(&site.customer(user)).key(key).json(&body);
    ask.send().await.is(201)
}

async fn shipped_product(site: &Site) -> Value {
    let price = json!({ "amount": 15000, "currency": "KRW" });
    let body = json!({ "name": "Lamp", "price": price, "stock": 9 });
    site.post("/v1/admin/products").token(&site.operator()).json(&body).send().await.is(201)
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_master_key_refuses_join() {
    let site = started(&[ONE]).await;
    let wrong = site.with_keys(&master(&[OTHER])).await;
    let token = wrong.admin();
    for reply in [
        wrong.get("/v1/cluster").token(&token).send().await,
        wrong.post("/v1/cluster/snapshots").token(&token).send().await,
        wrong.get("/v1/orders").token(&wrong.customer(1)).send().await,
        wrong.get("/readyz").send().await,
    ] {
        reply.is_problem(503, "not_ready");
    }
    let keys = Keys::new(&master(&[OTHER, TWO])).unwrap();
    let why = Keyring::new(site.node.clone(), &keys).watch().await.to_string();
    assert!(why.contains("it has version 1, 2; version 1 is another key"), "{why}");
    let keys = Keys::new(&master(&[TWO])).unwrap();
    let why = Keyring::new(site.node.clone(), &keys).watch().await.to_string();
    assert!(why.contains("it has version 2; the cluster uses version 1"), "{why}");
    site.get("/readyz").send().await.is(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_is_used_only_once_it_is_active() {
    let site = started(&[ONE]).await;
    let product = shipped_product(&site).await;
    let order = shipped_order(&site, 1, "a", &product).await;
    let admin = json!({
        "email": "kim@example.com", "password": "a long enough password", "name": "Kim",
        "phone": "010-1234-5678",
    });
    site.post("/v1/admin/bootstrap").token(&site.admin()).json(&admin).send().await.is(201);
    let both = site.with_keys(&master(&[ONE, TWO])).await;
    let seen = known(&both, 2).await;
    assert_eq!(seen["versions"][1]["state"], "known");
    assert_eq!(seen["versions"][1]["node_ids"], json!([site.node.id()]));

    // Either node accepts what the other makes: tokens, sealed addresses and receipts.
    for (key, at, from) in [("new", &site, &both), ("old", &both, &site)] {
        let made = shipped_order(from, 1, key, &product).await;
        let path = format!("/v1/orders/{}", made["id"].as_str().unwrap());
        at.get(&path).token(&from.customer(1)).send().await.is(200);
        let again = shipped_order(at, 1, "a", &product).await;
        assert_eq!(again["id"], order["id"]);
    }

    let path = format!("{KEYS}/2/activations");
    let active = both.post(&path).token(&both.admin()).send().await.is(201);
    assert_eq!(active["versions"][1]["state"], "active");
    assert_eq!(active["versions"][0]["wrapped_keys"], 0);
    both.post(&path).token(&both.admin()).send().await.is(201);

    // The node with the first version alone is out; the other one goes on as before.
    site.get("/readyz").send().await.is_problem(503, "not_ready");
    let path = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    let old_token = site.customer(1);
    let shown = both.get(&path).token(&old_token).send().await.is(200);
    assert_eq!(shown["address"]["recipient"], "Kim");
    assert_eq!(shipped_order(&both, 1, "a", &product).await["id"], order["id"]);

    // Orders and an account need the first version, so it stays.
    let path = format!("{KEYS}/1/retirements");
    let reply = both.post(&path).token(&both.admin()).send().await;
    let needed = reply.is_problem(409, "key_version_in_use");
    assert_eq!((&needed["orders"], &needed["accounts"]), (&json!(3), &json!(1)));
    let path = format!("{KEYS}/2/retirements");
    let reply = both.post(&path).token(&both.admin()).send().await;
    assert_eq!(reply.is_problem(409, "key_version_in_use")["active"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_nobody_has_are_not_activated() {
    let site = started(&[ONE]).await;
    let admin = site.admin();
    for version in ["0", "2", "4294967296", "x", "-1"] {
        for verb in ["activations", "retirements"] {
            let path = format!("{KEYS}/{version}/{verb}");
            site.post(&path).token(&admin).send().await.is_problem(404, "not_found");
        }
    }
    let path = format!("{KEYS}/1/activations");
    site.post(&path)
        .token(&admin)
        .json(&json!({ "x": 1 }))
        .send()
        .await
        .is_problem(422, "validation_failed");
    let operator = site.token(5, Role::Operator);
    let reply = site.post(&path).token(&operator).send().await;
    reply.is_problem(403, "permission_denied");
    site.get(KEYS)
        .token(&site.token(5, Role::Support))
        .send()
        .await
        .is_problem(403, "permission_denied");
}
