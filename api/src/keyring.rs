//! The master key of this node against the keyring of its cluster.
//!
//! The row says which version is active, and has a check value of each. A node that lacks the active
//! version, or has another key under the same number, must not serve: its tokens and its sealed
//! values would be of no use to the others. So the row is looked at on every request, and a node
//! without a row (a first start, or a node that just joined) first learns what the cluster has.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use firstcome_domain::command::{KeyringCreate, MasterCheck, MasterVersionAdd};
use firstcome_domain::keyring::{self, ClusterKey, MasterState, Purpose};
use firstcome_domain::value::RowStamp;
use firstcome_domain::{Action, Actor, Command, Outcome, Revision, View as _};
use firstcome_raft::{Failure, FailureReason, Node};
use tokio::sync::Mutex;

use crate::keys::{Keys, OwnKeys, Ring, random_key};
use crate::problem::{Code, Problem};
use crate::seal;

/// How long a node waits until it has applied the keyring that the cluster decided on.
const APPLY_MAX: Duration = Duration::from_secs(2);

/// How often a node compares its file with the keyring.
const COMPARE_PERIOD: Duration = Duration::from_millis(500);

/// How often it looks before the keyring is known.
const COMPARE_PERIOD_FIRST: Duration = Duration::from_millis(50);

/// The master key of this node is not the one that its cluster uses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct KeyMismatch {
    /// The versions that this node has.
    has: Vec<u32>,
    /// The versions that the cluster uses and this node lacks.
    lacks: Vec<u32>,
    /// The versions under which this node has another key.
    differ: Vec<u32>,
}

impl fmt::Display for KeyMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |numbers: &[u32]| {
            let numbers: Vec<_> = numbers.iter().map(ToString::to_string).collect();
            numbers.join(", ")
        };
        write!(
            f,
            "the master key of this node does not fit its cluster: it has version {}",
            list(&self.has)
        )?;
        if !self.lacks.is_empty() {
            write!(f, "; the cluster uses version {}, which it lacks", list(&self.lacks))?;
        }
        if !self.differ.is_empty() {
            write!(f, "; version {} is another key than the cluster's", list(&self.differ))?;
        }
        f.write_str("; copy the key file of a node that serves to this one and start it again")
    }
}

impl std::error::Error for KeyMismatch {}

/// Why a node cannot use the keyring now.
enum Unusable {
    Mismatch(KeyMismatch),
    Unread(Failure),
}

impl From<Unusable> for Problem {
    fn from(why: Unusable) -> Self {
        match why {
            Unusable::Mismatch(_) => not_ready(MISMATCH),
            Unusable::Unread(failure) => failure.into(),
        }
    }
}

const MISMATCH: &str = "the master key of this node is not that of its cluster";
const UNKNOWN: &str = "the keyring of the cluster is not known here yet";

fn not_ready(failing: &str) -> Problem {
    Problem::new(Code::NotReady).member("failing", vec![failing])
}

/// A node with its keys, and the keyring that both have to fit.
pub struct Keyring {
    node: Node,
    keys: Arc<Keys>,
    /// Held by the one request that asks for a first keyring.
    creating: Mutex<()>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring([redacted])")
    }
}

impl Keyring {
    /// The keyring of a node with these keys.
    pub fn new(node: Node, keys: &Keys) -> Self {
        Self { node, keys: Arc::new(keys.for_node()), creating: Mutex::new(()) }
    }

    /// The keys, which follow the keyring.
    pub(crate) fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys)
    }

    /// Follows the keyring as applied here; answers whether there is one.
    pub(crate) fn follow(&self) -> Result<bool, Problem> {
        Ok(self.try_follow()?)
    }

    /// What keeps this node from being ready.
    pub(crate) fn failing(&self) -> Option<String> {
        let failing = match self.try_follow() {
            Ok(true) => return None,
            Ok(false) | Err(Unusable::Unread(_)) => UNKNOWN,
            Err(Unusable::Mismatch(_)) => MISMATCH,
        };
        Some(failing.to_owned())
    }

    /// Makes sure that the keyring is known here and fits. Where there is no row, the cluster is
    /// asked for its first keyring: the answer shows the one it has.
    pub(crate) async fn ensure(&self) -> Result<(), Problem> {
        if self.try_follow()? {
            return Ok(());
        }
        let _turn = self.creating.lock().await;
        if self.try_follow()? {
            return Ok(());
        }
        let Some(first) = self.first() else { return Err(Problem::new(Code::Internal)) };
        let decided = self.propose(Action::KeyringCreate(first)).await.map_err(|failure| {
            // Whatever became of the keyring, the request itself was not executed.
            match failure.reason {
                FailureReason::OutcomeUnknown => not_ready(UNKNOWN),
                _ => failure.into(),
            }
        })?;
        self.node.wait_applied(decided, APPLY_MAX).await.map_err(|_| not_ready(UNKNOWN))?;
        if self.try_follow()? { Ok(()) } else { Err(not_ready(UNKNOWN)) }
    }

    /// Reports the versions of this node to the cluster, and compares them for as long as it runs.
    /// Returns when they do not fit.
    pub async fn watch(&self) -> KeyMismatch {
        let mut told = None;
        loop {
            let period = match self.try_follow() {
                // Rows of a node that was down may lag behind a rotation that its file has seen.
                Err(Unusable::Mismatch(mismatch)) => match self.node.linearize().await {
                    Ok(_) if matches!(self.try_follow(), Err(Unusable::Mismatch(_))) => {
                        return mismatch;
                    }
                    Ok(_) | Err(_) => COMPARE_PERIOD_FIRST,
                },
                Err(Unusable::Unread(_)) => COMPARE_PERIOD,
                Ok(true) => {
                    self.report(&mut told).await;
                    COMPARE_PERIOD
                }
                Ok(false) => {
                    drop(self.ensure().await);
                    COMPARE_PERIOD_FIRST
                }
            };
            tokio::time::sleep(period).await;
        }
    }

    fn try_follow(&self) -> Result<bool, Unusable> {
        let row = self.node.read(|rows| rows.get::<keyring::Keyring>(()));
        let Some(row) = row.map_err(Unusable::Unread)? else { return Ok(false) };
        if self.keys.ring().is_none_or(|ring| ring.row.version < row.row.version) {
            let ring = self.ring_of(&row).map_err(Unusable::Mismatch)?;
            let Some(ring) = ring else { return Ok(false) };
            self.keys.follow(ring);
        }
        Ok(true)
    }

    /// What a row says; `None` if it lacks a key, as it came from an earlier release.
    fn ring_of(&self, row: &keyring::Keyring) -> Result<Option<Ring>, KeyMismatch> {
        let cluster = self.node.cluster_uuid();
        let mut mismatch = KeyMismatch::default();
        for version in row.versions.iter().filter(|it| it.state != MasterState::Retired) {
            match self.keys.version(version.number) {
                None if version.state == MasterState::Active => mismatch.lacks.push(version.number),
                Some(own) if own.check(cluster) != version.check => {
                    mismatch.differ.push(version.number);
                }
                None | Some(_) => {}
            }
        }
        let active = row.active().map(|version| version.number);
        let opened =
            |key: &ClusterKey| Some((key.purpose, key.number, seal::unwrap(&self.keys, key)?));
        let keys: Option<Vec<_>> = row.keys.iter().map(opened).collect();
        let fits = mismatch == KeyMismatch::default();
        if let (Some(active), Some(keys), true) = (active, keys, fits) {
            let retired = row.versions.iter().filter(|it| it.state == MasterState::Retired);
            let retired = retired.map(|version| version.number).collect();
            let ring = |own| Ring { row: row.row, active, retired, own };
            return Ok(OwnKeys::of(&keys).map(ring));
        }
        mismatch.has = self.versions().iter().map(|version| version.number).collect();
        Err(mismatch)
    }

    /// The versions of this node, ascending.
    fn versions(&self) -> Vec<MasterCheck> {
        let cluster = self.node.cluster_uuid();
        let checks = self
            .keys
            .versions()
            .map(|version| MasterCheck { number: version.number, check: version.check(cluster) });
        let mut checks: Vec<_> = checks.collect();
        checks.reverse();
        checks
    }

    /// A first keyring. Its keys are wrapped by the oldest version, because every node has that, or
    /// by the active one if there is a keyring that lacks keys.
    fn first(&self) -> Option<KeyringCreate> {
        let row = self.node.read(|rows| rows.get::<keyring::Keyring>(())).ok()?;
        let active = row.and_then(|row| row.active().map(|version| version.number));
        let version = match active {
            Some(number) => self.keys.version(number),
            None => self.keys.signer(),
        };
        let wrapped = |purpose| seal::wrap(version?, purpose, 1, &random_key().ok()?);
        let keys = Purpose::ALL.into_iter().map(wrapped).collect::<Option<_>>()?;
        Some(KeyringCreate { node: self.node.id(), versions: self.versions(), keys })
    }

    /// Tells the cluster which versions this node has, unless it knows. `told` is the keyring that
    /// was told last: what it refused once, it is not told again before it changes.
    async fn report(&self, told: &mut Option<RowStamp>) {
        let (node, versions) = (self.node.id(), self.versions());
        let Ok(Some(row)) = self.node.read(|rows| rows.get::<keyring::Keyring>(())) else { return };
        let has = |number| versions.iter().any(|version| version.number == number);
        let is_known = versions.iter().all(|version| row.version(version.number).is_some())
            && row.versions.iter().all(|it| it.nodes.contains(&node) == has(it.number));
        if is_known || told.replace(row.row) == Some(row.row) {
            return;
        }
        let report = MasterVersionAdd { node, versions };
        if let Err(failure) = self.propose(Action::MasterVersionAdd(report)).await {
            *told = None;
            tracing::debug!(%failure, "the versions of the master key were not reported");
        }
    }

    /// Proposes as the node, and answers the revision of the decision.
    async fn propose(&self, action: Action) -> Result<Revision, Failure> {
        let command = Command { actor: Actor::Node, receipt: None, action };
        let reply = self.node.propose(command).await?;
        if let Outcome::Refused(refusal) = &reply.outcome {
            tracing::warn!(code = refusal.code(), "the cluster refused what this node has as keys");
        }
        Ok(reply.decided.revision)
    }
}

/// All keys of the cluster, wrapped by another version. `None` if this node lacks a version.
pub(crate) fn wrap_again(
    keys: &Keys,
    row: &keyring::Keyring,
    version: u32,
) -> Option<Vec<ClusterKey>> {
    let version = keys.version(version)?;
    let wrapped = row.keys.iter().map(|key| {
        let plain = seal::unwrap(keys, key)?;
        seal::wrap(version, key.purpose, key.number, &plain)
    });
    wrapped.collect()
}
