//! What a chunk of committed entries leaves behind in Raft's own row.

use std::collections::{BTreeMap, BTreeSet};

use openraft::entry::RaftEntry;
use openraft::testing::log::StoreBuilder;

use super::*;
use crate::entry::Entry;
use crate::suite::OnDisk;
use crate::types::{Address, LeaderId, LogId, Membership, Payload};

fn membership(index: u64, members: &[u64]) -> EntryResponder<TypeConfig> {
    let voters = vec![BTreeSet::from([1])];
    let nodes: BTreeMap<u64, Address> =
        members.iter().map(|id| (*id, Address::default())).collect();
    let id = LogId { leader_id: LeaderId { term: 1, node_id: 1 }, index };
    let payload = Payload::Membership(Membership::new(voters, nodes).unwrap());
    (Entry::new(id, payload), None)
}

/// Story: only the last membership of a chunk was looked at, so the id of a member that came and
/// went within one was handed out again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_id_of_a_member_that_came_and_went_in_one_chunk_stays_taken() {
    let (_dir, _log, mut machine) = OnDisk::real().build().await.unwrap();
    let chunk = [membership(1, &[1]), membership(2, &[1, 7]), membership(3, &[1])];
    machine.apply(futures_util::stream::iter(chunk.map(Ok))).await.unwrap();
    assert_eq!(machine.meta.node_id_max, 7);
    // Also after a restart, and for whoever gets this state as a snapshot.
    assert_eq!(meta_of(&machine.state.checkpoint().unwrap()).unwrap().node_id_max, 7);
    let nodes: Vec<u64> = machine.meta.stored_membership().nodes().map(|(id, _)| *id).collect();
    assert_eq!(nodes, [1]);
}
