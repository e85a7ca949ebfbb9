//! Tokens of a shop's own issuer: the recipes of docs/tokens.md, and keys that change.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::http::{Request, Response};
use crate::node::serving;
use crate::process::{Running, code, firstcome, run, stderr, stdout};

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
    fn open(dir: &'d Path, algorithm: &str) -> Self {
        let node = "cluster.nodes = [{ name = \"n1\", api = \"127.0.0.1:8081\", \
                    peer = \"127.0.0.1:9091\" }]\n";
        std::fs::write(dir.join("c.toml"), format!("{node}{}", settings(algorithm)))
            .expect("the file");
        let arguments = [
            "serve",
            "--config",
            "c.toml",
            "--node",
            "n1",
            "--listen",
            "127.0.0.1:0",
            "--set",
            "node.listen.peer=127.0.0.1:0",
            "--set",
            "log.format=json",
            "--bootstrap",
        ];
        let mut command = firstcome(dir, &arguments);
        command.env("FIRSTCOME_MASTER_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        let (node, address, _log) = serving(command);
        Self { dir, address, _node: node }
    }

    fn orders(&self, token: &str) -> Response {
        Request::get("/v1/orders").by(token).send(&self.address).expect("an answer")
    }

    /// A purchase with the token of a customer; returns the order.
    fn buy(&self, token: &str) -> Response {
        let admin = Command::new(crate::process::OWN)
            .args(["token", "--role", "admin"])
            .current_dir(self.dir)
            .env("FIRSTCOME_MASTER_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
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
    let deadline = Instant::now() + NOTICED_MAX;
    while shop.orders(&new).status != 200 {
        assert!(Instant::now() < deadline, "the new key is not used after {NOTICED_MAX:?}");
        std::thread::yield_now();
    }
    assert_eq!(shop.orders(&old).status, 401, "the old key has gone");
}

#[test]
fn a_node_does_not_start_with_keys_that_it_cannot_use() {
    let here = tempfile::tempdir().unwrap();
    let node = "cluster.nodes = [{ name = \"n1\", api = \"127.0.0.1:8081\", \
                peer = \"127.0.0.1:9091\" }]\n";
    std::fs::write(here.path().join("c.toml"), format!("{node}{}", settings("ES256"))).unwrap();
    let serve = ["serve", "--config", "c.toml", "--node", "n1", "--listen", "127.0.0.1:0"];
    for (keys, expected) in [
        (None, "cannot read jwks.json: No such file"),
        (Some("<html>"), "jwks.json: it is not a JSON Web Key Set"),
        (Some("{\"keys\": []}"), "none of its 0 keys can verify ES256"),
    ] {
        if let Some(text) = keys {
            std::fs::write(here.path().join("jwks.json"), text).unwrap();
        }
        let output = run(here.path(), &serve);
        assert_eq!(code(&output), 78, "{}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
        assert!(!here.path().join("data").exists(), "a refused start must leave no files");
    }
}
