//! `firstcome login`: the session that the other commands use, against a stand-in for a node, whose
//! tokens expire when the test says so.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::{Arc, Barrier, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::{code, firstcome, run, stderr, stdout};

const SILENCE_MAX: Duration = Duration::from_secs(20);

/// A request, as the stand-in got it.
#[derive(Clone, Debug)]
struct Asked {
    /// Method and path.
    line: String,
    token: Option<String>,
    if_match: Option<String>,
    body: Value,
}

/// Answers requests as the test says.
struct StandIn {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl StandIn {
    fn start(answer: impl Fn(&Asked) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, seen) = (Arc::new(answer), Arc::clone(&asked));
        // Ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                std::thread::spawn(move || serve(stream, &*answer, &seen));
            }
        });
        Self { url, asked }
    }

    /// What was asked for since the last call.
    fn requests(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock().expect("no panic before"))
    }

    /// The same: method, path and token.
    fn asked(&self) -> Vec<(String, Option<String>)> {
        self.requests().into_iter().map(|asked| (asked.line, asked.token)).collect()
    }
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&Asked) -> (u16, Value), seen: &Mutex<Vec<Asked>>) {
    stream.set_read_timeout(Some(SILENCE_MAX)).expect("a socket");
    let mut reader = BufReader::new(&stream);
    let mut lines = reader.by_ref().lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let header = |name: &str| {
        let found = head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        found.map(ToOwned::to_owned)
    };
    let length = header("content-length").and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).expect("the body");
    let token = header("authorization").map(|value| value.replacen("Bearer ", "", 1));
    let asked = Asked {
        line: first.replace(" HTTP/1.1", ""),
        token,
        if_match: header("if-match"),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    seen.lock().expect("no panic before").push(asked.clone());
    let (status, body) = answer(&asked);
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let response = format!(
        "HTTP/1.1 {status} X\r\netag: \"7\"\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(response.as_bytes()).expect("a client that waits");
}

fn tokens(generation: u32, access: &str) -> Value {
    json!({
        "access_token": access, "token_type": "Bearer", "expires_in_seconds": 600,
        "refresh_token": format!("r{generation}"),
        "refresh_expires_at": "2027-01-01T00:00:00.000Z",
        "session_id": "ses_1", "user_id": "usr_1",
    })
}

fn problem(status: u16, code: &str) -> (u16, Value) {
    (status, json!({"code": code, "title": "No", "status": status, "executed": "no"}))
}

/// Knows one password, opens sessions with the access token `a0`, and takes these access tokens.
fn node(accepted: &'static [&'static str]) -> impl Fn(&Asked) -> (u16, Value) {
    move |asked| {
        let is_known = asked.token.as_deref().is_some_and(|token| accepted.contains(&token));
        match asked.line.as_str() {
            "POST /v1/auth/login" if asked.body["password"] == "vXq9-kfz " => {
                (200, tokens(0, "a0"))
            }
            "POST /v1/auth/login" => problem(401, "login_refused"),
            "POST /v1/auth/refresh" if asked.body["refresh_token"] == "r0" => {
                (200, tokens(1, "a1"))
            }
            "POST /v1/auth/refresh" => problem(401, "session_reuse"),
            _ if !is_known => problem(401, "token_expired"),
            "POST /v1/auth/logout" => (204, Value::Null),
            "GET /v1/me" => (200, json!({"object": "user", "id": "usr_1", "name": "Ann"})),
            line if line.starts_with("GET /v1/admin") => problem(403, "permission_denied"),
            _ => (200, json!({"object": "list", "data": [], "next_cursor": null})),
        }
    }
}

fn ask(here: &Path, node: &StandIn, arguments: &[&str]) -> Output {
    run(here, &[arguments, &["--url", &node.url]].concat())
}

fn log_in(here: &Path, node: &StandIn) {
    std::fs::write(here.join("password.txt"), "vXq9-kfz \n").expect("a file");
    let output = ask(
        here,
        node,
        &["login", "--email", "ann@example.com", "--password-file", "password.txt"],
    );
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output), format!("logged in as ann@example.com at {}\n", node.url));
    assert_eq!(node.asked(), [("POST /v1/auth/login".to_owned(), None)]);
}

fn orders_by(token: &str) -> (String, Option<String>) {
    ("GET /v1/orders?limit=20".to_owned(), Some(token.to_owned()))
}

fn refresh() -> (String, Option<String>) {
    ("POST /v1/auth/refresh".to_owned(), None)
}

fn session_file(here: &Path) -> Value {
    let text = std::fs::read(here.join("session.json")).expect("the file");
    serde_json::from_slice(&text).expect("JSON")
}

#[test]
fn commands_use_the_session_until_it_is_logged_out() {
    let here = tempfile::tempdir().expect("a directory");
    let here = here.path();
    let node = StandIn::start(node(&["a0"]));
    let lost = ask(here, &node, &["whoami"]);
    assert_eq!(code(&lost), 1);
    assert!(stderr(&lost).contains("not logged in at http://127.0.0.1:"), "{}", stderr(&lost));
    log_in(here, &node);
    let mode = std::fs::metadata(here.join("session.json")).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let shown = ask(here, &node, &["whoami"]);
    assert_eq!((code(&shown), stdout(&shown).as_str()), (0, "id    usr_1\nname  Ann\n"));
    assert_eq!(code(&ask(here, &node, &["order", "list"])), 0);
    assert_eq!(node.asked()[1..], [orders_by("a0")]);
    assert_eq!(code(&ask(here, &node, &["order", "list", "--token", "mine"])), 1);
    assert_eq!(node.asked(), [orders_by("mine")], "a token that was given is not refreshed");

    let other = StandIn::start(self::node(&["a0"]));
    assert_eq!(code(&ask(here, &other, &["order", "list"])), 1);
    assert_eq!(other.asked(), [("GET /v1/orders?limit=20".to_owned(), None)], "of another node");

    let out = ask(here, &node, &["logout", "--json"]);
    assert_eq!(code(&out), 0, "{}", stderr(&out));
    assert_eq!(stdout(&out), "{\"object\":\"logout\",\"was_logged_in\":true}\n");
    assert_eq!(node.asked(), [("POST /v1/auth/logout".to_owned(), Some("a0".to_owned()))]);
    assert_eq!(session_file(here), json!({"sessions": {}}));
    let again = ask(here, &node, &["logout"]);
    assert_eq!((code(&again), stdout(&again)), (0, format!("not logged in at {}\n", node.url)));
    assert_eq!(node.asked(), []);
}

#[test]
fn a_generated_token_is_used_where_one_is_asked_for() {
    let here = tempfile::tempdir().expect("a directory");
    let here = here.path();
    let node = StandIn::start(node(&["a0"]));
    let made = run(here, &["keys", "init", "master.key"]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    std::fs::create_dir(here.join("data")).expect("a directory");
    std::fs::copy(here.join("master.key"), here.join("data/master.key")).expect("a key");
    let is_generated = |arguments: &[&str]| {
        drop(ask(here, &node, arguments));
        let asked = node.asked();
        assert_eq!(asked.len(), 1, "{asked:?}");
        asked[0].1.as_deref().is_some_and(|token| token.starts_with("ey"))
    };
    assert!(is_generated(&["order", "list"]), "nobody is logged in");
    log_in(here, &node);
    assert!(!is_generated(&["order", "list"]));
    assert!(is_generated(&["order", "list", "--as", "customer"]));
    assert!(is_generated(&["order", "list", "--key-file", "master.key"]));
    assert!(is_generated(&["order", "list", "--subject", "usr_01JDZ3M5QK7V8XABCDEFGHJKMN"]));

    let refused = ask(here, &node, &["customer", "list"]);
    assert_eq!(code(&refused), 1);
    assert!(
        stderr(&refused).contains("--as admin asks with the master key"),
        "{}",
        stderr(&refused)
    );
}

#[test]
fn an_expired_access_token_is_refreshed_once_and_kept() {
    let here = tempfile::tempdir().expect("a directory");
    let here = here.path();
    let node = StandIn::start(node(&["a1"]));
    log_in(here, &node);
    assert_eq!(code(&ask(here, &node, &["order", "list"])), 0);
    assert_eq!(node.asked(), [orders_by("a0"), refresh(), orders_by("a1")]);
    assert_eq!(code(&ask(here, &node, &["order", "list"])), 0);
    assert_eq!(node.asked(), [orders_by("a1")]);
    let kept = &session_file(here)["sessions"][&node.url];
    assert_eq!((&kept["refresh_token"], &kept["email"]), (&json!("r1"), &json!("ann@example.com")));
}

#[test]
fn two_processes_that_refresh_at_once_both_go_on() {
    let here = tempfile::tempdir().expect("a directory");
    let here = here.path();
    let (both, inner) = (Barrier::new(2), node(&["a1"]));
    // Neither refresh is answered before the other has been asked for.
    let node = StandIn::start(move |asked| {
        if asked.line == "POST /v1/auth/refresh" {
            both.wait();
        }
        inner(asked)
    });
    log_in(here, &node);
    let start = || {
        let mut command = firstcome(here, &["order", "list", "--url", &node.url]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts")
    };
    for process in [start(), start()] {
        let output = process.wait_with_output().expect("it ends");
        assert_eq!(code(&output), 0, "{}", stderr(&output));
    }
    assert_eq!(node.asked().iter().filter(|asked| **asked == refresh()).count(), 2);
    assert_eq!(session_file(here)["sessions"][&node.url]["refresh_token"], "r1");
}

#[test]
fn a_command_takes_the_tokens_that_another_process_has_kept() {
    let here = tempfile::tempdir().expect("a directory");
    let here = here.path().to_owned();
    let inner = node(&["a1"]);
    let file = here.join("session.json");
    // While the first request is on its way, another process refreshes.
    let node = StandIn::start(move |asked| {
        if asked.token.as_deref() == Some("a0") {
            let text = std::fs::read_to_string(&file).expect("the file");
            let text = text.replace("\"a0\"", "\"a1\"").replace("\"r0\"", "\"r1\"");
            std::fs::write(&file, text).expect("the file");
        }
        inner(asked)
    });
    log_in(&here, &node);
    assert_eq!(code(&ask(&here, &node, &["order", "list"])), 0);
    assert_eq!(node.asked(), [orders_by("a0"), orders_by("a1")]);
}

#[test]
fn a_session_that_has_ended_says_so_until_it_is_logged_out() {
    let here = tempfile::tempdir().expect("a directory");
    let here = here.path();
    let node = StandIn::start(node(&[]));
    log_in(here, &node);
    // The first refresh is taken, and its token is not.
    for _ in 0..2 {
        let ended = ask(here, &node, &["order", "list"]);
        assert_eq!(code(&ended), 1);
        let text = stderr(&ended);
        let wanted = format!(
            "the session of ann@example.com at {0} has ended; log in again: firstcome login --url {0}",
            node.url
        );
        assert!(text.contains(&wanted) && text.contains("session_reuse"), "{text}");
    }
    let out = ask(here, &node, &["logout"]);
    assert_eq!((code(&out), stdout(&out)), (0, format!("logged out at {}\n", node.url)));
    assert_eq!(session_file(here), json!({"sessions": {}}));
}

#[test]
fn logout_from_a_node_that_is_gone_keeps_the_session_unless_told_otherwise() {
    let here = tempfile::tempdir().expect("a directory");
    let here = here.path();
    let node = StandIn::start(|asked| match asked.line.as_str() {
        "POST /v1/auth/login" => (200, tokens(0, "a0")),
        _ => problem(503, "no_quorum"),
    });
    log_in(here, &node);
    let failed = ask(here, &node, &["logout"]);
    assert_eq!(code(&failed), 1);
    assert!(stderr(&failed).contains("--local forgets it"), "{}", stderr(&failed));
    assert_eq!(session_file(here)["sessions"][&node.url]["id"], "ses_1");
    assert_eq!(code(&ask(here, &node, &["logout", "--local"])), 0);
    assert_eq!(session_file(here), json!({"sessions": {}}));
}

#[test]
fn passwords_come_from_a_file_or_standard_input() {
    let here = tempfile::tempdir().expect("a directory");
    let here = here.path();
    let node = StandIn::start(node(&["a0"]));
    let with_input = |more: &[&str], input: &str| {
        let arguments = [&["login", "--url", &node.url, "--json"], more].concat();
        let mut command = firstcome(here, &arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        // It may have ended before it read anything.
        drop(child.stdin.take().expect("its input").write_all(input.as_bytes()));
        child.wait_with_output().expect("it ends")
    };
    let ann = ["--email", "ann@example.com"];
    for more in [&ann[..], &[&ann[..], &["--password-file", "-"]].concat()] {
        let output = with_input(more, "vXq9-kfz \r\n");
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let shown: Value = serde_json::from_str(&stdout(&output)).expect("JSON");
        assert_eq!((&shown["id"], &shown["email"]), (&json!("ses_1"), &json!("ann@example.com")));
        assert!(!stdout(&output).contains("a0") && !stdout(&output).contains("r0"));
    }
    let wrong = with_input(&ann, "vXq9-kfz\n");
    assert_eq!(code(&wrong), 1);
    assert!(stderr(&wrong).contains("login_refused"), "{}", stderr(&wrong));
    for (more, input, wanted) in [
        (&ann[..], "", "the password is empty"),
        (&ann[..], "\n", "the password is empty"),
        (&[], "vXq9-kfz \n", "no e-mail address: pass --email"),
    ] {
        let output = with_input(more, input);
        assert_eq!(code(&output), 64, "{}", stderr(&output));
        assert!(stderr(&output).contains(wanted), "{}", stderr(&output));
    }
    let missing = with_input(&[&ann[..], &["--password-file", "none"]].concat(), "");
    assert_eq!(code(&missing), 74);
    assert!(stderr(&missing).contains("cannot read none"), "{}", stderr(&missing));
}

#[test]
fn the_first_admin_needs_the_master_key_and_a_second_one_another_way() {
    let here = tempfile::tempdir().expect("a directory");
    let here = here.path();
    let node = StandIn::start(node(&["a0"]));
    log_in(here, &node);
    let create = [
        "admin",
        "create",
        "--email",
        "ann@example.com",
        "--name",
        "Ann",
        "--phone",
        "01012345678",
        "--password-file",
        "password.txt",
    ];
    let no_key = ask(here, &node, &create);
    assert_eq!(code(&no_key), 78);
    assert!(stderr(&no_key).contains("no master key"), "{}", stderr(&no_key));
    assert_eq!(node.asked(), [], "a session does not help");

    let made = run(here, &["keys", "init", "master.key"]);
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let node = StandIn::start(|_| problem(409, "admin_exists"));
    let create = [&create[..], &["--key-file", "master.key"]].concat();
    let refused = ask(here, &node, &create);
    assert_eq!(code(&refused), 1);
    let text = stderr(&refused);
    assert!(text.starts_with("refused: there is an admin already"), "{text}");
    assert!(text.contains("firstcome customer role usr_... admin"), "{text}");
    let sent = node.requests().remove(0);
    assert_eq!(sent.line, "POST /v1/admin/bootstrap");
    assert!(sent.token.is_some_and(|token| token.starts_with("ey")));
    assert_eq!(
        sent.body,
        json!({
            "email": "ann@example.com", "password": "vXq9-kfz ", "name": "Ann", "phone": "01012345678",
        })
    );
    let json = ask(here, &node, &[&create[..], &["--json"]].concat());
    let shown: Value = serde_json::from_str(&stdout(&json)).expect("JSON");
    assert_eq!((code(&json), &shown["code"]), (1, &json!("admin_exists")));
}

#[test]
fn admins_list_block_and_promote_users() {
    let here = tempfile::tempdir().expect("a directory");
    let here = here.path();
    let user = || {
        json!({"object": "user", "id": "usr_2", "role": "admin", "status": "active",
        "email": "a***@e***.com", "created_at": "2026-11-22T01:00:00.000Z"})
    };
    let node = StandIn::start(move |asked| match asked.line.as_str() {
        line if line.starts_with("GET /v1/admin/users?") => {
            (200, json!({"object": "list", "data": [user()], "next_cursor": "c"}))
        }
        _ => (200, user()),
    });
    let listed =
        ask(here, &node, &["customer", "list", "--email", "ann+1@example.com", "--role", "admin"]);
    let text = stdout(&listed);
    assert!(text.contains("usr_2  admin  active  a***@e***.com"), "{text}");
    assert!(text.contains("next page: --cursor c"), "{text}");
    let path = "GET /v1/admin/users?limit=20&role=admin&email=ann%2B1%40example.com";
    assert_eq!(node.asked()[0].0, path);
    for (arguments, body, said) in [
        (&["block", "usr_2"][..], json!({"blocked": true}), "usr_2 is blocked\n"),
        (&["unblock", "usr_2"], json!({"blocked": false}), "usr_2 is no longer blocked\n"),
        (&["role", "usr_2", "admin"], json!({"role": "admin"}), "usr_2 has the role admin\n"),
    ] {
        let output = ask(here, &node, &[&["customer"], arguments].concat());
        assert_eq!((code(&output), stdout(&output).as_str()), (0, said), "{}", stderr(&output));
        let asked = node.requests();
        assert_eq!(asked[1].line, "PATCH /v1/admin/users/usr_2");
        assert_eq!((&asked[1].body, asked[1].if_match.as_deref()), (&body, Some("\"7\"")));
    }
}
