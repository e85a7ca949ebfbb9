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
    // Also after a restart, and on a node that gets this state as a snapshot.
    assert_eq!(meta_of(&machine.state.checkpoint().unwrap()).unwrap().node_id_max, 7);
    let nodes: Vec<u64> = machine.meta.stored_membership().nodes().map(|(id, _)| *id).collect();
    assert_eq!(nodes, [1]);
}

/// A command of a later release, in a chunk of one leader of that release.
fn proposal(index: u64, command: Bytes) -> EntryResponder<TypeConfig> {
    entry(index, Payload::Normal(Proposal { now: 1, command }))
}

/// Raises the level to one that only a later release knows.
fn raise() -> Bytes {
    let release = "7.8.9".to_owned();
    let to = Level::KNOWN.0 + 1;
    let raise = Action::FeatureLevelRaise(FeatureLevelRaise { to, release });
    let actor = Actor::User { id: UserId::new(1), role: Role::Admin };
    codec::encode_command(&Command { actor, receipt: None, action: raise }, Level::KNOWN)
}

/// A tag that nobody has.
fn unknown() -> Bytes {
    [&[0xff, 0xff], &raise()[2..]].concat().into()
}

/// A leader of a later release raised the level, or sent a command that only its release has.
/// Story: when both came at once, the node said that it does not know command 900, and not whose
/// command that is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_of_a_later_release_ends_the_node_with_76_and_is_not_applied() {
    let unnamed = "command 65535, version 1,";
    for (commands, words, applied) in [
        (vec![raise()], "7.8.9", None),
        (vec![raise(), unknown()], "7.8.9", None),
        (vec![unknown()], unnamed, Some(Revision::new(1))),
        (vec![unknown(), raise()], unnamed, Some(Revision::new(1))),
    ] {
        let (_dir, _log, mut machine) = OnDisk::real().build().await.unwrap();
        let commands = (2..).zip(commands).map(|(index, command)| proposal(index, command));
        let chunk: Vec<_> = [entry(1, Payload::Blank)].into_iter().chain(commands).collect();
        machine.apply(futures_util::stream::iter(chunk.into_iter().map(Ok))).await.unwrap_err();
        let (code, why) = machine.failure.first().expect("the node ends");
        assert_eq!(code, exit::IDENTITY, "{why}");
        assert!(why.contains(words) && why.contains(codec::RELEASE), "{why}");
        assert_eq!(machine.state.applied().revision, applied);
    }
}

/// Story: it was noticed only when the rows that worked were gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_whose_head_names_another_position_changes_nothing() {
    let (_sender_dir, _log, mut sender) = OnDisk::real().build().await.unwrap();
    let chunk = [membership(1, &[1]), entry(2, Payload::Blank)];
    sender.apply(futures_util::stream::iter(chunk.map(Ok))).await.unwrap();
    let Snapshot { mut meta, snapshot } = sender.get_current_snapshot().await.unwrap().unwrap();
    let SnapshotData::Outgoing(mut reader) = snapshot else { panic!("it goes out") };
    let (_dir, _log, mut machine) = OnDisk::real().build().await.unwrap();
    let mut writer = machine.state.receive().unwrap();
    while let Some(chunk) = reader.next_chunk().unwrap() {
        writer.write_chunk(&chunk).unwrap();
    }
    meta.last_log_id.as_mut().expect("two entries").index = 3;
    let incoming = SnapshotData::Incoming(Box::new(writer));
    machine.install_snapshot(&meta, incoming).await.unwrap_err();
    assert_eq!(machine.failure.first().map(|(code, _)| code), Some(exit::CORRUPT));
    assert_eq!(machine.state.applied().revision, None);
    assert_eq!(machine.meta, log_format::Meta::default());
}

/// Story: a row of a later release was called damaged (65).
#[tokio::test]
async fn what_a_later_release_says_of_itself_is_not_called_damaged() {
    let (_dir, _log, machine) = OnDisk::real().build().await.unwrap();
    let meta = |first: u8| {
        let bytes = [&[first], &codec::encode(&log_format::Meta::default())[1..]].concat();
        meta_of(&Applied { meta: bytes.into(), ..machine.state.applied() })
    };
    assert_eq!(meta(1).unwrap(), log_format::Meta::default());
    assert!(matches!(meta(0), Err(Error::Corrupt { .. })));
    assert!(matches!(meta(2), Err(Error::Foreign { .. })));
}
