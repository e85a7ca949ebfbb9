//! Three real nodes on loopback addresses that no other test uses.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use firstcome_domain::command::{OrderCreate, ProductCreate, SaleCreate, WantedLine};
use firstcome_domain::receipt::{ReceiptKey, Scope};
use firstcome_domain::sale::Disclosure;
use firstcome_domain::stock::{Pool, PoolId};
use firstcome_domain::value::{Currency, Money};
use firstcome_domain::{
    Action, Actor, Command, Done, Millis, OrderId, Outcome, ProductId, Revision, Role, SaleId,
    UserId,
};
use firstcome_raft::{Failure, Node, Options, Peer, Reply};
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::shop::Shop;

/// Longest wait for anything in these tests; a healthy run needs a fraction of it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

static NEXT: AtomicU16 = AtomicU16::new(1);

/// Waits until `ready` answers something, or fails with `what`.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut ready: impl FnMut() -> F,
) -> T {
    let end = tokio::time::Instant::now() + DEADLINE;
    loop {
        match tokio::time::timeout_at(end, ready()).await {
            Ok(Some(value)) => return value,
            Ok(None) => assert!(tokio::time::Instant::now() < end, "not in time: {what}"),
            Err(elapsed) => panic!("not in time ({elapsed}): {what}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(crate) struct Cluster {
    folder: TempDir,
    peers: Vec<Peer>,
    pub(crate) nodes: Vec<Option<Node>>,
    pub(crate) tune: fn(&mut Options),
}

/// A loopback address of this test alone: 127.pid.pid.n.
fn address() -> String {
    let pid = std::process::id();
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("127.{}.{}.{}", 1 + (pid >> 8) % 250, pid & 0xff, 1 + n % 250)
}

impl Cluster {
    pub(crate) async fn start(size: usize, tune: fn(&mut Options)) -> Self {
        Self::start_on(&vec![Handle::current(); size], tune).await
    }

    /// Each node on a runtime of its own: one can stand still while the others go on.
    pub(crate) async fn start_on(runtimes: &[Handle], tune: fn(&mut Options)) -> Self {
        let size = runtimes.len();
        let peers = (1..=size)
            .map(|n| Peer {
                name: format!("n{n}"),
                api: format!("127.0.0.1:{}", 20_000 + n),
                peer: format!("{}:7000", address()),
            })
            .collect();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut cluster = Self { folder, peers, nodes: Vec::new(), tune };
        let starting: Vec<_> = runtimes
            .iter()
            .enumerate()
            .map(|(i, runtime)| runtime.spawn(Node::start(cluster.options(i), Shop)))
            .collect();
        for node in starting {
            let node = node.await.expect("no panic").expect("a node");
            cluster.nodes.push(Some(node));
        }
        cluster.leader().await;
        cluster
    }

    pub(crate) fn data_dir(&self, i: usize) -> PathBuf {
        self.folder.path().join(format!("n{}", i + 1))
    }

    pub(crate) fn options(&self, i: usize) -> Options {
        let own = &self.peers[i];
        let mut options = Options::new(&own.name, self.data_dir(i));
        options.api.clone_from(&own.api);
        options.peer.clone_from(&own.peer);
        options.peer_listen = Some(own.peer.parse().expect("an address"));
        options.peers.clone_from(&self.peers);
        options.bootstrap = true;
        options.state_cache_bytes = 4 << 20;
        options.log_cache_bytes = 4 << 20;
        options.log_segment_bytes = 64 << 10;
        (self.tune)(&mut options);
        options
    }

    /// A node that is configured, but not in the list of the first start.
    pub(crate) fn newcomer(&mut self) -> (Options, Peer) {
        let n = self.peers.len() + 1;
        let peer = Peer {
            name: format!("n{n}"),
            api: format!("127.0.0.1:{}", 20_000 + n),
            peer: format!("{}:7000", address()),
        };
        self.peers.push(peer.clone());
        let mut options = self.options(n - 1);
        options.bootstrap = false;
        (options, peer)
    }

    pub(crate) fn node(&self, i: usize) -> Node {
        self.nodes[i].clone().expect("a running node")
    }

    pub(crate) fn running(&self) -> Vec<Node> {
        self.nodes.iter().flatten().cloned().collect()
    }

    /// The index of the node that every running node takes for the leader.
    pub(crate) async fn leader(&self) -> usize {
        let name = eventually("one leader that all agree on", || async {
            let names: Vec<_> = self.running().iter().map(Node::leader_name).collect();
            let first = names.first().cloned().flatten()?;
            let alive = self.running().iter().any(|n| n.name() == first);
            (alive && names.iter().all(|n| n.as_ref() == Some(&first))).then_some(first)
        })
        .await;
        self.peers.iter().position(|p| p.name == name).expect("a configured name")
    }

    /// Stops a node in order; its directory stays.
    pub(crate) async fn stop(&mut self, i: usize) {
        self.nodes[i].take().expect("a running node").shutdown().await;
    }

    pub(crate) async fn restart(&mut self, i: usize) {
        let options = self.options(i);
        let node = eventually("the directory is free again", || async {
            Node::start(options.clone(), Shop).await.ok()
        })
        .await;
        self.nodes[i] = Some(node);
    }

    /// Waits until all running nodes have applied the same and asserts equal hashes.
    pub(crate) async fn assert_equal_hashes(&self) {
        let running = self.running();
        let (revision, hashes) = running[0].hashes(None).await.expect("hashes");
        let known: Vec<_> = hashes.iter().filter_map(|h| h.hash.clone()).collect();
        assert_eq!(known.len(), running.len(), "at {revision}: {hashes:?}");
        assert!(known.iter().all(|h| *h == known[0]), "at {revision}: {hashes:?}");
    }
}

pub(crate) fn staff() -> Actor {
    Actor::User { id: UserId::new(1), role: Role::Operator }
}

pub(crate) fn customer(n: u128) -> Actor {
    Actor::User { id: UserId::new(1000 + n), role: Role::Customer }
}

pub(crate) fn command(actor: Actor, action: Action) -> Command {
    Command { actor, receipt: None, action }
}

pub(crate) const SALE: SaleId = SaleId::new(77);
pub(crate) const PRODUCT: ProductId = ProductId::new(7);

/// Creates one product and one sale of `units`, open from 1970 on.
pub(crate) async fn open_sale(node: &Node, units: u64) {
    let price = Money { amount: 15_000, currency: Currency::new("KRW").expect("three letters") };
    let product = Action::ProductCreate(ProductCreate {
        id: PRODUCT,
        name: "cup".to_owned(),
        description: None,
        image_url: None,
        no_shipping: true,
        price,
        stock: units,
        waitlist: false,
    });
    let sale = Action::SaleCreate(SaleCreate {
        id: SALE,
        product: PRODUCT,
        title: "spring".to_owned(),
        units,
        price: None,
        opens_at: Millis::new(0),
        closes_at: None,
        per_customer_limit: 1,
        pay_within_ms: None,
        disclosure: Disclosure::Exact,
        waitlist: false,
    });
    for action in [product, sale] {
        let mut command = command(staff(), action);
        command.receipt = Some(key(command.action.name().len() as u128));
        let reply = insist(node, command).await;
        assert!(matches!(reply.outcome, Outcome::Done(_)), "{reply:?}");
    }
}

pub(crate) fn key(n: u128) -> ReceiptKey {
    let mut scope = [0; 32];
    scope[..16].copy_from_slice(&n.to_be_bytes());
    ReceiptKey { scope: Scope(scope), fingerprint: scope }
}

/// One unit for customer `n`, with a receipt key of its own.
pub(crate) fn order(n: u128) -> Command {
    let mut command = command(
        customer(n),
        Action::OrderCreate(OrderCreate {
            id: OrderId::new(1_000_000 + n),
            lines: vec![WantedLine { target: PoolId::Sale(SALE), quantity: 1 }],
            address: None,
            expected_total: None,
        }),
    );
    command.receipt = Some(key(1_000_000 + n));
    command
}

/// Repeats a keyed command until there is an outcome.
pub(crate) async fn insist(node: &Node, command: Command) -> Reply {
    assert!(command.receipt.is_some(), "only a keyed command may be repeated");
    eventually("an outcome", || async { node.propose(command.clone()).await.ok() }).await
}

pub(crate) fn is_order(reply: &Result<Reply, Failure>) -> bool {
    matches!(reply, Ok(Reply { outcome: Outcome::Done(Done::Order(_)), .. }))
}

/// The accounts of the sale's pool as this node has applied them.
pub(crate) fn accounts(node: &Node) -> firstcome_domain::stock::Accounts {
    use firstcome_domain::View;
    node.read(|view| view.get::<Pool>(PoolId::Sale(SALE)))
        .expect("readable")
        .expect("a pool")
        .accounts
}

pub(crate) fn revision(node: &Node) -> Revision {
    node.applied().revision
}
