//! Mail into files, and to real SMTP servers on loopback, most of which misbehave.

mod server;

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use firstcome_domain::value::Language;
use rcgen::{CertifiedKey, generate_simple_self_signed};

use self::server::{AfterData, Greeting, Script, Server, pem};
use super::error::About;
use super::*;

const EFFECT: &str = "eff_0651DA7N9WHKH8KRPKGSAMDZ35";
const CODE: &str = "012345";
/// For what is not the subject of a test.
const LONG: Duration = Duration::from_secs(30);
/// For a server that never answers.
const SHORT: Duration = Duration::from_millis(300);

fn letter() -> Letter {
    Letter {
        recipient: "ann@example.org".to_owned(),
        language: Language::English,
        template: Template::SignUpCode { code: CODE.to_owned() },
    }
}

/// Mail to a server without encryption.
fn plain(server: &Server) -> MailOptions {
    MailOptions {
        transport: MailTransport::Smtp,
        from: "Shop <no-reply@shop.example>".parse().unwrap(),
        smtp: SmtpOptions {
            host: "127.0.0.1".to_owned(),
            port: server.port.into(),
            tls: SmtpTls::None,
            timeout: LONG,
            ..SmtpOptions::default()
        },
        ..MailOptions::default()
    }
}

/// Mail to a server whose certificate is for `localhost`, and trusted.
fn encrypted(server: &Server, tls: SmtpTls, dir: &Path) -> MailOptions {
    let ca_file = dir.join("ca.pem");
    std::fs::write(&ca_file, &server.certificate).unwrap();
    let mut options = plain(server);
    options.smtp.host = "localhost".to_owned();
    options.smtp.tls = tls;
    options.smtp.ca_file = ca_file.to_str().unwrap().to_owned();
    options
}

fn log_in(options: &mut MailOptions, dir: &Path, password: &str) {
    let file = dir.join("password");
    std::fs::write(&file, format!("{password}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    options.smtp.user = "shop@shop.example".to_owned();
    options.smtp.password_file = file.to_str().unwrap().to_owned();
}

fn mailer(options: &MailOptions) -> Mailer {
    Mailer::new(options, Path::new("")).unwrap()
}

/// The error of one attempt, which shows nothing of the letter.
async fn error_of(options: &MailOptions) -> MailError {
    let (mailer, letter) = (mailer(options), letter());
    let sent = tokio::time::timeout(LONG, mailer.send(EFFECT, &letter)).await;
    let error = sent.expect("an end").unwrap_err();
    for printed in [error.to_string(), format!("{error:?}")] {
        assert!(!printed.contains("ann") && !printed.contains(CODE), "{printed}");
    }
    error
}

/// Code, permanence and subject of an error.
fn facts(error: &MailError) -> (&'static str, bool, About) {
    (error.code, error.permanent, error.about)
}

#[tokio::test]
async fn a_mail_goes_over_the_wire_as_one_that_was_not_written_by_hand() {
    let server = Server::start(Script::default()).await;
    mailer(&plain(&server)).send(EFFECT, &letter()).await.unwrap();
    let commands = server.seen.lock().commands.clone();
    let wanted = [
        "EHLO shop.example",
        "MAIL FROM:<no-reply@shop.example>",
        "RCPT TO:<ann@example.org>",
        "DATA",
    ];
    assert_eq!(commands, wanted);
    assert_eq!(server.headers("From"), ["Shop <no-reply@shop.example>"]);
    assert_eq!(server.headers("To"), ["ann@example.org"]);
    assert_eq!(server.headers("Auto-Submitted"), ["auto-generated"]);
    assert_eq!(server.headers("Message-ID"), [format!("<{EFFECT}@shop.example>")]);
    assert_eq!(server.headers("Date").len(), 1);
    let content_type = server.headers("Content-Type").concat();
    assert!(content_type.starts_with("multipart/alternative"), "{content_type}");
    let mail = server.seen.lock().mails.concat();
    assert!(mail.contains(CODE) && mail.contains("text/html") && mail.is_ascii(), "{mail}");
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = Server::start(Script::default()).await;
    let mailer = mailer(&plain(&server));
    for _ in 0..3 {
        mailer.send(EFFECT, &letter()).await.unwrap();
    }
    assert_eq!(server.seen.lock().connections, 1);
    assert_eq!(server.seen.lock().mails.len(), 3);
}

/// Story: a pool that takes back a connection after a timeout reads the late reply to one mail as
/// the reply to the next.
#[tokio::test]
async fn a_connection_that_timed_out_is_not_used_again() {
    let script = Script { after_data: AfterData::Hangs, ..Script::default() };
    let server = Server::start(script).await;
    let mut options = plain(&server);
    options.smtp.timeout = SHORT;
    let mailer = mailer(&options);
    let error = mailer.send(EFFECT, &letter()).await.unwrap_err();
    assert_eq!(facts(&error), ("smtp_timeout", false, About::Server));
    server.follow(Script::default());
    let deadline = Instant::now() + LONG;
    // A loaded machine may need longer than the timeout.
    while mailer.send(EFFECT, &letter()).await.is_err() {
        assert!(Instant::now() < deadline, "no new connection is made");
    }
    assert!(server.seen.lock().connections >= 2);
}

#[tokio::test]
async fn the_timeout_covers_a_server_that_says_nothing() {
    for script in [
        Script { greeting: Greeting::Silence, ..Script::default() },
        Script { after_data: AfterData::Hangs, ..Script::default() },
    ] {
        let server = Server::start(script).await;
        let mut options = plain(&server);
        options.smtp.timeout = SHORT;
        let error = error_of(&options).await;
        assert_eq!(facts(&error), ("smtp_timeout", false, About::Server));
    }
}

#[tokio::test]
async fn a_refused_recipient_is_final_and_a_delayed_one_is_not() {
    for (reply, expected) in [
        ("550 5.1.1 <ann@example.org>: unknown", ("smtp_refused", true, About::Mail)),
        ("450 4.2.1 <ann@example.org>: later", ("smtp_temporary", false, About::Mail)),
        ("421 4.7.0 ann@example.org", ("smtp_temporary", false, About::Server)),
    ] {
        let replies: &'static _ = Box::leak(Box::new([("RCPT", reply)]));
        let server = Server::start(Script { replies, ..Script::default() }).await;
        let error = error_of(&plain(&server)).await;
        assert_eq!(facts(&error), expected, "{reply}");
        assert!(error.to_string().ends_with(&reply[..3]), "{error}");
        assert!(server.seen.lock().mails.is_empty());
    }
}

#[tokio::test]
async fn refused_recipients_do_not_open_the_breaker() {
    let replies = &[("RCPT", "550 unknown")];
    let server = Server::start(Script { replies, ..Script::default() }).await;
    let mailer = mailer(&plain(&server));
    for _ in 0..10 {
        let error = mailer.send(EFFECT, &letter()).await.unwrap_err();
        assert_eq!(error.code, "smtp_refused");
    }
    assert_eq!(mailer.breaker().state, BreakerState::Closed);
    assert_eq!(mailer.breaker().failures, 0);
}

/// Gmail says 550 when the mails of a day are used up.
#[tokio::test]
async fn a_used_up_quota_is_not_a_refusal() {
    let replies =
        &[("RCPT", "550-5.4.5 Daily user sending limit exceeded.\r\n550 5.4.5 See help.")];
    let server = Server::start(Script { replies, ..Script::default() }).await;
    let error = error_of(&plain(&server)).await;
    assert_eq!(facts(&error), ("smtp_quota", false, About::Server));
}

#[tokio::test]
async fn mail_retry_same_message_id() {
    let script = Script { after_data: AfterData::Drops, ..Script::default() };
    let server = Server::start(script).await;
    let mailer = mailer(&plain(&server));
    let error = mailer.send(EFFECT, &letter()).await.unwrap_err();
    assert_eq!(facts(&error), ("smtp_broken", false, About::Server));
    server.follow(Script::default());
    mailer.send(EFFECT, &letter()).await.unwrap();
    mailer.send("eff_2", &letter()).await.unwrap();
    let id = |effect: &str| format!("<{effect}@shop.example>");
    assert_eq!(server.headers("Message-ID"), [id(EFFECT), id(EFFECT), id("eff_2")]);
}

#[tokio::test]
async fn the_breaker_opens_while_the_server_is_away_and_closes_when_it_is_back() {
    let away = Script { greeting: Greeting::Away, ..Script::default() };
    let server = Server::start(away).await;
    let mut mailer = mailer(&plain(&server));
    mailer.breaker = Mutex::new(Breaker::pausing(Duration::from_millis(20)));
    let mut errors = 0;
    let open = loop {
        let error = mailer.send(EFFECT, &letter()).await.unwrap_err();
        if error.code == "breaker_open" {
            break error;
        }
        errors += 1;
    };
    assert!(errors >= 3, "after {errors} errors");
    assert!(open.retry_in.is_some() && !open.permanent && open.about == About::Server);
    assert_eq!(mailer.breaker().state, BreakerState::Open);
    assert!(mailer.breaker().retry_in.is_some());

    server.follow(Script::default());
    let deadline = Instant::now() + LONG;
    while mailer.send(EFFECT, &letter()).await.is_err() {
        assert!(Instant::now() < deadline, "it stays open");
        tokio::task::yield_now().await;
    }
    let closed = BreakerView { state: BreakerState::Closed, failures: 0, retry_in: None };
    assert_eq!(mailer.breaker(), closed);
}

#[tokio::test]
async fn an_open_breaker_answers_without_asking_the_server() {
    let server = Server::start(Script { greeting: Greeting::Busy, ..Script::default() }).await;
    let mailer = mailer(&plain(&server));
    for _ in 0..3 {
        let error = mailer.send(EFFECT, &letter()).await.unwrap_err();
        assert_eq!(facts(&error), ("smtp_temporary", false, About::Server));
    }
    let error = mailer.send(EFFECT, &letter()).await.unwrap_err();
    assert_eq!(error.code, "breaker_open");
    let least = Duration::from_secs(4);
    assert!(error.retry_in.is_some_and(|retry_in| retry_in > least), "{error:?}");
    assert_eq!(server.seen.lock().connections, 3);
}

#[tokio::test]
async fn a_probe_that_nobody_waits_for_does_not_keep_the_breaker_half_open() {
    let away = Script { greeting: Greeting::Away, ..Script::default() };
    let server = Server::start(away).await;
    let mut mailer = mailer(&plain(&server));
    mailer.breaker = Mutex::new(Breaker::pausing(Duration::ZERO));
    for _ in 0..3 {
        assert!(mailer.send(EFFECT, &letter()).await.is_err());
    }
    server.follow(Script { greeting: Greeting::Silence, ..Script::default() });
    let letter = letter();
    let mut probe = Box::pin(mailer.send(EFFECT, &letter));
    assert!(futures_util::poll!(&mut probe).is_pending());
    assert_eq!(mailer.breaker().state, BreakerState::HalfOpen);
    drop(probe);
    assert_eq!(mailer.breaker().state, BreakerState::Open);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let server = Server::start(Script::default()).await;
    let mut options = plain(&server);
    // Nothing listens on port 1.
    options.smtp.port = 1;
    let error = error_of(&options).await;
    assert_eq!(facts(&error), ("smtp_unreachable", false, About::Server));
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn starttls_is_required() {
    let here = tempfile::tempdir().unwrap();
    let server = Server::start(Script { extensions: &["AUTH PLAIN"], ..Script::default() }).await;
    let mut options = encrypted(&server, SmtpTls::StartTls, here.path());
    log_in(&mut options, here.path(), "secret word");
    let error = error_of(&options).await;
    assert_eq!(facts(&error), ("smtp_no_starttls", false, About::Setup));
    // Neither the password nor the mail went over the wire.
    assert_eq!(server.seen.lock().commands, ["EHLO shop.example"]);
}

#[tokio::test]
async fn mail_and_password_go_over_tls() {
    let here = tempfile::tempdir().unwrap();
    for (tls, before) in [(SmtpTls::StartTls, 2), (SmtpTls::Implicit, 0)] {
        let script = Script { extensions: &["STARTTLS", "AUTH PLAIN"], ..Script::default() };
        let server = match tls {
            SmtpTls::Implicit => Server::start_implicit(script).await,
            _ => Server::start(script).await,
        };
        let mut options = encrypted(&server, tls, here.path());
        log_in(&mut options, here.path(), "secret word");
        mailer(&options).send(EFFECT, &letter()).await.unwrap();
        let commands = server.seen.lock().commands.split_off(before);
        let verbs: Vec<_> = commands.iter().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(verbs, ["EHLO", "AUTH", "MAIL", "RCPT", "DATA"], "{tls}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_or_of_another_name_is_refused() {
    let here = tempfile::tempdir().unwrap();
    for tls in [SmtpTls::StartTls, SmtpTls::Implicit] {
        let script = Script { extensions: &["STARTTLS"], ..Script::default() };
        let start = || async {
            match tls {
                SmtpTls::Implicit => Server::start_implicit(script).await,
                _ => Server::start(script).await,
            }
        };
        let (server, other) = (start().await, start().await);
        let mut untrusted = encrypted(&other, tls, here.path());
        untrusted.smtp.port = server.port.into();
        let error = error_of(&untrusted).await;
        assert_eq!(facts(&error), ("smtp_tls", false, About::Setup), "{tls}: {error}");

        let mut misnamed = encrypted(&server, tls, here.path());
        misnamed.smtp.host = "127.0.0.1".to_owned();
        let error = error_of(&misnamed).await;
        assert_eq!(facts(&error), ("smtp_tls", false, About::Setup), "{tls}: {error}");
        assert!(!server.seen.lock().commands.iter().any(|line| line.starts_with("MAIL")));
    }
}

#[tokio::test]
async fn a_wrong_password_opens_the_breaker_at_once() {
    let here = tempfile::tempdir().unwrap();
    let script = Script {
        extensions: &["AUTH PLAIN"],
        replies: &[("AUTH", "535 5.7.8 shop@shop.example: wrong")],
        ..Script::default()
    };
    let server = Server::start(script).await;
    let mut options = plain(&server);
    log_in(&mut options, here.path(), "wrong");
    let mailer = mailer(&options);
    let error = mailer.send(EFFECT, &letter()).await.unwrap_err();
    assert_eq!(facts(&error), ("smtp_login", false, About::Setup));
    assert_eq!(mailer.send(EFFECT, &letter()).await.unwrap_err().code, "breaker_open");
    server.follow(Script::default());
    // One that offers no login at all.
    assert_eq!(facts(&error_of(&options).await), ("smtp_login", false, About::Setup));
}

#[tokio::test]
async fn addresses_beyond_ascii_are_sent_as_the_server_can_take_them() {
    let server = Server::start(Script::default()).await;
    let strict = mailer(&plain(&server));
    let to = |recipient: &str| Letter { recipient: recipient.to_owned(), ..letter() };
    strict.send(EFFECT, &to("ann@\u{d55c}\u{ad6d}.example")).await.unwrap();
    assert!(server.seen.lock().commands.contains(&"RCPT TO:<ann@xn--3e0b707e.example>".to_owned()));
    let error = strict.send(EFFECT, &to("\u{c564}@example.org")).await.unwrap_err();
    assert_eq!(facts(&error), ("smtp_ascii_only", true, About::Mail));

    let script = Script { extensions: &["SMTPUTF8", "8BITMIME"], ..Script::default() };
    let modern = Server::start(script).await;
    mailer(&plain(&modern)).send(EFFECT, &to("\u{c564}@example.org")).await.unwrap();
    let commands = modern.seen.lock().commands.join("\n");
    assert!(commands.contains("SMTPUTF8") && commands.contains("RCPT TO:<\u{c564}@example.org>"));
}

#[tokio::test]
async fn a_recipient_cannot_add_commands_or_headers() {
    let server = Server::start(Script::default()).await;
    let mailer = mailer(&plain(&server));
    for recipient in [
        "",
        "ann",
        "a b@example.org",
        "ann@example.org\r\nRCPT TO:<eve@example.org>",
        "ann@example.org>\r\nDATA",
        "ann@example.org, eve@example.org",
        "\"a\r\nBcc: eve@example.org\"@example.org",
        "ann@exa mple.org",
        "ann@example.org\0",
    ] {
        let letter = Letter { recipient: recipient.to_owned(), ..letter() };
        let error = mailer.send(EFFECT, &letter).await.unwrap_err();
        assert_eq!(facts(&error), ("recipient_invalid", true, About::Mail), "{recipient:?}");
    }
    for effect in ["", "..", "../x", "a b", "a>\r\nBcc: x"] {
        let error = mailer.send(effect, &letter()).await.unwrap_err();
        assert_eq!(error.code, "effect_invalid", "{effect:?}");
    }
    assert_eq!(server.seen.lock().connections, 0);
}

#[tokio::test]
async fn a_file_holds_the_mail_and_is_replaced_by_the_same_mail() {
    let here = tempfile::tempdir().unwrap();
    let mailer = Mailer::new(&MailOptions::default(), here.path()).unwrap();
    mailer.send(EFFECT, &letter()).await.unwrap();
    mailer.send(EFFECT, &letter()).await.unwrap();
    mailer.send("eff_2", &letter()).await.unwrap();

    let folder = here.path().join("mail");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let wanted = [format!("{EFFECT}.eml"), "eff_2.eml".to_owned()];
    assert_eq!(names, wanted);
    let file = folder.join(format!("{EFFECT}.eml"));
    assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
    let mail = std::fs::read_to_string(file).unwrap();
    assert!(mail.contains(&format!("\r\nMessage-ID: <{EFFECT}@localhost>\r\n")), "{mail}");
    assert!(mail.contains("\r\nTo: ann@example.org\r\n") && mail.contains(CODE), "{mail}");
}

#[tokio::test]
async fn a_disk_that_does_not_take_the_mail_is_named() {
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("mail"), "not a folder").unwrap();
    let mailer = Mailer::new(&MailOptions::default(), here.path()).unwrap();
    let error = mailer.send(EFFECT, &letter()).await.unwrap_err();
    assert_eq!(facts(&error), ("disk", false, About::Server));
    assert_eq!(mailer.breaker().failures, 1);
}

#[test]
fn files_that_cannot_be_used_are_named_at_start() {
    let here = tempfile::tempdir().unwrap();
    let mut options = MailOptions {
        transport: MailTransport::Smtp,
        smtp: SmtpOptions { host: "mail.example".to_owned(), ..SmtpOptions::default() },
        ..MailOptions::default()
    };
    let message =
        |options: &MailOptions| Mailer::new(options, Path::new("")).unwrap_err().to_string();
    let missing = here.path().join("missing").to_str().unwrap().to_owned();
    options.smtp.ca_file.clone_from(&missing);
    assert!(message(&options).contains("mail.smtp.ca_file: cannot read"), "{}", message(&options));
    let empty = here.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    options.smtp.ca_file = empty.to_str().unwrap().to_owned();
    assert!(message(&options).contains("no certificates"), "{}", message(&options));

    let CertifiedKey { cert, .. } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&empty, pem("CERTIFICATE", cert.der())).unwrap();
    mailer(&options);
    log_in(&mut options, here.path(), "");
    assert!(message(&options).contains("must hold the password"), "{}", message(&options));
    let file = here.path().join("password");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(message(&options).contains("mail.smtp.password_file"), "{}", message(&options));
    options.smtp.password_file = missing;
    assert!(message(&options).contains("mail.smtp.password_file"), "{}", message(&options));
}

/// Says that the test was not run, past the capture of test output; the gate repeats it at its end.
fn not_run(why: &str) {
    let line = format!("NOT RUN: mail to aiosmtpd: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

#[tokio::test]
async fn a_server_of_others_takes_mail_over_starttls_with_a_login() {
    let here = tempfile::tempdir().unwrap();
    let succeeds = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(here.path()).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !succeeds("python3", &["-m", "venv", "venv"]) {
        return not_run("python3 with venv is missing");
    }
    let python = here.path().join("venv/bin/python");
    let python = python.to_str().unwrap();
    let install = ["-m", "pip", "install", "--quiet", "--retries=0", "aiosmtpd>=1.4.6,<2"];
    if !succeeds(python, &install) {
        return not_run("pip cannot install aiosmtpd");
    }
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (ca_file, key_file) = (here.path().join("ca.pem"), here.path().join("key.pem"));
    std::fs::write(&ca_file, pem("CERTIFICATE", cert.der())).unwrap();
    std::fs::write(&key_file, pem("PRIVATE KEY", &signing_key.serialize_der())).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/mail/tests/aiosmtpd_server.py");
    // It ends when its standard input is closed, also if this test fails.
    let mut server = Command::new(python)
        .arg(script)
        .args([&ca_file, &key_file])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
    let port = lines.next().expect("its port").parse().unwrap();

    let mut options = MailOptions {
        transport: MailTransport::Smtp,
        from: "\u{c0c1}\u{c810} <no-reply@shop.example>".parse().unwrap(),
        smtp: SmtpOptions {
            host: "localhost".to_owned(),
            port,
            ca_file: ca_file.to_str().unwrap().to_owned(),
            timeout: LONG,
            ..SmtpOptions::default()
        },
        ..MailOptions::default()
    };
    log_in(&mut options, here.path(), "wrong");
    assert_eq!(facts(&error_of(&options).await), ("smtp_login", false, About::Setup));
    log_in(&mut options, here.path(), "secret word");
    let korean = Letter { language: Language::Korean, ..letter() };
    let mailer = mailer(&options);
    for _ in 0..2 {
        mailer.send(EFFECT, &korean).await.unwrap();
        let mail = lines.next().expect("a mail");
        let mail: serde_json::Value = serde_json::from_str(&mail).unwrap();
        assert_eq!(mail["from"], "no-reply@shop.example");
        assert_eq!(mail["to"], serde_json::json!(["ann@example.org"]));
        assert_eq!((&mail["user"], &mail["tls"]), (&"shop@shop.example".into(), &true.into()));
        let content = mail["content"].as_str().unwrap();
        assert!(content.contains(&format!("Message-ID: <{EFFECT}@shop.example>")), "{content}");
    }
    drop(server.stdin.take());
    server.wait().unwrap();
}
