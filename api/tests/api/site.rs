//! A node that serves the API, and a client that sees every byte.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use firstcome_api::{ApiOptions, Issuers, Keyring, Keys, Mailer, MasterKey, Outbox, Shop};
use firstcome_domain::{Millis, Role, UserId, View as _, keyring};
use firstcome_raft::{Node, Options};
use firstcome_storage::{DataDir, Log, LogOptions, State, StateOptions};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// A running node.
pub(crate) struct Site {
    pub(crate) node: Node,
    pub(crate) keys: Arc<Keys>,
    address: String,
    dir: TempDir,
    /// Reports the versions of the master key.
    watching: AbortHandle,
    /// Sends mail.
    sending: AbortHandle,
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&self.body)))
    }

    /// Checks what every problem document promises, and returns it.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str) -> Value {
        let json = self.json();
        assert_eq!(json["code"], code, "{json}");
        assert_eq!((self.status, &json["status"]), (status, &status.into()), "{json}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.header("request-id"), json["request_id"].as_str(), "{json}");
        assert_eq!(json["type"], format!("/docs/errors#{code}"));
        assert!(self.header("x-revision").is_some_and(|revision| revision.parse::<u64>().is_ok()));
        for member in ["title", "detail", "instance", "executed"] {
            assert!(json[member].is_string(), "{member} in {json}");
        }
        assert!(json["retryable"].is_boolean());
        json
    }

    #[track_caller]
    pub(crate) fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }
}

/// A request under construction.
pub(crate) struct Ask<'s> {
    site: &'s Site,
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Ask<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.raw("application/json", body.to_string().into_bytes())
    }

    pub(crate) fn raw(mut self, media: &str, body: Vec<u8>) -> Self {
        self.body = body;
        self.header("content-type", media)
    }

    pub(crate) async fn send(self) -> Reply {
        let mut head =
            format!("{} {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            for part in [name.as_str(), ": ", value, "\r\n"] {
                head.push_str(part);
            }
        }
        head.push_str("content-length: ");
        head.push_str(&self.body.len().to_string());
        head.push_str("\r\n\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        parse(&self.site.exchange(&bytes).await)
    }
}

fn parse(bytes: &[u8]) -> Reply {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_lowercase(), value.to_owned())
    });
    Reply { status, headers: headers.collect(), body: bytes[end + 4..].to_vec() }
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::start_with(ApiOptions::default()).await
    }

    /// A node that takes tokens of these issuers as well.
    pub(crate) async fn with_issuers(issuers: Issuers) -> Self {
        Self::start_with(ApiOptions { issuers: Arc::new(issuers), ..ApiOptions::default() }).await
    }

    pub(crate) async fn start_with(api: ApiOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new("n1", dir.path().join("n1"));
        options.bootstrap = true;
        options.heartbeat = Duration::from_millis(20);
        options.election_min = Duration::from_millis(100);
        options.election_max = Duration::from_millis(200);
        let node = Node::start(options, Shop).await.unwrap();
        let site = Self::serving(node, dir, api).await;
        site.led().await;
        site
    }

    /// Serves an existing node.
    pub(crate) async fn over(node: Node, dir: TempDir) -> Self {
        Self::serving(node, dir, ApiOptions::default()).await
    }

    /// Serves the node of a site once more, with other keys: as if it had started again.
    pub(crate) async fn with_keys(&self, master: &MasterKey) -> Self {
        self.watching.abort();
        self.sending.abort();
        let (node, dir) = (self.node.clone(), tempfile::tempdir().unwrap());
        Self::serving_with(node, master, dir, ApiOptions::default()).await
    }

    async fn serving(node: Node, dir: TempDir, options: ApiOptions) -> Self {
        Self::serving_with(node, &MasterKey::generate().unwrap(), dir, options).await
    }

    /// Serves an existing node with this master key.
    pub(crate) async fn serving_with(
        node: Node,
        master: &MasterKey,
        dir: TempDir,
        options: ApiOptions,
    ) -> Self {
        let keys = Arc::new(Keys::new(master).unwrap());
        let keyring = Keyring::new(node.clone(), &keys);
        let watching = tokio::spawn(async move { keyring.watch().await }).abort_handle();
        let mailer = Arc::new(Mailer::new(&options.mail, dir.path()).unwrap());
        let outbox = Outbox::new(node.clone(), &keys, Arc::clone(&mailer));
        let sending = tokio::spawn(async move { outbox.run().await }).abort_handle();
        let options = ApiOptions { noop_route: true, mailer: Some(mailer), ..options };
        let router = firstcome_api::router(node.clone(), &keys, options.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(firstcome_api::serve(listener, router, options, std::future::pending()));
        Self { node, keys, address, dir, watching, sending }
    }

    /// Waits until there is a leader, and the keyring.
    pub(crate) async fn led(&self) {
        let led = tokio::time::timeout(Duration::from_secs(20), async {
            while self.node.linearize().await.is_err() || !self.has_keyring() {
                tokio::task::yield_now().await;
            }
        });
        led.await.expect("a leader is elected");
    }

    /// Stops the node; what it wrote is in the directory.
    pub(crate) async fn stop(self) -> TempDir {
        self.node.shutdown().await;
        self.dir
    }

    fn has_keyring(&self) -> bool {
        self.node.read(|rows| rows.get::<keyring::Keyring>(()).is_some()).unwrap_or_default()
    }

    /// The mails that were sent, oldest first.
    pub(crate) fn mails(&self) -> Vec<String> {
        let folder = std::fs::read_dir(self.dir.path().join("mail")).into_iter().flatten();
        let files = folder.map(|file| file.unwrap().path());
        let mut files: Vec<_> =
            files.filter(|path| path.extension() == Some("eml".as_ref())).collect();
        files.sort();
        files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
    }

    /// Waits until a mail is there that this finds something in.
    pub(crate) async fn mailed<T>(&self, found: impl Fn(&str) -> Option<T>) -> T {
        let wait = async {
            loop {
                if let Some(found) = self.mails().iter().rev().find_map(|mail| found(mail)) {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.expect("a mail is sent")
    }

    /// Sends bytes and reads until the node closes the connection.
    pub(crate) async fn exchange(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    }

    pub(crate) fn ask(&self, method: &'static str, path: &str) -> Ask<'_> {
        Ask { site: self, method, path: path.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn get(&self, path: &str) -> Ask<'_> {
        self.ask("GET", path)
    }

    pub(crate) fn post(&self, path: &str) -> Ask<'_> {
        self.ask("POST", path)
    }

    pub(crate) fn token(&self, user: u128, role: Role) -> String {
        self.keys.mint(UserId::new(user), role, 600)
    }

    pub(crate) fn customer(&self, user: u128) -> String {
        self.token(user, Role::Customer)
    }

    pub(crate) fn operator(&self) -> String {
        self.token(1 << 70, Role::Operator)
    }

    pub(crate) fn admin(&self) -> String {
        self.token(1 << 71, Role::Admin)
    }

    pub(crate) fn instant(&self, from_now_ms: i64) -> String {
        let at = Millis::new(self.node.log_time().get() + from_now_ms);
        let (seconds, ms) = (at.get() / 1000, at.get() % 1000);
        let t = time::OffsetDateTime::from_unix_timestamp(seconds).unwrap();
        let date = t.date();
        let (h, m, s) = t.time().as_hms();
        format!("{date}T{h:02}:{m:02}:{s:02}.{ms:03}Z")
    }

    /// A product that can be ordered without an address.
    pub(crate) async fn product(&self, name: &str, stock: u64) -> Value {
        let price = json!({ "amount": 15000, "currency": "KRW" });
        let body = json!({ "name": name, "price": price, "stock": stock, "no_shipping": true });
        let ask = self.post("/v1/admin/products").token(&self.operator()).json(&body);
        ask.send().await.is(201)
    }

    /// An open sale of a new product.
    pub(crate) async fn sale(&self, units: u64, limit: u32) -> Value {
        let product = self.product("T-shirt", units).await;
        self.sale_of(&product, json!({ "units": units, "per_customer_limit": limit })).await
    }

    pub(crate) async fn sale_of(&self, product: &Value, more: Value) -> Value {
        let mut body = json!({
            "product_id": product["id"], "title": "Drop", "units": 1,
            "opens_at": self.instant(-1000),
        });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let ask = self.post("/v1/admin/sales").token(&self.operator()).json(&body);
        ask.send().await.is(201)
    }

    pub(crate) fn order(&self, user: u128, key: &str, sale: &Value, quantity: u32) -> Ask<'_> {
        let body = json!({ "lines": [{ "sale_id": sale["id"], "quantity": quantity }] });
        self.post("/v1/orders").token(&self.customer(user)).key(key).json(&body)
    }
}

/// Everything that is written: files of the log and the state, and a snapshot as it is sent.
pub(crate) fn written(dir: &Path) -> Vec<(String, Vec<u8>)> {
    // The server still holds the lock of the directory, so a copy is opened.
    let (mut all, copy) = (Vec::new(), tempfile::tempdir().unwrap());
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        std::fs::copy(&path, copy.path().join(&name)).unwrap();
        all.push((name, std::fs::read(path).unwrap()));
    }
    let dir = DataDir::open(copy.path()).unwrap();
    let log = Log::open(&dir, LogOptions::default()).unwrap();
    let state = State::open(&dir, StateOptions::default(), log).unwrap();
    let (mut snapshot, mut bytes) = (state.snapshot().unwrap(), Vec::new());
    while let Some(chunk) = snapshot.next_chunk().unwrap() {
        bytes.extend_from_slice(&chunk);
    }
    all.push(("snapshot".to_owned(), bytes));
    state.close().unwrap();
    all
}
