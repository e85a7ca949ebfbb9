//! The operator: replaces a member, as `operations.md` says it is done after a disk was lost. Remove
//! the old member, start an empty node, add it, promote it when it is in sync.
//!
//! A disk is wiped only once its member is known to be removed: the verb said so, or the node itself
//! was told. Anything else would destroy what the cluster may still rely on. But for the disk that is
//! lost or damaged first, sometimes: one at a time, and an empty node must not come back before it
//! was replaced.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use firstcome_raft::{ClusterStatus, Failure, FailureReason, MemberRole, Node};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::cluster::{Cluster, Door, Doors};
use crate::dice::Dice;
use crate::trace::Trace;

/// How long one verb may take before the operator looks again.
const VERB_MAX: Duration = Duration::from_secs(12);
/// Pause between two verbs.
const PAUSE: Duration = Duration::from_millis(300);
/// How often a removal is tried before the operator lets it be.
const REMOVALS_MAX: usize = 12;
/// How often the operator looks at a member that did not take its identity.
const LOOKS_MAX: usize = 20;
/// How long, in ms, nobody notices that a disk was lost.
const LOST_MS: (u64, u64) = (500, 4_000);

/// What driver, nemesis and operator tell each other.
#[derive(Default)]
pub struct Office {
    /// The machine whose member is to be replaced.
    pub wish: Mutex<Option<usize>>,
    /// The machine that loses its disk, now, while its member is still one.
    pub lose: Mutex<Option<usize>>,
    /// The machine whose disk is damaged, now, while its member is still one.
    pub damage: Mutex<Option<usize>>,
    /// The machine whose disk was damaged; its node may refuse to start until it is replaced.
    pub damaged: Mutex<Option<usize>>,
    /// The machine that is to get an empty disk, now.
    pub wipe: Mutex<Option<usize>>,
    /// Machines whose node was told that it is removed.
    pub gone: Mutex<Vec<usize>>,
    /// The machine whose member is being replaced.
    pub busy: Mutex<Option<usize>>,
    /// No further replacements are wished for.
    pub closed: AtomicBool,
    /// How many members were replaced.
    pub replaced: Mutex<u64>,
}

/// Works until the run ends.
pub struct Operator {
    office: Arc<Office>,
    doors: Doors,
    trace: Arc<Trace>,
    dice: Dice,
}

impl Operator {
    /// Nothing to do yet.
    pub fn new(office: Arc<Office>, doors: Doors, trace: Arc<Trace>, dice: Dice) -> Self {
        Self { office, doors, trace, dice }
    }

    /// Fulfils one wish after the other.
    pub async fn work(mut self) {
        loop {
            tokio::time::sleep(PAUSE).await;
            // A removal that was given up may be done late: whoever is gone is replaced, too.
            let gone = self.office.gone.lock().first().copied();
            let wish = self.office.wish.lock().take().or(gone);
            if let Some(at) = wish {
                *self.office.busy.lock() = Some(at);
                if self.replace(at).await {
                    *self.office.replaced.lock() += 1;
                }
                *self.office.busy.lock() = None;
            }
        }
    }

    /// Any running node but this one.
    fn door(&mut self, but: usize) -> Option<Door> {
        let open: Vec<Door> = self
            .doors
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != but)
            .filter_map(|(_, door)| door.lock().clone())
            .collect();
        let index = self.dice.index(open.len());
        open.get(index).cloned()
    }

    /// Asks a node, in its own runtime; `None` if it died or took too long.
    async fn ask<T: Send + 'static, F>(
        &mut self,
        but: usize,
        verb: impl FnOnce(Node) -> F,
    ) -> Option<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let door = self.door(but)?;
        let (answer, answered) = oneshot::channel();
        let asked = verb(door.node.clone());
        drop(door.handle.spawn(async move { drop(answer.send(asked.await)) }));
        tokio::time::timeout(VERB_MAX, answered).await.ok()?.ok()
    }

    fn is_gone(&self, at: usize) -> bool {
        self.office.gone.lock().contains(&at)
    }

    fn id_of(&self, at: usize) -> Option<u64> {
        let door = self.doors.get(at)?.lock().clone()?;
        Some(door.node.observe().id)
    }

    async fn replace(&mut self, at: usize) -> bool {
        if !self.is_gone(at) {
            let Some(id) = self.id_of(at) else { return false };
            // Not more than the cluster says that it can lose: its last change may not be done.
            let wished = self.dice.per_mille(400);
            let lost = wished && self.can_lose_one(at).await;
            if lost {
                let how =
                    if self.dice.per_mille(500) { &self.office.lose } else { &self.office.damage };
                *how.lock() = Some(at);
                let unnoticed = self.dice.between(LOST_MS.0, LOST_MS.1);
                tokio::time::sleep(Duration::from_millis(unnoticed)).await;
            }
            self.trace.event("operator", &format!("removes n{}, member {id}", at + 1));
            let mut removed = self.remove(at, id).await;
            while lost && !removed {
                removed = self.remove(at, id).await;
            }
            if !removed {
                self.trace.event("operator", "lets the removal be");
                return false;
            }
        }
        self.wipe(at).await;
        self.add(at).await;
        true
    }

    async fn can_lose_one(&mut self, at: usize) -> bool {
        let status: Option<Result<ClusterStatus, Failure>> =
            self.ask(at, |node| async move { node.cluster(false).await }).await;
        matches!(status, Some(Ok(status)) if status.can_lose > 0)
    }

    async fn remove(&mut self, at: usize, id: u64) -> bool {
        for _ in 0..REMOVALS_MAX {
            if self.is_gone(at) {
                return true;
            }
            let removed: Option<Result<(), Failure>> =
                self.ask(at, |node| async move { node.remove_member(id).await }).await;
            match removed {
                Some(Ok(())) => return true,
                // An earlier try was done, and its answer lost.
                Some(Err(Failure { reason: FailureReason::Rejected(why), .. }))
                    if why == format!("there is no member {id}") =>
                {
                    return true;
                }
                _ => tokio::time::sleep(PAUSE).await,
            }
        }
        false
    }

    /// Has the driver wipe the disk and start an empty node.
    async fn wipe(&self, at: usize) {
        *self.office.wipe.lock() = Some(at);
        while self.office.wipe.lock().is_some() {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Goes on until the machine's node is a voter.
    async fn add(&mut self, at: usize) {
        let name = format!("n{}", at + 1);
        // The machine's ids grow; a node that lags may still show an earlier one.
        let (mut newest, mut looks) = (0, 0);
        loop {
            tokio::time::sleep(PAUSE).await;
            if self.is_gone(at) {
                self.wipe(at).await;
            }
            let status: Option<Result<ClusterStatus, Failure>> =
                self.ask(at, |node| async move { node.cluster(false).await }).await;
            let Some(Ok(status)) = status else { continue };
            let Some(member) = status.members.iter().find(|member| member.name == name) else {
                let (name, api, peer) = (name.clone(), Cluster::api(at), Cluster::peer(at));
                let added: Option<Result<u64, Failure>> = self
                    .ask(at, |node| async move { node.add_member(name, api, peer).await })
                    .await;
                self.trace.event("operator", &format!("adds n{}: {added:?}", at + 1));
                if let Some(Ok(id)) = added {
                    newest = id;
                }
                looks = 0;
                continue;
            };
            let id = member.id;
            if id < newest.max(self.id_of(at).unwrap_or(0)) {
                continue;
            }
            newest = id;
            if self.id_of(at) == Some(id) {
                looks = 0;
                if member.role == MemberRole::Voter {
                    self.trace.event("operator", &format!("n{} votes as member {id}", at + 1));
                    return;
                }
                let _: Option<Result<(), Failure>> =
                    self.ask(at, |node| async move { node.promote(id).await }).await;
                continue;
            }
            looks += 1;
            if looks > LOOKS_MAX {
                // It was added and never learned its id: as the error says, remove and add again.
                looks = 0;
                self.trace.event("operator", &format!("takes member {id} back"));
                if self.remove(at, id).await {
                    // It may know its id by now, and not yet whom to ask whether it is a member.
                    self.wipe(at).await;
                }
            }
        }
    }

    /// Whether a replacement is under way or wished for.
    pub fn is_needed(office: &Office) -> bool {
        office.busy.lock().is_some()
            || office.wish.lock().is_some()
            || !office.gone.lock().is_empty()
    }

    /// Wishes for a replacement, unless one is under way or the office is closed.
    pub fn wish(office: &Office, at: usize) {
        if !office.closed.load(Ordering::Relaxed) && !Self::is_needed(office) {
            *office.wish.lock() = Some(at);
        }
    }
}
