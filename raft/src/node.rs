//! One node: proposes, forwards, reads, and tells what it knows.

#[cfg(test)]
mod tests;

use openraft::async_runtime::WatchReceiver;
use std::sync::Arc;
use std::time::Duration;

use firstcome_domain::{Command, Millis, Revision, Stamp};
use firstcome_fault::Trigger;
use firstcome_storage::dir::IdentityState;
use firstcome_storage::query::ReadView;
use firstcome_storage::{DataDir, Identity};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::admission::Admission;
use crate::answer::{Failure, FailureReason, Reply, StartError, not_executed};
use crate::application::Application;
use crate::clock::Clock;
use crate::core::Core;
use crate::counters::Counters;
use crate::failure::{FailureSlot, exit};
use crate::files;
use crate::in_flight::InFlight;
use crate::leadership::Leadership;
use crate::log_format;
use crate::log_store::LogStore;
use crate::members::Members;
use crate::network::greeting::Strangers;
use crate::network::peer::Factory;
use crate::network::{Dialer, server, stream};
use crate::options::Options;
use crate::protocol::Admin;
use crate::readers::Readers;
use crate::state_machine::Raft;
use crate::state_machine::StateMachine;
use crate::status::{ClusterStatus, NodeHash};
use crate::transfers::Transfers;
use crate::{admin, bootstrap, propose, read_index, timers};

/// A running node; cheap to clone.
#[derive(Clone)]
pub struct Node {
    pub(crate) core: Arc<Core>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

impl Node {
    /// Opens the directory, joins or forms the cluster, and starts. Returns as soon as requests
    /// can be taken (there may be no leader yet).
    ///
    /// The runtime that polls this call runs every task of the node; its methods may be called
    /// from any other.
    pub async fn start(
        options: Options,
        application: impl Application,
    ) -> Result<Self, StartError> {
        let config = raft_config(&options)?;
        let listener =
            match options.peer_listen {
                Some(address) => Some(stream::listen(address).await.map_err(|source| {
                    StartError::Listen { address: address.to_string(), source }
                })?),
                None => None,
            };
        let dir = if DataDir::is_vacant_on(&*options.disk, &options.data_dir)? {
            bootstrap::first_start(&options, listener.as_ref()).await?
        } else {
            DataDir::open_on(Arc::clone(&options.disk), &options.data_dir)?
        };
        let identity = check_identity(&dir, &options)?;
        let (log, state) = files::open(&dir, &options)?;

        let failure = FailureSlot::default();
        let hook = failure.clone();
        state.on_failure(Box::new(move |error| hook.set_storage(error)));
        let hook = failure.clone();
        log.on_failure(Box::new(move |error| hook.set_storage(error)));
        let dialer = Dialer {
            cluster_uuid: identity.cluster_uuid.clone(),
            incarnation: identity.incarnation,
            node_id: identity.node_id,
            dial: options.dial.clone(),
            connect_timeout: options.connect_timeout,
            failure: failure.clone(),
            strangers: Strangers::default(),
            runtime: Handle::current(),
        };
        let members = Arc::new(Members::new(dialer.clone()));
        let transfers = Arc::<Transfers>::default();
        let factory = Factory {
            dialer,
            members: Arc::clone(&members),
            transfers: Arc::clone(&transfers),
            rpc_timeout: options.rpc_timeout,
            chunk_timeout: options.chunk_timeout,
        };
        let counters = Arc::<Counters>::default();
        let (applied_tx, applied) = watch::channel(0);
        let application: Arc<dyn Application> = Arc::new(application);
        let machine = StateMachine::open(
            state.clone(),
            applied_tx,
            failure.clone(),
            Arc::clone(&counters),
            Arc::clone(&application),
        )?;
        let store = LogStore::new(log.clone(), failure.clone());
        let raft = Raft::new(identity.node_id, config, factory, store, machine).await.map_err(
            |error| match failure.first() {
                Some((code, reason)) => StartError::Failed { code, reason },
                None => StartError::Raft(error.to_string()),
            },
        )?;
        let (readers, queue) = Readers::new();
        let clock_max = i64::try_from(options.clock_max.as_millis()).unwrap_or(i64::MAX);
        let core = Arc::new(Core {
            leadership: Leadership::new(identity.node_id, &raft, options.election_max),
            clock: Clock::new(options.clock_offset_ms, clock_max),
            dir: Mutex::new(Some(dir)),
            members,
            transfers,
            applied,
            failure,
            admission: Arc::new(Admission::new(options.admission_queue)),
            in_flight: InFlight::default(),
            readers,
            counters,
            identity,
            raft,
            log,
            state,
            options,
            application,
        });
        let mut tasks = vec![
            tokio::spawn(read_index::run(Arc::clone(&core), queue)),
            tokio::spawn(timers::run_due(Arc::clone(&core))),
            tokio::spawn(timers::run_snapshots(Arc::clone(&core))),
            tokio::spawn(timers::run_changes(Arc::clone(&core))),
            tokio::spawn(timers::run_clock(Arc::clone(&core))),
            tokio::spawn(timers::run_watch(Arc::clone(&core))),
        ];
        if let Some(listener) = listener {
            tasks.push(tokio::spawn(server::run(Arc::clone(&core), listener)));
        }
        let node = Self { core, tasks: Arc::new(Mutex::new(tasks)) };
        // A simulation has many nodes in one process, and asks them itself.
        if firstcome_fault::IS_FAULT_BUILD && !cfg!(simulation) {
            node.obey();
        }
        let core = &node.core;
        bootstrap::initialize(&core.options, core.id(), &core.log, &core.raft).await?;
        tracing::info!(
            cluster = core.identity.cluster_uuid,
            id = core.id(),
            name = core.identity.name,
            "node started"
        );
        Ok(node)
    }

    /// Does what the control socket of a fault build asks for, for as long as the node lives.
    fn obey(&self) {
        let (runtime, core) = (Handle::current(), Arc::downgrade(&self.core));
        let node = move || {
            let core = core.upgrade().ok_or("the node has ended")?;
            Ok::<_, String>(Self { core, tasks: Arc::default() })
        };
        let (handle, found) = (runtime.clone(), node.clone());
        firstcome_fault::on_trigger(Trigger::Elect, move || {
            let elected = handle.block_on(found()?.core.raft.trigger().elect(false));
            elected.map_err(|error| error.to_string())
        });
        firstcome_fault::on_trigger(Trigger::Snapshot, move || {
            runtime.block_on(node()?.snapshot()).map(drop).map_err(|error| error.to_string())
        });
    }

    /// Proposes a command through the leader; answers after a majority made it durable and
    /// the leader applied it.
    pub async fn propose(&self, command: Command) -> Result<Reply, Failure> {
        propose::propose(&self.core, command).await
    }

    /// Makes sure that reads from now on see everything decided before the call; answers the
    /// revision that is applied here.
    pub async fn linearize(&self) -> Result<Revision, Failure> {
        read_index::linearize(&self.core).await
    }

    /// Waits until this node has applied `revision`, or fails with `RevisionNotReached`.
    pub async fn wait_applied(&self, revision: Revision, limit: Duration) -> Result<(), Failure> {
        self.core.wait_index(revision.get(), limit).await
    }

    /// Reads rows as applied here; short closures only. A storage error stops the node.
    pub fn read<R>(&self, f: impl FnOnce(&ReadView) -> R) -> Result<R, Failure> {
        self.core.read(f)
    }

    /// Last applied revision and log time here.
    pub fn applied(&self) -> Stamp {
        let applied = self.core.state.applied();
        Stamp { revision: applied.revision.unwrap_or_default(), now: applied.now }
    }

    /// Log time as a leader would stamp now: never behind the last stamp. For countdowns. A node
    /// whose clock is off tells the voters' median, because it is their time that decides.
    pub fn log_time(&self) -> Millis {
        let core = &self.core;
        let now = if core.clock.is_fit() {
            core.clock.now()
        } else {
            let offset = core.clock.offset_ms();
            Millis::new((core.clock.wall() - offset).max(0))
        };
        now.max(core.state.applied().now)
    }

    /// The cluster as this node sees it; unless `local`, every member is asked how far it is.
    pub async fn cluster(&self, local: bool) -> Result<ClusterStatus, Failure> {
        admin::status(&self.core, local).await
    }

    /// The leader's name as known here, cheaply.
    pub fn leader_name(&self) -> Option<String> {
        let leader = self.core.leadership.leader()?;
        let metrics = self.core.leadership.metrics().borrow_watched();
        metrics.membership_config.get_node(&leader).map(|node| node.name.clone())
    }

    /// Whether this node leads, as far as it can tell, and a majority heard from it lately.
    pub fn leads(&self) -> bool {
        self.core.leadership.leader() == Some(self.core.id())
    }

    /// Whether this node has heard of a leader within a span of time: otherwise its rows may be
    /// older than that.
    pub fn heard_leader_within(&self, span: Duration) -> bool {
        self.core.leadership.leader_within(span).is_some()
    }

    /// This node's id in the cluster.
    pub fn id(&self) -> u64 {
        self.core.id()
    }

    /// The UUID of the cluster.
    pub fn cluster_uuid(&self) -> &str {
        &self.core.identity.cluster_uuid
    }

    /// This node's name.
    pub fn name(&self) -> &str {
        &self.core.identity.name
    }

    /// State hashes of all members at one revision (default: the newest decided one).
    pub async fn hashes(
        &self,
        revision: Option<Revision>,
    ) -> Result<(Revision, Vec<NodeHash>), Failure> {
        let revision = match revision {
            Some(revision) => revision,
            None => self.linearize().await?,
        };
        Ok((revision, admin::hashes(&self.core, revision.get()).await))
    }

    /// What keeps this node from being ready; empty when it is.
    pub fn not_ready(&self) -> Vec<String> {
        let core = &self.core;
        let leader = core.leadership.leader();
        let applied = *core.applied.borrow();
        let committed =
            core.leadership.metrics().borrow_watched().local_committed.map_or(0, |id| id.index);
        let mut reasons = Vec::new();
        if core.admission.is_draining() {
            reasons.push("draining".to_owned());
        }
        if leader.is_none() {
            reasons.push("no leader is known".to_owned());
        }
        if committed > applied + READY_LAG_MAX {
            reasons.push(format!("{} decided entries are not applied yet", committed - applied));
        }
        reasons
    }

    /// Adds the node that listens at `peer` (started with an empty directory and without
    /// `--bootstrap`, waiting to be added) as a learner; answers its new id.
    pub async fn add_member(
        &self,
        name: String,
        api: String,
        peer: String,
    ) -> Result<u64, Failure> {
        admin::ask_leader(&self.core, Admin::Add(log_format::Address { name, api, peer })).await
    }

    /// Makes a learner in sync a voter.
    pub async fn promote(&self, id: u64) -> Result<(), Failure> {
        admin::ask_leader(&self.core, Admin::Promote(id)).await.map(drop)
    }

    /// Removes a member; its id is never used again.
    pub async fn remove_member(&self, id: u64) -> Result<(), Failure> {
        admin::ask_leader(&self.core, Admin::Remove(id)).await.map(drop)
    }

    /// Hands leadership to `to` (default: the most advanced voter) and waits for it.
    pub async fn transfer_leader(&self, to: Option<u64>) -> Result<u64, Failure> {
        admin::ask_leader(&self.core, Admin::Transfer(to)).await
    }

    /// Makes everything applied here durable, and answers up to where that is. Also asks Raft to
    /// move the snapshot mark there, and to purge what retention allows; it does both soon after.
    pub async fn snapshot(&self) -> Result<Revision, Failure> {
        let state = self.core.state.clone();
        let saved = files::apart(move || state.checkpoint()).await;
        let stopped = || not_executed(FailureReason::Draining);
        let saved = saved.map_err(|_| stopped())?.map_err(|error| {
            self.core.failure.set_storage(&error);
            stopped()
        })?;
        timers::mark_and_purge(&self.core).await.map_err(|()| stopped())?;
        Ok(saved.revision.unwrap_or_default())
    }

    /// Prometheus lines of this crate, ready to append to `/metrics`.
    pub fn metrics_text(&self) -> String {
        crate::metrics::text(&self.core)
    }

    /// Stops taking requests, hands leadership away, saves a checkpoint, closes the files.
    pub async fn shutdown(&self) {
        let core = &self.core;
        core.admission.drain();
        if core.leadership.is_leader() {
            drop(admin::transfer(core, None).await);
        }
        let quiet = core.admission.quiet();
        drop(tokio::time::timeout(core.options.admission_deadline, quiet).await);
        if let Err(error) = core.raft.shutdown().await {
            tracing::warn!(%error, "raft did not stop cleanly");
        }
        core.members.stop();
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
        let (state, log) = (core.state.clone(), core.log.clone());
        let closed = files::apart(move || {
            let closed = state.close();
            log.close();
            closed
        })
        .await;
        if let Ok(Err(error)) = closed {
            tracing::error!(%error, "the last checkpoint failed; the log still has everything");
        }
        // Last, so that the next owner of the lock finds both files closed.
        drop(core.dir.lock().take());
    }

    /// Resolves when the node cannot go on (fatal Raft or storage error), with the exit code.
    /// A node that was removed from its cluster says so in `node.json` first, and stays out.
    pub async fn failed(&self) -> (i32, String) {
        let (code, reason) = self.core.failure.wait().await;
        if code == exit::REMOVED
            && let Some(dir) = self.core.dir.lock().as_mut()
        {
            let identity = Identity { state: IdentityState::Removed, ..dir.identity().clone() };
            if let Err(error) = dir.set_identity(identity) {
                tracing::error!(%error, "cannot note the removal in node.json");
            }
        }
        (code, reason)
    }
}

/// A node that is this many committed entries behind is not ready.
const READY_LAG_MAX: u64 = 10_000;

fn check_identity(dir: &DataDir, options: &Options) -> Result<Identity, StartError> {
    let identity = dir.identity().clone();
    if identity.state == IdentityState::Removed {
        return Err(StartError::Removed);
    }
    if identity.name != options.name {
        return Err(StartError::Storage(firstcome_storage::Error::Foreign {
            path: options.data_dir.clone(),
            detail: format!("it belongs to node {}, not {}", identity.name, options.name),
        }));
    }
    Ok(identity)
}

/// openraft's settings.
fn raft_config(options: &Options) -> Result<Arc<openraft::Config>, StartError> {
    let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    let config = openraft::Config {
        cluster_name: options.cluster_name.clone(),
        heartbeat_interval: ms(options.heartbeat),
        heartbeat_min_interval: Some(ms(options.heartbeat)),
        election_timeout_min: ms(options.election_min),
        election_timeout_max: ms(options.election_max),
        enable_pre_vote: Some(true),
        quorum_loss_probe_interval: Some(ms(options.election_max) * 2),
        enable_leader_restore: Some(false),
        allow_log_reversion: Some(false),
        // Switched on by the clock check: a node whose clock is off must not lead.
        enable_elect: false,
        max_payload_entries: 2048,
        max_append_entries: Some(4096),
        api_batch_capacity: 4096,
        api_batch_linger_ms: 0,
        api_channel_size: Some(16_384),
        state_machine_channel_size: Some(1024),
        snapshot_policy: openraft::SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        purge_batch_size: 1,
        replication_lag_threshold: 10_000_000,
        removed_leader_step_down: openraft::StepDownPolicy::After(500),
        install_snapshot_timeout: ms(options.chunk_timeout),
        backoff: "100ms 200ms 400ms 800ms 1600ms 3200ms 5s".to_owned(),
        ..openraft::Config::default()
    };
    config.validate().map(Arc::new).map_err(|error| StartError::Settings(error.to_string()))
}
