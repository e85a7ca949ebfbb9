//! What a chunk of committed entries leaves behind in Raft's own row.

use std::collections::{BTreeMap, BTreeSet};

use firstcome_domain::command::FeatureLevelRaise;
use firstcome_domain::kernel::version::Level;
use firstcome_domain::{Action, Actor, Command, Role, UserId};
use openraft::entry::RaftEntry;
use openraft::testing::log::StoreBuilder;

use super::*;
use crate::entry::Entry;
use crate::failure::exit;
use crate::suite::OnDisk;
use crate::types::{Address, LeaderId, LogId, Membership, Payload, Proposal};

fn entry(index: u64, payload: Payload) -> EntryResponder<TypeConfig> {
    let id = LogId { leader_id: LeaderId { term: 1, node_id: 1 }, index };
    (Entry::new(id, payload), None)
}

fn membership(index: u64, members: &[u64]) -> EntryResponder<TypeConfig> {
    let voters = vec![BTreeSet::from([1])];
    let nodes: BTreeMap<u64, Address> =
        members.iter().map(|id| (*id, Address::default())).collect();
    entry(index, Payload::Membership(Membership::new(voters, nodes).unwrap()))
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

/// A leader of a later release raised the level, or sent a command that only its release has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_of_a_later_release_ends_the_node_with_76_and_is_not_applied() {
    let release = "7.8.9".to_owned();
    let to = Level::KNOWN.0 + 1;
    let raise = Action::FeatureLevelRaise(FeatureLevelRaise { to, release });
    let actor = Actor::User { id: UserId::new(1), role: Role::Admin };
    let raise = Command { actor, receipt: None, action: raise };
    let raise = codec::encode_command(&raise, Level::KNOWN);
    // A tag that nobody has.
    let unknown = [&[0xff, 0xff], &raise[2..]].concat();
    for (bytes, words) in [(raise, "7.8.9"), (unknown.into(), "command 65535, version 1,")] {
        let (_dir, _log, mut machine) = OnDisk::real().build().await.unwrap();
        let proposal = Payload::Normal(Proposal { now: 1, command: bytes });
        let chunk = [entry(1, Payload::Blank), entry(2, proposal)];
        machine.apply(futures_util::stream::iter(chunk.map(Ok))).await.unwrap_err();
        let (code, why) = machine.failure.first().expect("the node ends");
        assert_eq!(code, exit::IDENTITY, "{why}");
        assert!(why.contains(words) && why.contains(codec::RELEASE), "{why}");
        assert_eq!(machine.state.applied().revision, None);
    }
}
