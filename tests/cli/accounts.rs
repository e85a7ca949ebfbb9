//! Accounts and sessions on three nodes.

use std::collections::BTreeSet;
use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use crate::cluster::{Cluster, until};
use crate::http::{Request, Response};
use crate::process::{OWN, code, stderr, stdout};

const PASSWORD: &str = "correct horse battery";

fn post(cluster: &Cluster, at: usize, path: &str, token: Option<&str>, body: &Value) -> Response {
    let body = body.to_string();
    let ask = Request::post(path, &body);
    let ask = token.map_or(ask, |token| ask.by(token));
    ask.send(cluster.api(at)).expect("an answer")
}

/// The code that was mailed to an address.
fn mailed_code(cluster: &Cluster, email: &str) -> String {
    until("a mail with a code", || {
        let nodes = (0..3).map(|at| cluster.directory().join("data").join(cluster.name(at)));
        let files = nodes.filter_map(|node| std::fs::read_dir(node.join("mail")).ok()).flatten();
        let mails = files.filter_map(|file| std::fs::read_to_string(file.ok()?.path()).ok());
        let mut ours = mails.filter(|mail| mail.contains(&format!("To: {email}")));
        let is_code = |line: &&str| line.len() == 6 && line.bytes().all(|b| b.is_ascii_digit());
        ours.find_map(|mail| mail.lines().map(str::trim).find(is_code).map(str::to_owned))
    })
}

fn ask_for_code(cluster: &Cluster, email: &str) -> String {
    let body = json!({ "email": email });
    let asked = post(cluster, 0, "/v1/auth/email-verifications", None, &body);
    assert_eq!(asked.status, 202, "{asked:?}");
    mailed_code(cluster, email)
}

/// A new user, and the tokens of their first session.
fn logged_in(cluster: &Cluster, email: &str) -> Value {
    let code = ask_for_code(cluster, email);
    let body = json!({ "email": email, "code": code });
    let confirmed = post(cluster, 1, "/v1/auth/email-verifications/confirm", None, &body);
    let body = json!({
        "email": email, "password": PASSWORD, "name": "Kim", "phone": "01012345678",
        "verification_token": confirmed.text("verification_token"),
    });
    let signed_up = post(cluster, 2, "/v1/auth/sign-up", None, &body);
    assert_eq!(signed_up.status, 201, "{signed_up:?}");
    let body = json!({ "email": email, "password": PASSWORD });
    let tokens = post(cluster, 0, "/v1/auth/login", None, &body);
    assert_eq!(tokens.status, 200, "{tokens:?}");
    tokens.body
}

fn text<'v>(tokens: &'v Value, member: &str) -> &'v str {
    tokens[member].as_str().expect("a text")
}

fn me(cluster: &Cluster, at: usize, token: &str) -> Response {
    Request::get("/v1/me").by(token).send(cluster.api(at)).expect("an answer")
}

#[test]
fn the_scenario_from_sign_up_to_purchase_runs_as_it_is_written() {
    let cluster = Cluster::start(&[]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scenarios/sign-up-to-purchase.sh");
    let nodes: Vec<_> = (0..3).map(|at| format!("http://{}", cluster.api(at))).collect();
    let bin = std::path::Path::new(OWN).parent().expect("a directory").display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("bash");
    command.arg(script).current_dir(cluster.directory());
    command.env("NODES", nodes.join(" ")).env("PATH", format!("{bin}:{path}"));
    command.env("FIRSTCOME_MASTER_KEY_FILE", "master.key");
    let ran = command.output().expect("bash");
    assert_eq!(code(&ran), 0, "{}\n{}", stdout(&ran), stderr(&ran));
    assert!(stdout(&ran).contains("payment_pending"), "{}", stdout(&ran));
    assert!(stdout(&ran).contains("token_revoked\ndone: ord_"), "{}", stdout(&ran));
}

#[test]
fn refresh_eight_tabs_three_nodes() {
    let cluster = Cluster::start(&[]);
    let tokens = logged_in(&cluster, "tabs@example.com");
    let body = json!({ "refresh_token": tokens["refresh_token"] });
    let (cluster, body) = (&cluster, &body);
    let renewed: Vec<Response> = thread::scope(|scope| {
        let tabs = (0..8)
            .map(|tab| scope.spawn(move || post(cluster, tab % 3, "/v1/auth/refresh", None, body)));
        let tabs: Vec<_> = tabs.collect();
        tabs.into_iter().map(|tab| tab.join().expect("an answer")).collect()
    });
    let statuses: Vec<_> = renewed.iter().map(|tab| tab.status).collect();
    assert_eq!(statuses, [200; 8]);
    let successors: BTreeSet<_> = renewed.iter().map(|tab| tab.text("refresh_token")).collect();
    assert_eq!(successors.len(), 1, "the same successor");
    for (at, tab) in renewed.iter().enumerate() {
        assert_eq!(me(cluster, at % 3, tab.text("access_token")).status, 200);
    }
    let token = renewed[0].text("access_token");
    let list = Request::get("/v1/me/sessions").by(token).send(cluster.api(1)).expect("an answer");
    assert_eq!(list.body["data"].as_array().map(Vec::len), Some(1), "{list:?}");
}

#[test]
fn ref53_closed_session_refused_on_every_node() {
    let cluster = Cluster::start(&[]);
    let tokens = logged_in(&cluster, "out@example.com");
    let token = text(&tokens, "access_token");
    for at in 0..3 {
        assert_eq!(me(&cluster, at, token).status, 200, "node {at}");
    }
    let logout = post(&cluster, 0, "/v1/auth/logout", Some(token), &json!({}));
    assert_eq!(logout.status, 204);
    // A write is judged where it is decided, however far behind a node is.
    for at in 0..3 {
        let body = json!({ "name": "Late" }).to_string();
        let write = Request::patch("/v1/me", &body).by(token).send(cluster.api(at));
        let write = write.expect("an answer");
        assert_eq!((write.status, write.text("code")), (401, "token_revoked"), "node {at}");
        let refused = until("a read is refused", || {
            Some(me(&cluster, at, token)).filter(|read| read.status != 200)
        });
        assert_eq!((refused.status, refused.text("code")), (401, "token_revoked"), "node {at}");
    }
}

#[test]
fn refresh_reuse_closing_survives_error() {
    let cluster = Cluster::start(&[]);
    let first = logged_in(&cluster, "copied@example.com");
    let refresh = |at: usize, tokens: &Value| {
        let body = json!({ "refresh_token": tokens["refresh_token"] });
        post(&cluster, at, "/v1/auth/refresh", None, &body)
    };
    let second = refresh(1, &first).body;
    let third = refresh(2, &second).body;
    let reuse = refresh(0, &first);
    assert_eq!((reuse.status, reuse.text("code")), (401, "session_reuse"));
    for at in 0..3 {
        let after = refresh(at, &third);
        assert_eq!((after.status, after.text("code")), (401, "token_revoked"), "node {at}");
    }
}

#[test]
fn verification_race_five_tries_across_nodes() {
    let cluster = Cluster::start(&[]);
    let email = "guess@example.com";
    let right = ask_for_code(&cluster, email);
    let cluster = &cluster;
    let guess = |at: usize, code: &str| {
        let body = json!({ "email": email, "code": code });
        post(cluster, at, "/v1/auth/email-verifications/confirm", None, &body)
    };
    let guess = &guess;
    let first: u32 = right.parse().expect("a number");
    thread::scope(|scope| {
        for at in 0..6_u32 {
            let wrong = format!("{:06}", (first + 1 + at) % 1_000_000);
            scope.spawn(move || {
                let refused = guess(at as usize % 3, &wrong);
                assert_eq!((refused.status, refused.text("code")), (400, "code_invalid"));
            });
        }
    });
    let late = guess(0, &right);
    assert_eq!((late.status, late.text("code")), (400, "code_invalid"), "used up");
}

#[test]
fn stale_node_refuses_auth() {
    let mut cluster = Cluster::start(&[]);
    let tokens = logged_in(&cluster, "stale@example.com");
    let token = text(&tokens, "access_token");
    let leader = cluster.leader();
    let others: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
    let alone = others[0];
    cluster.kill(&[leader, others[1]]);
    let refused = until("the node knows that it is cut off", || {
        let path = "/v1/products";
        let read = Request::get(path).by(token).send(cluster.api(alone)).ok()?;
        (read.status == 503).then_some(read)
    });
    assert_eq!(refused.text("code"), "stale_node");
    let anyone = Request::get("/v1/products").send(cluster.api(alone)).expect("an answer");
    assert_eq!(anyone.status, 200, "the catalogue needs no session");
}
