//! The admin client: staff's own requests before and after a run, which are not part of the
//! history.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use crate::drive::http_client::HttpClient;
use crate::record::http::Request;

/// General stock that the sales are taken from.
const STOCK: u64 = 1_000_000;
/// How long a request is retried while the cluster settles.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// An HTTP client with a staff token.
#[derive(Debug)]
pub struct AdminClient {
    client: HttpClient,
    staff: String,
}

impl AdminClient {
    /// A client with this token.
    pub const fn new(staff: String) -> Self {
        Self { client: HttpClient::new(Duration::from_secs(10)), staff }
    }

    /// Reads until the node answers, or the time is up.
    pub fn get(&mut self, api: SocketAddr, path: &str) -> anyhow::Result<Value> {
        let (began, mut last) = (Instant::now(), String::new());
        while began.elapsed() < PATIENCE {
            match self.client.send(api, &Request::get(path, &self.staff)) {
                Ok(answer) if answer.status == 200 => return answer.body.context("not JSON"),
                Ok(answer) => last = format!("{} {:?}", answer.status, answer.body),
                Err(error) => last = format!("{error:?}"),
            }
            thread::sleep(PAUSE);
        }
        bail!("GET {path} at {api}: {last}")
    }

    /// Reads something that may not exist: `None` as soon as the node says so.
    pub fn find(&mut self, api: SocketAddr, path: &str) -> anyhow::Result<Option<Value>> {
        match self.client.send(api, &Request::get(path, &self.staff)) {
            Ok(answer) if answer.status == 404 => Ok(None),
            _ => self.get(api, path).map(Some),
        }
    }

    /// Writes until the write is done, or the time is up; with one key, so that it is done once.
    pub fn post(
        &mut self,
        api: SocketAddr,
        path: &str,
        key: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let request = Request::post(path, &self.staff, key, body.clone());
        let (began, mut last) = (Instant::now(), String::new());
        while began.elapsed() < PATIENCE {
            match self.client.send(api, &request) {
                Ok(answer) if (200..300).contains(&answer.status) => {
                    return Ok(answer.body.unwrap_or_default());
                }
                Ok(answer) if answer.status < 500 => {
                    bail!("POST {path} at {api}: {} {:?}", answer.status, answer.body)
                }
                Ok(answer) => last = format!("{} {:?}", answer.status, answer.body),
                Err(error) => last = format!("{error:?}"),
            }
            thread::sleep(PAUSE);
        }
        bail!("POST {path} at {api}: {last}")
    }

    /// All pages of a list.
    pub fn list(&mut self, api: SocketAddr, path: &str) -> anyhow::Result<Vec<Value>> {
        let mut rows = Vec::new();
        let mut cursor = String::new();
        loop {
            let mark = if path.contains('?') { '&' } else { '?' };
            let page = self.get(api, &format!("{path}{mark}limit=100{cursor}"))?;
            let data = page.get("data").and_then(Value::as_array).context("a list without data")?;
            rows.extend(data.iter().cloned());
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(rows),
            }
        }
    }

    /// All events after a revision.
    pub fn events(&mut self, api: SocketAddr, after: u64) -> anyhow::Result<Vec<Value>> {
        let mut rows: Vec<Value> = Vec::new();
        let filter = if after == 0 { String::new() } else { format!("&after={after}") };
        let mut cursor = String::new();
        loop {
            let path = format!("/v1/admin/events?limit=100{filter}{cursor}");
            let page = self.get(api, &path)?;
            let data = page.get("data").and_then(Value::as_array).context("a list without data")?;
            rows.extend(data.iter().cloned());
            // A page without events may still have a next one.
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return Ok(rows),
            }
        }
    }

    /// Creates the product; returns its id and a time at which its sales are open.
    pub fn set_up(&mut self, api: SocketAddr) -> anyhow::Result<(String, String)> {
        let time = self.get(api, "/v1/time")?;
        let now = time.get("now").and_then(Value::as_str).context("no now in /v1/time")?;
        Ok((self.product(api, "set-up", STOCK)?, now.to_owned()))
    }

    /// Creates a product; returns its id.
    pub fn product(&mut self, api: SocketAddr, key: &str, stock: u64) -> anyhow::Result<String> {
        let body = json!({"name": "jepsen", "price": {"amount": 1000, "currency": "KRW"},
            "stock": stock, "no_shipping": true});
        let product = self.post(api, "/v1/admin/products", key, &body)?;
        let id = product.get("id").and_then(Value::as_str);
        Ok(id.context("a product without id")?.to_owned())
    }

    /// The state hash of every one of `nodes` members at one revision, once all of them report it.
    pub fn hashes(
        &mut self,
        api: SocketAddr,
        nodes: usize,
    ) -> anyhow::Result<(u64, BTreeMap<String, String>)> {
        ensure!(nodes > 0, "no node");
        let began = Instant::now();
        loop {
            let body = self.get(api, "/v1/cluster/hash")?;
            let revision = body.get("revision").and_then(Value::as_u64).context("no revision")?;
            let rows = body.get("nodes").and_then(Value::as_array).context("no nodes")?;
            let hashes: BTreeMap<String, String> = rows
                .iter()
                .filter_map(|node| {
                    let text = |name: &str| node.get(name)?.as_str().map(str::to_owned);
                    Some((text("name")?, text("hash")?))
                })
                .collect();
            if hashes.len() >= nodes || began.elapsed() >= PATIENCE {
                return Ok((revision, hashes));
            }
            thread::sleep(PAUSE);
        }
    }
}
