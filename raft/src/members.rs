//! The standing control and forward connections to the other members.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::network::Dialer;
use crate::network::rpc::Rpc;
use crate::types::Address;
use crate::wire::Channel;

struct Links {
    address: Address,
    control: Rpc,
    forward: Rpc,
}

/// Connections by member id; made on first use, replaced when an address changes.
pub(crate) struct Members {
    dialer: Dialer,
    links: Mutex<BTreeMap<u64, Links>>,
}

impl Members {
    pub(crate) const fn new(dialer: Dialer) -> Self {
        Self { dialer, links: Mutex::new(BTreeMap::new()) }
    }

    /// For votes, read indexes, clocks, status.
    pub(crate) fn control(&self, id: u64, address: &Address) -> Rpc {
        self.with(id, address, |links| links.control.clone())
    }

    /// For forwarded commands.
    pub(crate) fn forward(&self, id: u64, address: &Address) -> Rpc {
        self.with(id, address, |links| links.forward.clone())
    }

    fn with<R>(&self, id: u64, address: &Address, f: impl FnOnce(&Links) -> R) -> R {
        let mut links = self.links.lock();
        if links.get(&id).is_none_or(|known| known.address != *address) {
            let open = |channel| {
                let (name, peer) = (address.name.clone(), address.peer.clone());
                Rpc::new(self.dialer.clone(), id, name, peer, channel)
            };
            let control = open(Channel::Control);
            let forward = open(Channel::Forward);
            links.insert(id, Links { address: address.clone(), control, forward });
        }
        f(&links[&id])
    }
}
