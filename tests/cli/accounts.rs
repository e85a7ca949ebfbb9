//! Accounts and sessions on three nodes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use serde_json::{Value, json};

use crate::cluster::{Cluster, until};
use crate::http::{Request, Response};
use crate::node::development_node;
use crate::process::{OWN, code, firstcome, run, stderr, stdout};

const PASSWORD: &str = "correct horse battery";

fn post(cluster: &Cluster, at: usize, path: &str, token: Option<&str>, body: &Value) -> Response {
    let body = body.to_string();
    let ask = Request::post(path, &body);
    let ask = token.map_or(ask, |token| ask.by(token));
    ask.send(cluster.api(at)).expect("an answer")
}

/// The code that was mailed to an address, by a node with one of these data directories.
fn mailed_code(data: &[PathBuf], email: &str) -> String {
    until("a mail with a code", || {
        let files = data.iter().filter_map(|node| std::fs::read_dir(node.join("mail")).ok());
        let mails =
            files.flatten().filter_map(|file| std::fs::read_to_string(file.ok()?.path()).ok());
        let mut ours = mails.filter(|mail| mail.contains(&format!("To: {email}")));
        let is_code = |line: &&str| line.len() == 6 && line.bytes().all(|b| b.is_ascii_digit());
        ours.find_map(|mail| mail.lines().map(str::trim).find(is_code).map(str::to_owned))
    })
}

fn ask_for_code(cluster: &Cluster, email: &str) -> String {
    let body = json!({ "email": email });
    let asked = post(cluster, 0, "/v1/auth/email-verifications", None, &body);
    assert_eq!(asked.status, 202, "{asked:?}");
    let data = cluster.directory().join("data");
    mailed_code(&[0, 1, 2].map(|at| data.join(cluster.name(at))), email)
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
    let bin = Path::new(OWN).parent().expect("a directory").display().to_string();
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

/// A user of the command line: a directory with the file of the session and that of the password.
struct Terminal<'d> {
    directory: &'d Path,
    url: String,
}

impl<'d> Terminal<'d> {
    fn new(directory: &'d Path, address: &str) -> Self {
        std::fs::write(directory.join("password.txt"), PASSWORD).expect("a file");
        Self { directory, url: format!("http://{address}") }
    }

    /// Runs a command that should end with `exit`; all it printed.
    fn types(&self, exit: i32, command: &str) -> String {
        let arguments: Vec<&str> = command.split(' ').chain(["--url", &self.url]).collect();
        let output = run(self.directory, &arguments);
        let text = stdout(&output) + &stderr(&output);
        assert_eq!(code(&output), exit, "{command}: {text}");
        text
    }

    fn user_id(&self) -> String {
        let user: Value = serde_json::from_str(&self.types(0, "whoami --json")).expect("JSON");
        text(&user, "id").to_owned()
    }

    /// Makes the access token one that no node takes, as if it had expired.
    fn spoil_access_token(&self) {
        let path = self.directory.join("session.json");
        let file = std::fs::read(&path).expect("the session");
        let mut file: Value = serde_json::from_slice(&file).expect("JSON");
        file["sessions"][&self.url]["access_token"] = json!("spoilt");
        std::fs::write(&path, file.to_string()).expect("the session");
    }
}

#[test]
fn accounts_are_managed_from_the_command_line() {
    let [shop, home] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let (_node, address) = development_node(shop.path());
    let ann = Terminal::new(shop.path(), &address);
    let bob = Terminal::new(home.path(), &address);
    let create = "admin create --name Ann --phone 01012345678 --password-file password.txt --email";
    ann.types(0, &format!("{create} Ann@Example.com"));
    let second = ann.types(1, &format!("{create} eve@example.com"));
    assert!(second.contains("there is an admin already (admin_exists)"), "{second}");
    ann.types(0, "login --email ann@example.com --password-file password.txt");

    let send = |path: &str, body: Value| {
        let response = Request::post(path, &body.to_string()).send(&address).expect("an answer");
        assert!(response.status < 300, "{response:?}");
        response
    };
    send("/v1/auth/email-verifications", json!({ "email": "bob@example.com" }));
    let code = mailed_code(&[shop.path().join("data")], "bob@example.com");
    let confirm = json!({ "email": "bob@example.com", "code": code });
    let confirmed = send("/v1/auth/email-verifications/confirm", confirm);
    send(
        "/v1/auth/sign-up",
        json!({
            "email": "bob@example.com", "password": PASSWORD, "name": "Bob", "phone": "01012345678",
            "verification_token": confirmed.text("verification_token"),
        }),
    );
    let log_in = "login --email bob@example.com --password-file password.txt";
    bob.types(0, log_in);
    let id = bob.user_id();

    let denied = bob.types(1, "customer list");
    assert!(denied.contains("permission_denied") && denied.contains("--as admin"), "{denied}");
    let listed = ann.types(0, "customer list --email BOB@example.com");
    assert!(listed.contains(&id) && listed.contains("b***@e***.com"), "{listed}");
    assert!(!listed.contains("bob@"), "{listed}");
    assert_eq!(
        ann.types(0, &format!("customer role {id} support")),
        format!("{id} has the role support\n")
    );
    bob.types(0, "order list --staff");
    let last = ann.types(1, &format!("customer role {} customer", ann.user_id()));
    assert!(last.contains("last_admin"), "{last}");

    assert_eq!(ann.types(0, &format!("customer block {id}")), format!("{id} is blocked\n"));
    let blocked = bob.types(1, "order list --staff");
    assert!(blocked.contains("user_blocked") && !blocked.contains("--as"), "{blocked}");
    let refused = bob.types(1, log_in);
    assert!(refused.contains("login_refused"), "{refused}");
    ann.types(0, &format!("customer unblock {id}"));
    let ended = bob.types(1, "order list --staff");
    assert!(ended.contains("the session of bob@example.com at"), "{ended}");
    bob.types(0, log_in);

    let sessions: Value = serde_json::from_str(&bob.types(0, "session list --json")).expect("JSON");
    assert_eq!(sessions["data"].as_array().map(Vec::len), Some(1), "{sessions}");
    bob.types(0, &format!("session end {}", text(&sessions["data"][0], "id")));
    assert!(bob.types(1, "whoami").contains("log in again"));
    bob.types(0, "logout");
}

#[test]
fn commands_at_the_same_time_refresh_one_session() {
    let here = tempfile::tempdir().expect("a directory");
    let (_node, address) = development_node(here.path());
    let ann = Terminal::new(here.path(), &address);
    ann.types(
        0,
        "admin create --name Ann --phone 01012345678 --password-file password.txt --email a@b.c",
    );
    ann.types(0, "login --email a@b.c --password-file password.txt");
    for _ in 0..3 {
        ann.spoil_access_token();
        let started = [(); 4].map(|()| {
            let mut command = firstcome(here.path(), &["whoami", "--url", &ann.url]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
        });
        for process in started {
            let output = process.wait_with_output().expect("it ends");
            assert_eq!(code(&output), 0, "{}", stderr(&output));
        }
    }
    ann.types(0, "logout");
    assert!(ann.types(1, "whoami").contains("not logged in"));
}
