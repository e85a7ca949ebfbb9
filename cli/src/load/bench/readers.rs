//! Anonymous readers beside the purchases: keep-alive connections that read one path without pause.
//!
//! They have a thread of their own, so that a purchase does not wait for them in the load generator
//! before it reaches a node.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::sleep;

use super::phase::{CONNECT_LIMIT, RECONNECT_PAUSE, count, label};
use crate::load::connection::Connection;

/// Readers at work; dropping them stops them.
pub(super) struct Readers {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<Reads>>,
}

/// What the readers were told.
#[derive(Default)]
pub(super) struct Reads {
    /// Responses by status and code.
    pub(super) answers: BTreeMap<String, u64>,
    /// Requests without a response.
    pub(super) lost: u64,
    seconds: f64,
}

impl Readers {
    /// Starts `per_node` connections to each node.
    pub(super) fn start(addresses: &[String], per_node: usize, path: &str) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (addresses, path) = (addresses.to_vec(), path.to_owned());
        let thread = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let reads = Rc::new(RefCell::new(Reads::default()));
            let started = Instant::now();
            let local = LocalSet::new();
            for address in addresses.iter().flat_map(|node| std::iter::repeat_n(node, per_node)) {
                local.spawn_local(connection(address.clone(), path.clone(), Rc::clone(&reads)));
            }
            // An error means that the sender was dropped, which stops the readers as well.
            drop(runtime.block_on(local.run_until(stopped)));
            drop(local);
            let mut reads = reads.take();
            reads.seconds = started.elapsed().as_secs_f64();
            Ok(reads)
        });
        Self { stop, thread }
    }

    /// Stops the readers without waiting for their last responses.
    pub(super) async fn stop(self) -> anyhow::Result<Reads> {
        drop(self.stop);
        self.thread.await.context("the readers crashed")?
    }
}

/// One connection: reads until it is stopped.
async fn connection(address: String, path: String, reads: Rc<RefCell<Reads>>) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let mut open: Option<Connection> = None;
    loop {
        let kept = open.take().filter(Connection::is_open);
        let fresh = match kept {
            Some(connection) => Ok(connection),
            None => Connection::open(&address, CONNECT_LIMIT).await,
        };
        let Ok(mut connection) = fresh else {
            sleep(RECONNECT_PAUSE).await;
            continue;
        };
        match connection.exchange(request.as_bytes()).await {
            Ok(reply) => {
                count(&mut reads.borrow_mut().answers, &label(reply.status, reply.body));
                open = Some(connection);
            }
            Err(_) => reads.borrow_mut().lost += 1,
        }
    }
}

impl Reads {
    /// Successful reads per second.
    #[expect(clippy::cast_precision_loss, reason = "a rounded figure for display")]
    pub(super) fn rate(&self) -> f64 {
        let read: u64 = self.succeeded().map(|(_, count)| *count).sum();
        (read as f64 / self.seconds).round()
    }

    /// Responses that were not successful.
    pub(super) fn failed(&self) -> u64 {
        let all: u64 = self.answers.values().sum();
        let read: u64 = self.succeeded().map(|(_, count)| *count).sum();
        all - read
    }

    fn succeeded(&self) -> impl Iterator<Item = (&String, &u64)> {
        self.answers.iter().filter(|(label, _)| label.starts_with('2'))
    }

    /// The reads as JSON.
    pub(super) fn to_json(&self) -> Value {
        json!({
            "per_second": self.rate(), "answers": self.answers, "lost": self.lost,
            "seconds": self.seconds,
        })
    }
}
