//! Tokens of a shop's own issuer: the recipes of docs/tokens.md, and keys that change.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::CertifiedKey;
use serde_json::json;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::http::{Request, Response};
use crate::node::serving;
use crate::process::{Running, code, firstcome, stderr, stdout};

#[path = "../../docs/tokens/rust.rs"]
#[expect(
    unreachable_pub,
    clippy::print_stdout,
    dead_code,
    reason = "a program for readers, shown as it is"
)]
mod recipe;

const PAGE: &str = include_str!("../../docs/tokens.md");
/// The user `alice` of the issuer that all recipes name, as the page says.
const ALICE: &str = "usr_0651DA7N9WHKH8KRPKGSAMDZ35";
/// For a change of a key file to be noticed. It takes 2 s.
const NOTICED_MAX: Duration = Duration::from_secs(30);

const MASTER_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
/// The ports are overridden.
const NODE: &str = "cluster.nodes = [{ name = \"n1\", api = \"127.0.0.1:8081\", \
                    peer = \"127.0.0.1:9091\" }]\n";
const SERVE: &[&str] =
    &["serve", "--config", "c.toml", "--node", "n1", "--listen", "127.0.0.1:0", "--bootstrap"];

fn recipes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tokens")
}

/// The settings that the page shows for this algorithm.
fn settings(algorithm: &str) -> &'static str {
    let wanted = format!("algorithms = [\"{algorithm}\"]");
    let blocks = PAGE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut blocks = blocks.filter(|block| block.contains(&wanted));
    blocks.next().unwrap_or_else(|| panic!("docs/tokens.md shows no {wanted}"))
}

/// A node of its own, with the settings of the page, in a directory with the keys of a recipe.
struct Shop<'d> {
    dir: &'d Path,
    address: String,
    _node: Running,
}

impl<'d> Shop<'d> {
    /// With the settings that the page shows for this algorithm.
    fn open(dir: &'d Path, algorithm: &str) -> Self {
        Self::start(dir, settings(algorithm), None)
    }

    /// With these settings, trusting the authorities in this file.
    fn start(dir: &'d Path, settings: &str, authorities: Option<&Path>) -> Self {
        std::fs::write(dir.join("c.toml"), format!("{NODE}{settings}")).expect("the file");
        let mut command = firstcome(dir, SERVE);
        command.args(["--set", "node.listen.peer=127.0.0.1:0", "--set", "log.format=json"]);
        command.env("FIRSTCOME_MASTER_KEY", MASTER_KEY);
        command.envs(authorities.map(|file| ("SSL_CERT_FILE", file)));
        let (node, address, _log) = serving(command);
        Self { dir, address, _node: node }
    }

    /// Waits until a token is accepted.
    fn comes_to_accept(&self, token: &str) {
        let deadline = Instant::now() + NOTICED_MAX;
        while self.orders(token).status != 200 {
            assert!(Instant::now() < deadline, "the key is not used after {NOTICED_MAX:?}");
            std::thread::yield_now();
        }
    }

    fn orders(&self, token: &str) -> Response {
        Request::get("/v1/orders").by(token).send(&self.address).expect("an answer")
    }

    /// A purchase with the token of a customer; returns the order.
    fn buy(&self, token: &str) -> Response {
        let admin = Command::new(crate::process::OWN)
            .args(["token", "--role", "admin"])
            .current_dir(self.dir)
            .env("FIRSTCOME_MASTER_KEY", MASTER_KEY)
            .output()
            .expect("the program starts");
        let admin = stdout(&admin).trim().to_owned();
        let product = json!({
            "name": "Lamp", "description": "A lamp.", "stock": 5, "no_shipping": true,
            "price": { "amount": 15000, "currency": "KRW" },
        });
        let product = Request::post("/v1/admin/products", &product.to_string())
            .by(&admin)
            .key("product")
            .send(&self.address)
            .expect("an answer");
        assert_eq!(product.status, 201, "{product:?}");
        let order = json!({ "lines": [{ "product_id": product.text("id"), "quantity": 1 }] });
        let order = order.to_string();
        Request::post("/v1/orders", &order).by(token).key("o").send(&self.address).expect("one")
    }

    /// Checks that a token of a recipe makes `alice` a customer, and nothing more.
    fn accepts_as_alice(&self, token: &str) {
        let order = self.buy(token);
        assert_eq!(order.status, 201, "{order:?}");
        assert_eq!(order.text("customer_id"), ALICE);
        let staff = Request::get("/v1/admin/orders").by(token).send(&self.address);
        let staff = staff.expect("an answer");
        assert_eq!((staff.status, staff.text("code")), (403, "permission_denied"));
        let changed = format!("{}x", &token[..token.len() - 8]);
        let refused = self.orders(&changed);
        assert_eq!((refused.status, refused.text("code")), (401, "token_invalid"));
        assert!(refused.text("detail").contains("signature"), "{refused:?}");
    }
}

/// An HTTPS server on loopback that answers every request with a key set.
struct KeyServer {
    port: u16,
    set: Arc<Mutex<Option<String>>>,
}

impl KeyServer {
    /// Writes the certificate that a client must trust to `authorities`.
    fn start(authorities: &Path, set: String) -> Self {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let pem = STANDARD.encode(cert.der());
        let pem = format!("-----BEGIN CERTIFICATE-----\n{pem}\n-----END CERTIFICATE-----\n");
        std::fs::write(authorities, pem).expect("the certificate");
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .expect("a key that fits");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let set = Arc::new(Mutex::new(Some(set)));
        let (config, shared) = (Arc::new(config), Arc::clone(&set));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let set = shared.lock().expect("the key set").clone();
                // The client may hang up, and without a key set, this server does.
                drop(set.map(|set| Self::answer(&config, stream, &set)));
            }
        });
        Self { port, set }
    }

    fn answer(config: &Arc<ServerConfig>, stream: TcpStream, set: &str) -> std::io::Result<()> {
        let session = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
        let mut stream = BufReader::new(StreamOwned::new(session, stream));
        let mut line = String::new();
        while stream.read_line(&mut line)? > "\r\n".len() {
            line.clear();
        }
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", set.len());
        stream.get_mut().write_all(format!("{head}{set}").as_bytes())?;
        stream.get_mut().flush()
    }

    /// Hangs up on everybody from now on.
    fn break_down(&self) {
        *self.set.lock().expect("the key set") = None;
    }
}

/// Runs a program of a recipe in `dir`; returns what it printed.
fn output_of(dir: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(dir).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", stderr(&output));
    stdout(&output).trim().to_owned()
}

/// Whether a program ran and succeeded.
fn succeeds(dir: &Path, program: &str, arguments: &[&str]) -> bool {
    let output: Option<Output> =
        Command::new(program).args(arguments).current_dir(dir).output().ok();
    output.is_some_and(|output| output.status.success())
}

/// Says that a recipe was not run, past the capture of test output; the gate repeats it at its end.
fn not_run(recipe: &str, why: &str) {
    let line = format!("NOT RUN: recipe docs/tokens/{recipe}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).expect("stderr");
}

#[test]
fn the_shell_recipe_is_accepted() {
    let here = tempfile::tempdir().unwrap();
    for (tool, argument) in [("bash", "--version"), ("openssl", "version")] {
        if !succeeds(here.path(), tool, &[argument]) {
            return not_run("shell.sh", &format!("{tool} is missing"));
        }
    }
    let script = recipes().join("shell.sh");
    let script = script.to_str().unwrap();
    output_of(here.path(), "bash", &[script, "keys"]);
    let shop = Shop::open(here.path(), "RS256");
    shop.accepts_as_alice(&output_of(here.path(), "bash", &[script, "token", "alice"]));
}

#[test]
fn the_node_recipe_is_accepted() {
    let here = tempfile::tempdir().unwrap();
    for tool in ["node", "npm"] {
        if !succeeds(here.path(), tool, &["--version"]) {
            return not_run("node.mjs", &format!("{tool} is missing"));
        }
    }
    // Node looks for packages beside the script.
    std::fs::copy(recipes().join("node.mjs"), here.path().join("node.mjs")).unwrap();
    let install = "install --no-audit --no-fund --ignore-scripts --fetch-retries=0 jose@6";
    let install: Vec<_> = install.split(' ').collect();
    if !succeeds(here.path(), "npm", &install) {
        return not_run("node.mjs", "npm cannot install jose");
    }
    output_of(here.path(), "node", &["node.mjs", "keys"]);
    let shop = Shop::open(here.path(), "EdDSA");
    shop.accepts_as_alice(&output_of(here.path(), "node", &["node.mjs", "token", "alice"]));
}

#[test]
fn the_python_recipe_is_accepted() {
    let here = tempfile::tempdir().unwrap();
    if !succeeds(here.path(), "python3", &["-m", "venv", "venv"]) {
        return not_run("python.py", "python3 with venv is missing");
    }
    let install = ["-m", "pip", "install", "--quiet", "--retries=0", "pyjwt>=2.10,<3"];
    if !succeeds(here.path(), "venv/bin/python", &install) {
        return not_run("python.py", "pip cannot install pyjwt");
    }
    let script = recipes().join("python.py");
    let script = script.to_str().unwrap();
    output_of(here.path(), "venv/bin/python", &[script, "keys"]);
    let shop = Shop::open(here.path(), "HS256");
    let token = output_of(here.path(), "venv/bin/python", &[script, "token", "alice"]);
    shop.accepts_as_alice(&token);
}

#[test]
fn the_rust_recipe_is_accepted() {
    let here = tempfile::tempdir().unwrap();
    recipe::keys(here.path()).unwrap();
    let shop = Shop::open(here.path(), "ES256");
    shop.accepts_as_alice(&recipe::token(here.path(), "alice").unwrap());
}

#[test]
fn the_page_shows_every_recipe_as_it_is() {
    let mut looked_at = 0;
    for entry in std::fs::read_dir(recipes()).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let shown = PAGE.contains(&format!("\n{text}```\n"));
        assert!(shown, "docs/tokens.md does not show {} as it is", path.display());
        looked_at += 1;
    }
    assert_eq!(looked_at, 4);
}

#[test]
fn new_keys_in_the_file_are_used_without_a_restart() {
    let here = tempfile::tempdir().unwrap();
    recipe::keys(here.path()).unwrap();
    let old = recipe::token(here.path(), "alice").unwrap();
    let shop = Shop::open(here.path(), "ES256");
    assert_eq!(shop.orders(&old).status, 200);

    std::fs::remove_file(here.path().join("shop.der")).unwrap();
    recipe::keys(here.path()).unwrap();
    let new = recipe::token(here.path(), "alice").unwrap();
    shop.comes_to_accept(&new);
    assert_eq!(shop.orders(&old).status, 401, "the old key has gone");
}

#[test]
fn a_node_does_not_start_with_keys_that_it_cannot_use() {
    let here = tempfile::tempdir().unwrap();
    let text = format!("{NODE}{}", settings("ES256"));
    std::fs::write(here.path().join("c.toml"), text).unwrap();
    for (keys, expected) in [
        (None, "cannot read jwks.json: No such file"),
        (Some("<html>"), "jwks.json: it is not a JSON Web Key Set"),
        (Some("{\"keys\": []}"), "none of its 0 keys can verify ES256"),
    ] {
        if let Some(text) = keys {
            std::fs::write(here.path().join("jwks.json"), text).unwrap();
        }
        let output = firstcome(here.path(), SERVE).env("FIRSTCOME_MASTER_KEY", MASTER_KEY).output();
        let output = output.expect("the program starts");
        assert_eq!(code(&output), 78, "{}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
        assert!(!here.path().join("data").exists(), "a refused start must leave no files");
    }
}

#[test]
fn keys_come_from_a_url_and_outlive_its_server() {
    let here = tempfile::tempdir().unwrap();
    recipe::keys(here.path()).unwrap();
    let token = recipe::token(here.path(), "alice").unwrap();
    let set = std::fs::read_to_string(here.path().join("jwks.json")).unwrap();
    let authorities = here.path().join("authorities.pem");
    let server = KeyServer::start(&authorities, set);
    let settings = format!(
        "auth.issuers = [{{ issuer = \"https://shop.example\", audience = \"firstcome\", \
         algorithms = [\"ES256\"], jwks_url = \"https://localhost:{}/keys\", \
         jwks_private = true }}]\n",
        server.port
    );
    let shop = Shop::start(here.path(), &settings, Some(&authorities));
    shop.comes_to_accept(&token);
    drop(shop);

    server.break_down();
    let shop = Shop::start(here.path(), &settings, Some(&authorities));
    shop.comes_to_accept(&token);
    let unknown = format!("{}x", &token[..token.len() - 8]);
    assert_eq!(shop.orders(&unknown).status, 401);
}

#[test]
fn a_key_url_needs_certificate_authorities() {
    let here = tempfile::tempdir().unwrap();
    let none = here.path().join("none.pem");
    std::fs::write(&none, "").unwrap();
    let settings = "auth.issuers = [{ issuer = \"a\", audience = \"b\", \
                    algorithms = [\"ES256\"], jwks_url = \"https://shop.example/keys\" }]\n";
    std::fs::write(here.path().join("c.toml"), format!("{NODE}{settings}")).unwrap();
    let mut command = firstcome(here.path(), SERVE);
    command.env("FIRSTCOME_MASTER_KEY", MASTER_KEY).env("SSL_CERT_FILE", &none);
    let output = command.env("SSL_CERT_DIR", here.path()).output().expect("the program starts");
    assert_eq!(code(&output), 78, "{}", stderr(&output));
    assert!(stderr(&output).contains("ca-certificates"), "{}", stderr(&output));
}
