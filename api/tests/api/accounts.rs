//! Accounts and sessions: from the first mail to the last logout.

use firstcome_api::ApiOptions;
use firstcome_domain::{Role, View as _};
use serde_json::{Value, json};

use crate::site::{Ask, Reply, Site, written};

const PASSWORD: &str = "correct horse battery";

/// The codes that were mailed to an address, oldest first.
fn codes(site: &Site, email: &str) -> Vec<String> {
    let to = format!("To: {}", email.trim().to_lowercase());
    let is_code = |line: &&str| line.len() == 6 && line.bytes().all(|b| b.is_ascii_digit());
    let mails = site.mails().into_iter().filter(|mail| mail.contains(&to));
    mails.filter_map(|mail| mail.lines().map(str::trim).find(is_code).map(str::to_owned)).collect()
}

/// The code that was mailed to an address last, once `count` were.
async fn code(site: &Site, email: &str, count: usize) -> String {
    let newest = |_: &str| codes(site, email).pop().filter(|_| codes(site, email).len() >= count);
    site.mailed(newest).await
}

fn post<'s>(site: &'s Site, path: &str, body: &Value) -> Ask<'s> {
    site.post(path).json(body)
}

async fn verified(site: &Site, email: &str) -> String {
    let (body, before) = (json!({ "email": email }), codes(site, email).len());
    post(site, "/v1/auth/email-verifications", &body).send().await.is(202);
    let body = json!({ "email": email, "code": code(site, email, before + 1).await });
    let confirmed = post(site, "/v1/auth/email-verifications/confirm", &body).send().await.is(200);
    confirmed["verification_token"].as_str().unwrap().to_owned()
}

fn sign_up_body(email: &str, token: &str) -> Value {
    json!({
        "email": email, "password": PASSWORD, "name": "Kim \u{c724}", "phone": "010-1234-5678",
        "verification_token": token,
    })
}

async fn signed_up(site: &Site, email: &str) -> Value {
    let token = verified(site, email).await;
    post(site, "/v1/auth/sign-up", &sign_up_body(email, &token)).send().await.is(201)
}

fn login<'s>(site: &'s Site, email: &str, password: &str) -> Ask<'s> {
    post(site, "/v1/auth/login", &json!({ "email": email, "password": password }))
}

async fn logged_in(site: &Site, email: &str) -> Value {
    login(site, email, PASSWORD).send().await.is(200)
}

fn access(tokens: &Value) -> &str {
    tokens["access_token"].as_str().unwrap()
}

fn refresh<'s>(site: &'s Site, tokens: &Value) -> Ask<'s> {
    post(site, "/v1/auth/refresh", &json!({ "refresh_token": tokens["refresh_token"] }))
}

async fn me(site: &Site, tokens: &Value) -> Reply {
    site.get("/v1/me").token(access(tokens)).send().await
}

/// The first admin, logged in.
async fn admin(site: &Site) -> Value {
    let body = json!({
        "email": "root@example.com", "password": PASSWORD, "name": "Root", "phone": "01012345678"
    });
    post(site, "/v1/admin/bootstrap", &body).token(&site.admin()).send().await.is(201);
    logged_in(site, "root@example.com").await
}

async fn manage(site: &Site, by: &str, id: &Value, change: &Value) -> Reply {
    let path = format!("/v1/admin/users/{}", id.as_str().unwrap());
    let user = site.get(&path).token(by).send().await;
    let tag = user.header("etag").unwrap().to_owned();
    site.ask("PATCH", &path).token(by).header("if-match", &tag).json(change).send().await
}

#[tokio::test]
async fn from_a_mail_to_a_purchase_and_out_again() {
    let site = Site::start().await;
    let user = signed_up(&site, "Kim@Example.com ").await;
    assert_eq!((&user["object"], &user["role"]), (&json!("user"), &json!("customer")));
    assert_eq!(
        (&user["email"], &user["name"]),
        (&json!("kim@example.com"), &json!("Kim \u{c724}"))
    );
    let tokens = logged_in(&site, "kim@example.com").await;
    assert_eq!(
        (&tokens["token_type"], &tokens["expires_in_seconds"]),
        (&json!("Bearer"), &json!(600))
    );
    assert_eq!(tokens["user_id"], user["id"]);
    let shown = me(&site, &tokens).await.is(200);
    for member in ["id", "email", "name", "phone", "role", "created_at"] {
        assert_eq!(shown[member], user[member], "{member}");
    }
    let sale = site.sale(3, 1).await;
    let order = json!({ "lines": [{ "sale_id": sale["id"], "quantity": 1 }] });
    let buy = || site.post("/v1/orders").token(access(&tokens)).key("one").json(&order);
    let bought = buy().send().await.is(201);
    assert_eq!(bought["customer_id"], user["id"]);
    let logout = || site.post("/v1/auth/logout").token(access(&tokens));
    for _ in 0..2 {
        assert_eq!(logout().send().await.status, 204, "repeatable");
    }
    me(&site, &tokens).await.is_problem(401, "token_revoked");
    buy().send().await.is_problem(401, "token_revoked");
    refresh(&site, &tokens).send().await.is_problem(401, "token_revoked");
    // The same key, in another session of the same user.
    let tokens = logged_in(&site, "kim@example.com").await;
    let again = site.post("/v1/orders").token(access(&tokens)).key("one").json(&order);
    let again = again.send().await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.is(201)["id"], bought["id"]);
}

#[tokio::test]
async fn ref48_code_never_in_a_reply() {
    let site = Site::start().await;
    let body = json!({ "email": "a@example.com" });
    let asked = post(&site, "/v1/auth/email-verifications", &body).send().await;
    assert_eq!((asked.status, asked.body.as_slice()), (202, b"{}".as_slice()));
    let code = code(&site, "a@example.com", 1).await;
    let headers = format!("{:?}", asked.headers);
    assert!(!headers.contains(&code), "{headers}");
}

#[tokio::test]
async fn a_known_address_gets_the_same_response_and_another_mail() {
    let site = Site::start().await;
    signed_up(&site, "a@example.com").await;
    let body = |email| json!({ "email": email });
    let ask = |email| post(&site, "/v1/auth/password-resets", &body(email)).send();
    let (known, unknown) = (ask("a@example.com").await, ask("b@example.com").await);
    assert_eq!((known.status, &known.body), (unknown.status, &unknown.body));
    assert_eq!(ask("a@example.com").await.status, 202, "too soon, which would tell");
    let names =
        |reply: &Reply| reply.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&known), names(&unknown));
    let verify = |email| post(&site, "/v1/auth/email-verifications", &body(email)).send();
    for email in ["a@example.com", "c@example.com"] {
        assert_eq!(verify(email).await.is(202), json!({}));
        let soon = verify(email).await;
        soon.is_problem(429, "code_too_soon");
        assert_eq!(soon.header("retry-after"), Some("60"));
    }
    site.mailed(|mail| mail.contains("already have an account").then_some(())).await;
    assert!(!site.mails().iter().any(|mail| mail.contains("To: b@example.com")));
}

#[tokio::test]
async fn sign_up_is_refused_with_every_wrong_field_at_once() {
    let site = Site::start().await;
    let body = json!({
        "email": "no address", "password": "short", "name": " ", "phone": "1",
        "verification_token": "x",
        "address": { "recipient": "", "phone": "2", "line1": "", "country": "Korea" },
    });
    let problem = post(&site, "/v1/auth/sign-up", &body).send().await;
    let problem = problem.is_problem(422, "validation_failed");
    let pointers: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|e| &e["pointer"]).collect();
    for pointer in
        ["/email", "/password", "/name", "/phone", "/address/recipient", "/address/phone"]
    {
        assert!(pointers.contains(&&json!(pointer)), "{pointer} in {pointers:?}");
    }
    for (password, code) in [
        ("x".repeat(129).as_str(), "too_long"),
        ("password123", "too_common"),
        ("longlocal", "too_common"),
        ("Firstcome", "too_common"),
    ] {
        let mut body = sign_up_body("longlocal@example.com", "x");
        body["password"] = json!(password);
        let problem = post(&site, "/v1/auth/sign-up", &body).send().await;
        let problem = problem.is_problem(422, "validation_failed");
        let error = &problem["errors"][0];
        assert_eq!((&error["pointer"], &error["code"]), (&json!("/password"), &json!(code)));
    }
    let body = sign_up_body("a@example.com", "x");
    post(&site, "/v1/auth/sign-up", &body).send().await.is_problem(403, "email_unverified");
    let mut unknown = body.clone();
    unknown["role"] = json!("admin");
    post(&site, "/v1/auth/sign-up", &unknown).send().await.is_problem(422, "validation_failed");
}

#[tokio::test]
async fn a_sign_up_can_be_repeated_with_its_key_and_not_without() {
    let site = Site::start().await;
    let token = verified(&site, "a@example.com").await;
    let mut body = sign_up_body("a@example.com", &token);
    body["address"] = json!({ "recipient": "Kim", "phone": "01012345678", "line1": "1" });
    let sign_up = || post(&site, "/v1/auth/sign-up", &body).key("k");
    let first = sign_up().send().await;
    let again = sign_up().send().await;
    assert_eq!((first.status, &first.body), (201, &again.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    post(&site, "/v1/auth/sign-up", &body).send().await.is_problem(403, "email_unverified");
    let tokens = logged_in(&site, "a@example.com").await;
    let addresses = site.get("/v1/me/addresses").token(access(&tokens)).send().await.is(200);
    assert_eq!(addresses["data"][0]["is_default"], json!(true));
}

#[tokio::test]
async fn login_unknown_and_known_same_shape_and_time() {
    let site = Site::start().await;
    signed_up(&site, "a@example.com").await;
    let wrong = login(&site, "a@example.com", "another password").send().await;
    let unknown = login(&site, "b@example.com", "another password").send().await;
    let shape = |reply: &Reply| {
        let mut json = reply.is_problem(401, "login_refused");
        json["request_id"].take();
        (json, reply.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>())
    };
    assert_eq!(shape(&wrong), shape(&unknown));
}

#[tokio::test]
async fn wrong_passwords_are_throttled_and_a_reset_ends_that() {
    let site = Site::start().await;
    signed_up(&site, "a@example.com").await;
    for email in ["a@example.com", "nobody@example.com"] {
        let mut refused = 0;
        // Failures are counted after the response.
        let throttled = loop {
            let wrong = login(&site, email, "another password").send().await;
            if wrong.status != 401 {
                break wrong;
            }
            wrong.is_problem(401, "login_refused");
            refused += 1;
            assert!(refused < 50, "{email}");
        };
        assert!(refused >= 6, "{refused} {email}");
        throttled.is_problem(429, "login_throttled");
        assert!(throttled.header("retry-after").is_some_and(|wait| wait != "0"));
    }
    let body = json!({ "email": "a@example.com" });
    post(&site, "/v1/auth/password-resets", &body).send().await.is(202);
    let token = site.mailed(|mail| Some(mail.split_once("rst_")?.1.to_owned())).await;
    let token: String = token
        .replace("=\r\n", "")
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || "._-".contains(*c))
        .collect();
    let body =
        json!({ "reset_token": format!("rst_{token}"), "new_password": "quite another one" });
    let confirm = || post(&site, "/v1/auth/password-resets/confirm", &body);
    assert_eq!(confirm().send().await.status, 204);
    confirm().send().await.is_problem(400, "code_invalid");
    login(&site, "a@example.com", "quite another one").send().await.is(200);
}

#[tokio::test]
async fn a_refresh_token_renews_once_and_ends_the_session_when_it_is_copied() {
    let site = Site::start().await;
    signed_up(&site, "a@example.com").await;
    let first = logged_in(&site, "a@example.com").await;
    let second = refresh(&site, &first).send().await.is(200);
    assert_eq!(second["session_id"], first["session_id"]);
    // Another tab renews with the same token, and gets the same successor.
    let tab = refresh(&site, &first).send().await.is(200);
    assert_eq!(tab["refresh_token"], second["refresh_token"]);
    me(&site, &tab).await.is(200);
    let third = refresh(&site, &second).send().await.is(200);
    let copied = refresh(&site, &first).send().await;
    copied.is_problem(401, "session_reuse");
    me(&site, &third).await.is_problem(401, "token_revoked");
    refresh(&site, &third).send().await.is_problem(401, "token_revoked");
}

#[tokio::test]
async fn bad_mac_closes_nothing() {
    let site = Site::start().await;
    signed_up(&site, "a@example.com").await;
    let tokens = logged_in(&site, "a@example.com").await;
    let good = tokens["refresh_token"].as_str().unwrap();
    let (head, mac) = good.rsplit_once('.').unwrap();
    let (session, _) = head.rsplit_once('.').unwrap();
    let flipped = if mac.starts_with('A') { 'B' } else { 'A' };
    for bad in [
        format!("{head}.{flipped}{}", &mac[1..]),
        format!("{session}.1.{mac}"),
        head.to_owned(),
        String::new(),
        format!("{good}."),
    ] {
        let problem = refresh(&site, &json!({ "refresh_token": bad })).send().await;
        problem.is_problem(401, "token_invalid");
    }
    me(&site, &tokens).await.is(200);
    refresh(&site, &tokens).send().await.is(200);
}

#[tokio::test]
async fn a_user_changes_their_profile_and_password_and_ends_other_sessions() {
    let site = Site::start().await;
    signed_up(&site, "a@example.com").await;
    let here = logged_in(&site, "a@example.com").await;
    let there = logged_in(&site, "a@example.com").await;
    let patch = |body: Value| site.ask("PATCH", "/v1/me").token(access(&here)).json(&body);
    let changed = patch(json!({ "name": "New" })).send().await.is(200);
    assert_eq!((&changed["name"], &changed["phone"]), (&json!("New"), &json!("010-1234-5678")));
    let stale = patch(json!({ "name": "Old" })).header("if-match", "\"1\"").send().await;
    stale.is_problem(412, "version_mismatch");
    patch(json!({ "phone": "x" })).send().await.is_problem(422, "validation_failed");
    let list = site.get("/v1/me/sessions").token(access(&here)).send().await.is(200);
    let sessions = list["data"].as_array().unwrap();
    let current: Vec<_> = sessions.iter().map(|session| session["current"] == true).collect();
    assert_eq!(current, [false, true]);
    let change = |current: &str, new: &str| {
        let body = json!({ "current_password": current, "new_password": new });
        post(&site, "/v1/me/password", &body).token(access(&here)).send()
    };
    change("another password", "quite another one").await.is_problem(401, "login_refused");
    change(PASSWORD, "short").await.is_problem(422, "validation_failed");
    assert_eq!(change(PASSWORD, "quite another one").await.status, 204);
    me(&site, &here).await.is(200);
    me(&site, &there).await.is_problem(401, "token_revoked");
    login(&site, "a@example.com", PASSWORD).send().await.is_problem(401, "login_refused");
    let new = login(&site, "a@example.com", "quite another one").send().await.is(200);
    let ended = format!("/v1/me/sessions/{}", new["session_id"].as_str().unwrap());
    let end = || site.ask("DELETE", &ended).token(access(&here));
    assert_eq!(end().send().await.status, 204);
    end().send().await.is_problem(404, "not_found");
    me(&site, &new).await.is_problem(401, "token_revoked");
}

#[tokio::test]
async fn epoch_bump_kills_all_sessions() {
    let site = Site::start().await;
    let root = admin(&site).await;
    let user = signed_up(&site, "a@example.com").await;
    let tokens = [logged_in(&site, "a@example.com").await, logged_in(&site, "a@example.com").await];
    let tool = site.keys.mint(user["id"].as_str().unwrap().parse().unwrap(), Role::Customer, 600);
    let blocked = manage(&site, access(&root), &user["id"], &json!({ "blocked": true })).await;
    assert_eq!(blocked.is(200)["status"], "blocked");
    for tokens in &tokens {
        me(&site, tokens).await.is_problem(403, "user_blocked");
        refresh(&site, tokens).send().await.is_problem(401, "token_revoked");
    }
    site.get("/v1/me").token(&tool).send().await.is_problem(403, "user_blocked");
    login(&site, "a@example.com", PASSWORD).send().await.is_problem(401, "login_refused");
    manage(&site, access(&root), &user["id"], &json!({ "blocked": false })).await.is(200);
    me(&site, &tokens[0]).await.is_problem(401, "token_revoked");
    let tokens = logged_in(&site, "a@example.com").await;
    me(&site, &tokens).await.is(200);
}

#[tokio::test]
async fn a_role_counts_from_the_next_request_on() {
    let site = Site::start().await;
    let root = admin(&site).await;
    let user = signed_up(&site, "a@example.com").await;
    let tokens = logged_in(&site, "a@example.com").await;
    let find = || site.get("/v1/admin/users?email=a%40example.com").token(access(&tokens)).send();
    find().await.is_problem(403, "permission_denied");
    let promoted = manage(&site, access(&root), &user["id"], &json!({ "role": "admin" })).await;
    assert_eq!(promoted.is(200)["role"], "admin");
    let shown = find().await.is(200);
    assert_eq!(shown["data"][0]["email"], "a***@e***.com");
    assert_eq!(shown["data"].as_array().unwrap().len(), 1);
    let root_id = &root["user_id"];
    manage(&site, access(&tokens), root_id, &json!({ "role": "customer" })).await.is(200);
    find().await.is(200);
    let last = manage(&site, access(&tokens), &user["id"], &json!({ "blocked": true })).await;
    last.is_problem(409, "last_admin");
    let wrong = manage(&site, access(&tokens), &user["id"], &json!({ "role": "root" })).await;
    wrong.is_problem(422, "validation_failed");
    let staff = site.get("/v1/admin/users?role=admin").token(access(&tokens)).send().await.is(200);
    assert_eq!(staff["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn setup_token_dead_after_first_admin() {
    let site = Site::start().await;
    let root = admin(&site).await;
    let body = json!({
        "email": "x@example.com", "password": PASSWORD, "name": "X", "phone": "01012345678"
    });
    let again = post(&site, "/v1/admin/bootstrap", &body);
    again.token(&site.admin()).send().await.is_problem(409, "admin_exists");
    let by_session = post(&site, "/v1/admin/bootstrap", &body).token(access(&root)).send().await;
    by_session.is_problem(403, "permission_denied");
    let by_operator = post(&site, "/v1/admin/bootstrap", &body).token(&site.operator());
    by_operator.send().await.is_problem(403, "permission_denied");
}

#[tokio::test]
async fn a_shops_server_gets_tokens_for_its_customers() {
    let site = Site::start().await;
    let root = admin(&site).await;
    let issue = |body: Value| post(&site, "/v1/admin/tokens", &body).token(access(&root)).send();
    let issued = issue(json!({ "external_subject": "alice", "ttl_seconds": 60 })).await.is(201);
    let again = issue(json!({ "external_subject": "alice", "issuer": "self", "ttl_seconds": 60 }));
    assert_eq!(again.await.is(201)["user_id"], issued["user_id"]);
    let by_id = issue(json!({ "user_id": issued["user_id"], "ttl_seconds": 60 })).await.is(201);
    let me = site.get("/v1/me").token(access(&by_id)).send().await.is(200);
    assert_eq!((&me["id"], &me["email"]), (&issued["user_id"], &Value::Null));
    let cluster = site.get("/v1/cluster").token(access(&by_id)).send().await;
    cluster.is_problem(403, "permission_denied");
    for body in [
        json!({ "ttl_seconds": 60 }),
        json!({ "external_subject": "", "ttl_seconds": 60 }),
        json!({ "external_subject": "alice", "issuer": "https://other", "ttl_seconds": 60 }),
        json!({ "user_id": "alice", "ttl_seconds": 60 }),
        json!({ "external_subject": "alice", "ttl_seconds": 0 }),
        json!({ "external_subject": "alice", "ttl_seconds": 3601 }),
        json!({ "external_subject": "alice", "ttl_seconds": -5 }),
    ] {
        issue(body).await.is_problem(422, "validation_failed");
    }
    let staff = issue(json!({ "user_id": root["user_id"], "ttl_seconds": 60 })).await;
    staff.is_problem(422, "validation_failed");
    manage(&site, access(&root), &issued["user_id"], &json!({ "blocked": true })).await.is(200);
    site.get("/v1/me").token(access(&by_id)).send().await.is_problem(403, "user_blocked");
}

#[tokio::test]
async fn logout_needs_the_token_of_a_session() {
    let site = Site::start().await;
    let logout = || site.post("/v1/auth/logout");
    logout().send().await.is_problem(401, "token_missing");
    logout().token("x.y.z").send().await.is_problem(401, "token_invalid");
    logout().token(&site.customer(1)).send().await.is_problem(401, "token_invalid");
}

#[tokio::test]
async fn mails_that_wait_or_failed_are_listed_without_what_they_say() {
    let mut options = ApiOptions::default();
    options.mail.transport = "smtp".parse().unwrap();
    options.mail.smtp.host = "127.0.0.1".to_owned();
    options.mail.smtp.port = 1;
    options.mail.smtp.tls = "none".parse().unwrap();
    let site = Site::start_with(options).await;
    let body = json!({ "email": "secret.name@example.com" });
    post(&site, "/v1/auth/email-verifications", &body).send().await.is(202);
    let list = || site.get("/v1/admin/effects?state=waiting").token(&site.operator()).send();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    let tried = loop {
        let reply = list().await;
        assert!(!String::from_utf8_lossy(&reply.body).contains("secret"));
        let list = reply.is(200);
        if list["data"][0]["attempts"].as_u64() > Some(0) {
            break list;
        }
        assert!(tokio::time::Instant::now() < deadline, "{list}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    let effect = &tried["data"][0];
    assert_eq!((&effect["kind"], &effect["subject"]), (&json!("mail"), &json!("code")));
    assert_eq!(
        (&effect["state"], &effect["last_code"]),
        (&json!("waiting"), &json!("smtp_unreachable"))
    );
    assert_eq!(tried["breakers"][0]["kind"], "mail");
    let metrics = site.get("/metrics").send().await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    let failures = metrics.lines().find_map(|line| line.strip_prefix("firstcome_mail_failures "));
    assert!(failures.is_some_and(|count| count != "0"), "{metrics}");
    assert!(metrics.contains("\nfirstcome_mail_held_back "), "{metrics}");
    let failed = site.get("/v1/admin/effects?state=failed").token(&site.operator()).send().await;
    assert_eq!(failed.is(200)["data"], json!([]));
    let wrong = site.get("/v1/admin/effects?state=lost").token(&site.operator()).send().await;
    wrong.is_problem(422, "validation_failed");
    let customer = site.get("/v1/admin/effects").token(&site.customer(1)).send().await;
    customer.is_problem(403, "permission_denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn canary_pii_absent_from_log_snapshot_redb_traces() {
    let site = Site::start().await;
    site.product("Canary cup", 1).await;
    let email = "canary.kim@secretmail.example";
    let token = verified(&site, email).await;
    let code = code(&site, email, 1).await;
    let mut body = sign_up_body(email, &token);
    body["name"] = json!("NAMEsecret");
    body["phone"] = json!("010-9876-5432");
    body["password"] = json!("PASSWORDsecret");
    post(&site, "/v1/auth/sign-up", &body).key("k").send().await.is(201);
    let tokens = login(&site, email, "PASSWORDsecret").send().await.is(200);
    let renewed = refresh(&site, &tokens).send().await.is(200);
    let reset = json!({ "email": email });
    post(&site, "/v1/auth/password-resets", &reset).send().await.is(202);
    let link = site.mailed(|mail| Some(mail.split_once("rst_")?.1[..40].to_owned())).await;
    let change = json!({ "current_password": "PASSWORDsecret", "new_password": "PASSNEWsecret" });
    let change = post(&site, "/v1/me/password", &change).token(access(&renewed));
    assert_eq!(change.send().await.status, 204);
    login(&site, email, "wrongsecret").send().await.is_problem(401, "login_refused");
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
    let part = |tokens: &Value, name: &str| tokens[name].as_str().unwrap().to_owned();
    let tokens = ["access_token", "refresh_token"].map(|name| part(&tokens, name));
    let words = [email, "canary.kim", "NAMEsecret", "010-9876-5432", "secret", "$argon2"];
    let secrets = words.map(str::to_owned).into_iter().chain(tokens).chain([token, code, link]);
    for secret in secrets {
        for (name, bytes) in &written {
            assert!(!holds(bytes, &secret), "{secret} is in {name}");
        }
    }
}

#[tokio::test]
async fn staff_see_personal_data_with_a_reason_that_the_audit_log_keeps() {
    let site = Site::start().await;
    let root = admin(&site).await;
    let user = signed_up(&site, "a@example.com").await;
    let tokens = logged_in(&site, "a@example.com").await;
    let price = json!({ "amount": 100, "currency": "KRW" });
    let cup = json!({ "name": "Cup", "price": price, "stock": 3 });
    let cup = post(&site, "/v1/admin/products", &cup).token(access(&root)).send().await.is(201);
    let lines = json!([{ "product_id": cup["id"], "quantity": 1 }]);
    let address = json!({ "recipient": "Kim", "phone": "01012345678", "line1": "Sejong-daero" });
    let body = json!({ "lines": lines, "address": address });
    let order = post(&site, "/v1/orders", &body).token(access(&tokens)).key("k").send().await;
    let order = order.is(201);
    let support = site.token(77, Role::Support);
    let path =
        |kind: &str, id: &Value| format!("/v1/admin/{kind}/{}/reveals", id.as_str().unwrap());
    let reveal = |path: String, token: &str, reason: &str| {
        post(&site, &path, &json!({ "reason": reason })).token(token).send()
    };
    let of_order = path("orders", &order["id"]);
    let shown = reveal(of_order.clone(), &support, "parcel came back").await.is(201);
    assert_eq!(shown["address"]["line1"], "Sejong-daero");
    let shown = reveal(path("users", &user["id"]), &support, "called us").await.is(201);
    assert_eq!((&shown["email"], &shown["phone"]), (&json!("a@example.com"), &user["phone"]));
    for reason in ["", "  ", &"x".repeat(201)] {
        let refused = reveal(of_order.clone(), &support, reason).await;
        refused.is_problem(422, "validation_failed");
    }
    let customer = reveal(of_order.clone(), access(&tokens), "curious").await;
    customer.is_problem(403, "permission_denied");
    let none = path("orders", &json!("ord_00000000000000000000000001"));
    reveal(none, &support, "x").await.is_problem(404, "not_found");

    let list = |query: &str, token: &str| {
        site.get(&format!("/v1/admin/audit-log{query}")).token(token).send()
    };
    list("", &support).await.is_problem(403, "permission_denied");
    let log = list("?order=asc&limit=2", access(&root)).await.is(200);
    let cursor = format!("?order=asc&limit=2&cursor={}", log["next_cursor"].as_str().unwrap());
    let rest = list(&cursor, access(&root)).await.is(200);
    let entries: Vec<_> =
        [&log, &rest].iter().flat_map(|page| page["data"].as_array().unwrap().clone()).collect();
    let said =
        |entry: &Value| (entry["action"].clone(), entry["target"].clone(), entry["reason"].clone());
    assert_eq!(
        entries.iter().map(said).collect::<Vec<_>>(),
        [
            (json!("AdminBootstrap"), root["user_id"].clone(), Value::Null),
            (json!("ProductCreate"), cup["id"].clone(), Value::Null),
            (json!("OrderReveal"), order["id"].clone(), json!("parcel came back")),
            (json!("UserReveal"), user["id"].clone(), json!("called us")),
        ]
    );
    for pair in entries.windows(2) {
        assert_eq!(pair[1]["previous"], pair[0]["hash"]);
    }
    let newest = list("?limit=1", access(&root)).await.is(200);
    assert_eq!(newest["data"][0]["seq"], 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn erase_makes_old_rows_unreadable() {
    let site = Site::start().await;
    let root = admin(&site).await;
    let user = signed_up(&site, "a@example.com").await;
    let tokens = logged_in(&site, "a@example.com").await;
    let price = json!({ "amount": 100, "currency": "KRW" });
    let cup = json!({ "name": "Cup", "price": price, "stock": 3 });
    let cup = post(&site, "/v1/admin/products", &cup).token(access(&root)).send().await.is(201);
    let address = json!({ "recipient": "Kim", "phone": "01012345678", "line1": "Sejong-daero" });
    let saved = post(&site, "/v1/me/addresses", &address).token(access(&tokens)).send().await;
    saved.is(201);
    let lines = json!([{ "product_id": cup["id"], "quantity": 1 }]);
    let body = json!({ "lines": lines, "address": address });
    let order = post(&site, "/v1/orders", &body).token(access(&tokens)).key("k").send().await;
    let order = order.is(201);
    let item = format!("/v1/me/wishlist/{}", cup["id"].as_str().unwrap());
    let ask = site.ask("PUT", &item).token(access(&tokens)).json(&json!({ "quantity": 2 }));
    ask.send().await.is(200);

    let export = site.get("/v1/me/export").token(access(&tokens)).send().await.is(200);
    assert_eq!(export["user"]["email"], "a@example.com");
    assert_eq!(export["addresses"][0]["line1"], "Sejong-daero");
    assert_eq!(export["orders"][0]["address"]["line1"], "Sejong-daero");
    assert_eq!(export["wishlist"][0], json!({ "target_id": cup["id"], "quantity": 2 }));
    assert_eq!(export["sessions"][0]["current"], json!(true));

    let erase = || site.ask("DELETE", "/v1/me").token(access(&tokens)).send();
    erase().await.is_problem(409, "orders_open");
    let cancel = format!("/v1/orders/{}/cancellations", order["id"].as_str().unwrap());
    let cancel = site.post(&cancel).token(access(&tokens)).key("c").json(&json!({}));
    cancel.send().await.is(201);
    let key_before = {
        let id: firstcome_domain::UserId = user["id"].as_str().unwrap().parse().unwrap();
        let row = site.node.read(|rows| rows.get::<firstcome_domain::user::User>(id)).unwrap();
        row.unwrap().account.clone().unwrap().data_key.0
    };
    let person = format!("/v1/admin/users/{}/reveals", user["id"].as_str().unwrap());
    let reveal_keyed = || {
        let body = json!({ "reason": "x" });
        post(&site, &person, &body).token(access(&root)).key("reveal").send()
    };
    assert_eq!(reveal_keyed().await.is(201)["email"], "a@example.com");
    assert_eq!(erase().await.status, 204);
    me(&site, &tokens).await.is_problem(403, "user_blocked");
    // The repeat is a reveal of its own: no receipt shows the person again.
    assert_eq!(reveal_keyed().await.is(201)["email"], Value::Null);
    login(&site, "a@example.com", PASSWORD).send().await.is_problem(401, "login_refused");
    let reveal = format!("/v1/admin/orders/{}/reveals", order["id"].as_str().unwrap());
    let reveal = post(&site, &reveal, &json!({ "reason": "x" })).token(access(&root)).send().await;
    assert_eq!(reveal.is(201)["address"], Value::Null);
    let path = format!("/v1/admin/users/{}", user["id"].as_str().unwrap());
    let shown = site.get(&path).token(access(&root)).send().await.is(200);
    assert_eq!((&shown["status"], &shown["email"]), (&json!("erased"), &Value::Null));
    let again = manage(&site, access(&root), &user["id"], &json!({ "blocked": false })).await;
    again.is_problem(404, "not_found");
    // The address is free again, and belongs to somebody else.
    let next = signed_up(&site, "a@example.com").await;
    assert_ne!(next["id"], user["id"]);
    let by_admin = site.ask("DELETE", &format!("/v1/admin/users/{}", next["id"].as_str().unwrap()));
    let by_admin = by_admin.token(access(&root)).header("if-match", "\"1\"").send().await;
    assert_eq!(by_admin.status, 204);
    let last = site.ask("DELETE", "/v1/me").token(access(&root)).send().await;
    last.is_problem(409, "last_admin");

    // The rows are gone, and with them the key of what old copies hold.
    site.node.snapshot().await.unwrap();
    let dir = site.stop().await;
    let files = written(&dir.path().join("n1"));
    let (_, snapshot) = files.iter().find(|(name, _)| name == "snapshot").unwrap();
    let holds = snapshot.windows(key_before.len()).any(|window| window == key_before);
    assert!(!holds, "the key is still in the snapshot");
}
