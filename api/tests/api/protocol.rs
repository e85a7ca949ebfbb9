//! Conventions that hold for every route: headers, reads, documents, health, logs.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firstcome_api::{ApiOptions, Rate, RateLimits};
use serde_json::json;

use crate::site::Site;

#[tokio::test]
async fn request_ids_come_back_and_are_made_up_otherwise() {
    let site = Site::start().await;
    let reply = site.get("/v1/time").header("request-id", "my-id-7").send().await;
    assert_eq!(reply.header("request-id"), Some("my-id-7"));
    let reply = site.get("/nothing").header("request-id", "my-id-8").send().await;
    assert_eq!(reply.is_problem(404, "not_found")["request_id"], "my-id-8");
    let reply = site.get("/nothing").header("request-id", &"x".repeat(200)).send().await;
    assert_eq!(reply.header("request-id").unwrap().len(), 32);
}

#[tokio::test]
async fn every_answer_carries_a_revision() {
    let site = Site::start().await;
    for path in ["/v1/time", "/v1/products", "/livez", "/openapi.json", "/nothing", "/v1/orders"] {
        let reply = site.get(path).send().await;
        assert!(reply.header("x-revision").unwrap().parse::<u64>().is_ok(), "{path}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
}

#[tokio::test]
async fn nodes_are_named_to_those_who_may_read_the_cluster() {
    let site = Site::start().await;
    let product = "/v1/products/none";
    for (reply, named) in [
        (site.get("/v1/products").send().await, false),
        (site.get("/v1/products").token(&site.customer(1)).send().await, false),
        (site.get("/livez").token(&site.admin()).send().await, false),
        (site.get("/v1/products").token(&site.operator()).send().await, true),
        (site.get("/v1/orders").token(&site.admin()).send().await, true),
        (site.get(product).token(&site.admin()).send().await, true),
        (site.get(product).send().await, false),
    ] {
        let name = named.then_some("n1");
        assert_eq!((reply.header("x-served-by"), reply.header("x-leader")), (name, name));
    }
}

#[tokio::test]
async fn min_revision_waits_or_gives_up() {
    let site = Site::start().await;
    let sale = site.sale(1, 1).await;
    let seen = sale["revision"].to_string();
    let reply = site.get("/v1/sales").header("min-revision", &seen).send().await;
    assert_eq!(reply.is(200)["data"][0]["id"], sale["id"]);
    let reply = site.get("/v1/sales").header("min-revision", "999999").send().await;
    assert_eq!(reply.is_problem(503, "revision_not_reached")["executed"], "no");
    assert_eq!(reply.header("retry-after"), Some("1"));
    let reply = site.get("/v1/sales").header("min-revision", "soon").send().await;
    reply.is_problem(422, "validation_failed");
}

#[tokio::test]
async fn language_changes_words_but_no_code() {
    let site = Site::start().await;
    let korean = site.get("/nothing").header("accept-language", "ko-KR, en;q=0.5").send().await;
    let json = korean.is_problem(404, "not_found");
    assert!(!json["title"].as_str().unwrap().is_ascii());
    assert_eq!(korean.header("content-language"), Some("ko"));
    let english = site.get("/nothing").send().await.is_problem(404, "not_found");
    assert_eq!(english["title"], "Not found");
}

#[tokio::test]
async fn time_is_log_time() {
    let site = Site::start().await;
    let time = site.get("/v1/time").send().await.is(200);
    assert!(time["revision"].is_u64());
    let sale = site.sale(1, 1).await;
    let later = site.get("/v1/time?consistency=local").send().await.is(200);
    assert!(later["now"].as_str() >= time["now"].as_str());
    assert!(later["now"].as_str() >= sale["created_at"].as_str());
}

#[tokio::test]
async fn the_cluster_shows_itself() {
    let site = Site::start().await;
    for path in ["/v1/cluster", "/v1/cluster?consistency=local"] {
        let cluster = site.get(path).token(&site.operator()).send().await.is(200);
        assert_eq!(cluster["object"], "cluster");
        assert_eq!((&cluster["leader"], &cluster["can_lose"]), (&json!("n1"), &json!(0)));
        assert_eq!(cluster["members"][0]["role"], "voter");
    }
    let members = site.get("/v1/cluster/members").token(&site.operator()).send().await.is(200);
    assert_eq!(members["data"][0]["name"], "n1");
    let hash = site.get("/v1/cluster/hash").token(&site.operator()).send().await.is(200);
    assert_eq!(hash["nodes"][0]["hash"].as_str().unwrap().len(), 32);
    let mark = site.post("/v1/cluster/snapshots").token(&site.admin()).send().await.is(201);
    assert_eq!(mark["object"], "snapshot");
    let gone = site.ask("DELETE", "/v1/cluster/members/77").token(&site.admin()).send().await;
    assert_eq!((gone.status >= 400, gone.status < 500), (true, true), "{}", gone.status);
}

#[tokio::test]
async fn health_and_metrics_need_no_token() {
    let site = Site::start().await;
    assert_eq!(site.get("/livez").send().await.is(200)["status"], "live");
    let ready = site.get("/readyz").header("authorization", "Bearer junk").send().await;
    assert_eq!(ready.is(200)["status"], "ready");
    let metrics = site.get("/metrics").send().await;
    let text = String::from_utf8(metrics.body.clone()).unwrap();
    let line = "firstcome_http_requests_total{route=\"/livez\",method=\"GET\",status=\"200\"} 1";
    assert!(text.contains(line), "{text}");
}

#[tokio::test]
async fn documents_are_served_from_the_binary() {
    let site = Site::start().await;
    let document = site.get("/openapi.json").send().await.is(200);
    assert_eq!(document["openapi"], "3.1.0");
    for path in document["paths"].as_object().unwrap().keys() {
        let probe = path.replace("{id}", "x");
        let reply = site.ask("OPTIONS", &probe).send().await;
        reply.is_problem(405, "method_not_allowed");
    }
    for (path, media) in [
        ("/docs", "text/html"),
        ("/docs/viewer.js", "text/javascript"),
        ("/docs/viewer.css", "text/css"),
        ("/docs/errors", "text/markdown"),
    ] {
        let reply = site.get(path).send().await;
        assert_eq!(reply.status, 200);
        assert!(reply.header("content-type").unwrap().starts_with(media), "{path}");
        assert!(!String::from_utf8_lossy(&reply.body).contains("https://cdn"), "{path}");
    }
}

#[tokio::test]
async fn the_noop_route_proposes_nothing() {
    let site = Site::start().await;
    let sale = site.sale(5, 5).await;
    let body = json!({ "lines": [{ "sale_id": sale["id"], "quantity": 1 }] });
    site.post("/v1/bench/noop").key("k").json(&body).send().await.is_problem(401, "token_missing");
    let before = site.node.applied().revision;
    let ask = site.post("/v1/bench/noop").token(&site.customer(1)).key("k").json(&body);
    assert_eq!(ask.send().await.is(201)["object"], "noop");
    let orders = site.get("/v1/orders").token(&site.customer(1)).send().await.is(200);
    assert_eq!(orders["data"], json!([]));
    assert!(site.node.applied().revision >= before);
}

#[tokio::test]
async fn a_connection_serves_one_request_after_another() {
    let site = Site::start().await;
    let two = b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\nGET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = String::from_utf8(site.exchange(two).await).unwrap();
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2);
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn ref57_no_secret_in_output() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let site = Site::start().await;
    let price = json!({ "amount": 100, "currency": "KRW" });
    let body = json!({ "name": "Cup", "price": price, "stock": 3 });
    let ask = site.post("/v1/admin/products").token(&site.operator()).json(&body);
    let product = ask.send().await.is(201);
    let token = site.customer(1);
    let lines = json!([{ "product_id": product["id"], "quantity": 1 }]);
    let address = json!({
        "recipient": "Hong Gildong", "phone": "010-9876-5432", "line1": "Sejong-daero 110",
    });
    let body = json!({ "lines": lines, "address": address });
    let ask = site.post("/v1/orders").token(&token).key("key-4711").json(&body);
    let order = ask.send().await;
    order.is(201);
    site.get("/v1/products?q=findme").send().await.is(200);
    site.get("/v1/orders")
        .token(&format!("{token}x"))
        .send()
        .await
        .is_problem(401, "token_invalid");
    let login = json!({ "email": "canary@secret.example", "password": "PASSWORDsecret" });
    let ask = site.post("/v1/auth/login").json(&login);
    ask.send().await.is_problem(401, "login_refused");
    let verify = json!({ "email": "canary@secret.example" });
    site.post("/v1/auth/email-verifications").json(&verify).send().await.is(202);
    site.mailed(|mail| mail.contains("canary@secret.example").then_some(())).await;
    let refresh = json!({ "refresh_token": "rft_secret" });
    let ask = site.post("/v1/auth/refresh").json(&refresh);
    ask.send().await.is_problem(401, "token_invalid");
    let text = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(text.contains("answered") && text.contains("/v1/orders"), "{text}");
    for secret in
        [token.as_str(), "Gildong", "010-9876-5432", "Sejong", "key-4711", "findme", "secret"]
    {
        assert!(!text.contains(secret), "{secret} is in the log");
    }
}

#[tokio::test]
async fn an_unread_body_leaves_the_connection_usable() {
    let site = Site::start().await;
    let body = "x".repeat(1 << 20);
    for (line, status) in [("POST /v1/nothing", 404), ("PUT /v1/orders", 405), ("GET /livez", 200)]
    {
        let length = body.len();
        let first = format!("{line} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}");
        let two = first + "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let answer = String::from_utf8(site.exchange(two.as_bytes()).await).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{line}: {answer}");
        assert!(answer.contains("{\"object\":\"health\"") || answer.contains("live"), "{answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 2, "{line}: {answer}");
    }
}

#[tokio::test]
async fn a_uri_that_is_too_long_gets_a_problem_document() {
    let site = Site::start().await;
    for length in [9_000, 20_000, 60_000] {
        let reply = site.get(&format!("/v1/products?q={}", "a".repeat(length))).send().await;
        reply.is_problem(414, "uri_too_long");
        let reply = site.get(&format!("/{}", "a".repeat(length))).send().await;
        reply.is_problem(414, "uri_too_long");
    }
}

#[tokio::test]
async fn too_many_requests_are_refused_and_told_when_to_come_back() {
    let limits = RateLimits {
        public_read_ip: Some(Rate::new(2, Duration::from_hours(1))),
        customer_account: Some(Rate::new(1, Duration::from_hours(1))),
        loopback: true,
        ..RateLimits::default()
    };
    let site = Site::start_with(ApiOptions { limits, ..ApiOptions::default() }).await;
    for left in ["r=1", "r=0"] {
        let reply = site.get("/v1/products").send().await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("ratelimit-policy"), Some("\"public-read-ip\";q=2;w=3600"));
        assert!(reply.header("ratelimit").unwrap().contains(left), "{reply:?}");
    }
    let reply = site.get("/v1/products").send().await;
    let json = reply.is_problem(429, "rate_limited");
    assert_eq!((&json["executed"], &json["retryable"]), (&json!("no"), &json!(true)));
    let wait: u32 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=1800).contains(&wait), "{wait}");
    assert!(reply.header("ratelimit").unwrap().contains("r=0"));
    // Each account has a bucket of its own, and health is never refused.
    for customer in [1, 2] {
        let token = site.customer(customer);
        assert_eq!(site.get("/v1/orders").token(&token).send().await.status, 200);
        let again = site.get("/v1/orders").token(&token).send().await;
        again.is_problem(429, "rate_limited");
    }
    let reply = site.get("/livez").send().await;
    assert_eq!((reply.status, reply.header("ratelimit")), (200, None));
}

#[tokio::test]
async fn clients_on_this_machine_are_not_limited() {
    let site = Site::start().await;
    for _ in 0..100 {
        let reply = site.get("/v1/time").send().await;
        assert_eq!((reply.status, reply.header("ratelimit")), (200, None));
    }
}
