//! The standing control and forward connections to the other members.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinHandle};

use crate::network::Dialer;
use crate::network::greeting::Strangers;
use crate::network::rpc::Rpc;
use crate::protocol::Channel;
use crate::types::Address;

struct Links {
    control: Rpc,
    forward: Rpc,
}

/// Connections by member id; made on first use.
pub(crate) struct Members {
    dialer: Dialer,
    links: Mutex<BTreeMap<u64, Links>>,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl Members {
    pub(crate) const fn new(dialer: Dialer) -> Self {
        Self { dialer, links: Mutex::new(BTreeMap::new()), tasks: Mutex::new(Vec::new()) }
    }

    /// For votes, read indexes, clocks and status. The address of an id never changes.
    pub(crate) fn control(&self, id: u64, address: &Address) -> Rpc {
        let mut links = self.links.lock();
        links.entry(id).or_insert_with(|| self.open(id, address)).control.clone()
    }

    /// For forwarded commands; `None` if the address of `id` is unknown.
    pub(crate) fn forward(
        &self,
        id: u64,
        address: impl FnOnce() -> Option<Address>,
    ) -> Option<Rpc> {
        let mut links = self.links.lock();
        if let Some(known) = links.get(&id) {
            return Some(known.forward.clone());
        }
        let opened = self.open(id, &address()?);
        let forward = opened.forward.clone();
        links.insert(id, opened);
        Some(forward)
    }

    /// Drops the connections to all but these; requests in flight still get their answers.
    pub(crate) fn keep(&self, is_member: impl Fn(u64) -> bool) {
        self.links.lock().retain(|id, _| is_member(*id));
    }

    /// Spawns a task on the runtime of the connections, whichever one the caller is on. It runs to
    /// its end, but not beyond [`Members::stop`].
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let spawned = self.dialer.runtime.spawn(task);
        let mut tasks = self.tasks.lock();
        tasks.retain(|task| !task.is_finished());
        tasks.push(spawned.abort_handle());
        spawned
    }

    /// Ends the tasks that still run.
    pub(crate) fn stop(&self) {
        for task in self.tasks.lock().drain(..) {
            task.abort();
        }
    }

    /// Members that this release cannot talk to.
    pub(crate) const fn strangers(&self) -> &Strangers {
        &self.dialer.strangers
    }

    fn open(&self, id: u64, address: &Address) -> Links {
        let open = |channel| {
            let (name, peer) = (address.name.clone(), address.peer.clone());
            Rpc::new(self.dialer.clone(), id, name, peer, channel)
        };
        Links { control: open(Channel::Control), forward: open(Channel::Forward) }
    }
}
