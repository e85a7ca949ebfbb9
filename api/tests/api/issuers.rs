//! Tokens of a shop's own issuer at the REST port.

use std::time::{SystemTime, UNIX_EPOCH};

use firstcome_api::{IssuerAlgorithm, IssuerOptions, Issuers, KeySource, fuzz};
use serde_json::{Value, json};

use crate::site::Site;

const SECRET: &[u8] = b"thirty-two bytes that we all know";
/// The same in base64.
const SECRET_TEXT: &str = "dGhpcnR5LXR3byBieXRlcyB0aGF0IHdlIGFsbCBrbm93";

/// A node that takes tokens of `shop`.
async fn site() -> Site {
    // A temporary file is readable by its owner alone.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), SECRET_TEXT).unwrap();
    let options = IssuerOptions {
        issuer: "shop".to_owned(),
        audience: "firstcome".to_owned(),
        algorithms: vec![IssuerAlgorithm::Hs256],
        keys: KeySource::SecretFile(file.path().to_owned()),
        subject_claim: "sub".to_owned(),
    };
    Site::with_issuers(Issuers::load(&[options]).unwrap()).await
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn claims(user: &str) -> Value {
    json!({ "iss": "shop", "aud": "firstcome", "sub": user, "exp": now() + 600 })
}

fn token_of(claims: &Value) -> String {
    fuzz::signed(SECRET, br#"{"alg":"HS256"}"#, claims.to_string().as_bytes())
}

fn token(user: &str) -> String {
    token_of(&claims(user))
}

#[tokio::test]
async fn users_of_a_shop_buy_and_see_only_their_own() {
    let site = site().await;
    let sale = site.sale(5, 1).await;
    let body = json!({ "lines": [{ "sale_id": sale["id"], "quantity": 1 }] });
    let order = |token: &str, key: &'static str| {
        site.post("/v1/orders").token(token).key(key).json(&body).send()
    };
    let placed = order(&token("alice"), "k").await.is(201);
    // Another token of the same user, and the same key: the same order.
    let later = token_of(
        &json!({ "iss": "shop", "aud": ["firstcome"], "sub": "alice", "exp": now() + 60 }),
    );
    let again = order(&later, "k").await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.is(201)["id"], placed["id"]);
    order(&later, "other").await.is_problem(409, "already_holding");

    let path = format!("/v1/orders/{}", placed["id"].as_str().unwrap());
    assert_eq!(site.get(&path).token(&token("alice")).send().await.is(200), placed);
    site.get(&path).token(&token("bob")).send().await.is_problem(404, "not_found");
    assert_eq!(order(&token("bob"), "k").await.is(201)["lines"], placed["lines"]);
    let customer = placed["customer_id"].as_str().unwrap();
    let list = format!("/v1/admin/orders?customer_id={customer}");
    let list = site.get(&list).token(&site.operator()).send().await.is(200);
    assert_eq!(list["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn no_claim_opens_a_staff_route() {
    let site = site().await;
    let mut claims = claims("alice");
    for (name, value) in [
        ("role", json!("admin")),
        ("roles", json!(["admin", "operator"])),
        ("scope", json!("cluster:admin orders:read")),
    ] {
        claims[name] = value;
    }
    let token = token_of(&claims);
    for path in ["/v1/admin/orders", "/v1/admin/settings", "/v1/cluster", "/v1/admin/events"] {
        let reply = site.get(path).token(&token).send().await;
        reply.is_problem(403, "permission_denied");
        assert_eq!(reply.header("x-served-by"), None, "{path}");
    }
}

#[tokio::test]
async fn a_refused_token_says_what_is_wrong() {
    let site = site().await;
    let with = |name: &str, value: Value| {
        let mut claims = claims("alice");
        claims[name] = value;
        token_of(&claims)
    };
    for (token, part) in [
        (with("iss", json!("other")), "iss"),
        (with("aud", json!("other")), "aud"),
        (with("nbf", json!("0")), "numbers"),
        (with("exp", json!(now() + 100_000)), "24 hours"),
        (with("sub", json!("x".repeat(256))), "255 bytes"),
        (with("sub", json!("x".repeat(8000))), "8192 bytes"),
        (fuzz::signed(b"other", br#"{"alg":"HS256"}"#, b"{\"iss\":\"shop\"}"), "signature"),
        (fuzz::signed(SECRET, br#"{"alg":"none"}"#, b"{\"iss\":\"shop\"}"), "alg"),
        ("nonsense".to_owned(), "not a JSON Web Token"),
    ] {
        for path in ["/v1/orders", "/v1/products"] {
            let reply = site.get(path).token(&token).send().await;
            let problem = reply.is_problem(401, "token_invalid");
            assert!(problem["detail"].as_str().unwrap().contains(part), "{part}: {problem}");
            assert!(reply.header("www-authenticate").unwrap().contains("invalid_token"));
        }
    }
    let expired = with("exp", json!(now() - 60));
    site.get("/v1/orders").token(&expired).send().await.is_problem(401, "token_expired");
}

#[tokio::test]
async fn tokens_of_the_cluster_itself_go_on_working() {
    let site = site().await;
    site.get("/v1/cluster").token(&site.operator()).send().await.is(200);
    site.get("/v1/orders").token(&site.customer(7)).send().await.is(200);
    let without = Site::start().await;
    let refused = without.get("/v1/orders").token(&token("alice")).send().await;
    refused.is_problem(401, "token_invalid");
}
