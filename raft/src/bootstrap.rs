//! The first start of a configured cluster, and how an empty node becomes a member.
//!
//! Nothing is inferred from the state of a disk alone. With `--bootstrap` the first node of the
//! list waits until *every* configured node answers that it is empty, gives each its id, takes its
//! own last, and only then writes the first log entry. A crash anywhere in between leaves
//! directories with an identity and an empty log; the next start continues from there.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use firstcome_storage::dir::{self, IdentityState};
use firstcome_storage::{DataDir, Identity, Log};

use crate::answer::StartError;
use crate::network::HELLO_MAX;
use crate::network::greeting::Greeting;
use crate::network::stream::{self, TcpListener};
use crate::network::{introduce, take_introduction};
use crate::options::{Options, Peer};
use crate::protocol::{Channel, Contact, ContactReply, Hello, Welcome};
use crate::seeded;
use crate::state_machine::Raft;
use crate::types::Address;

/// Pause between two rounds of asking all nodes.
const ROUND_PAUSE: Duration = Duration::from_millis(150);

/// Every this many rounds the log says which nodes are missing.
const ROUNDS_PER_LINE: u32 = 20;

fn identity(uuid: &str, incarnation: u32, node_id: u64, name: &str) -> Identity {
    Identity {
        format: dir::FORMAT,
        cluster_uuid: uuid.to_owned(),
        incarnation,
        node_id,
        name: name.to_owned(),
        state: IdentityState::Active,
    }
}

fn create(options: &Options, identity: &Identity) -> Result<DataDir, StartError> {
    Ok(DataDir::create_on(Arc::clone(&options.disk), &options.data_dir, identity)?)
}

/// Whether a log was ever written, which means that the node belongs to a cluster.
pub(crate) fn is_initialized(log: &Log) -> bool {
    log.last_index().is_some() || log.vote().is_some()
}

/// Gives a node without data its identity and its directory. A node that starts alone makes its
/// identity up; the others get theirs from the first node of the list, or from a running cluster.
pub(crate) async fn first_start(
    options: &Options,
    listener: Option<&TcpListener>,
) -> Result<DataDir, StartError> {
    let alone = options.peers.len() <= 1;
    let Some(listener) = listener.filter(|_| !(alone && options.bootstrap)) else {
        let uuid = uuid::Uuid::new_v4().to_string();
        return create(options, &identity(&uuid, 0, 1, &options.name));
    };
    if options.bootstrap && options.peers.first().is_some_and(|p| p.name == options.name) {
        tokio::select! {
            founded = found(options) => founded,
            never = answer_only(options, listener) => never,
        }
    } else {
        wait_for_adoption(options, listener).await
    }
}

/// The members of a first start: ids 1..n in list order.
pub(crate) fn founders(options: &Options) -> BTreeMap<u64, Address> {
    let address =
        |p: &Peer| Address { name: p.name.clone(), api: p.api.clone(), peer: p.peer.clone() };
    let own =
        Peer { name: options.name.clone(), api: options.api.clone(), peer: options.peer.clone() };
    let peers = if options.peers.is_empty() { vec![own] } else { options.peers.clone() };
    (1..).zip(peers.iter().map(address)).collect()
}

/// Writes the first log entry, if this node is the one to do so and none exists.
pub(crate) async fn initialize(
    options: &Options,
    node_id: u64,
    log: &Log,
    raft: &Raft,
) -> Result<(), StartError> {
    if is_initialized(log) || node_id != 1 || !(options.bootstrap || options.peers.is_empty()) {
        return Ok(());
    }
    let members = founders(options);
    tracing::info!(members = members.len(), "forming a new cluster");
    raft.initialize(members).await.map_err(|e| StartError::Raft(e.to_string()))
}

/// The first node of the list: asks all nodes, then hands out identities.
async fn found(options: &Options) -> Result<DataDir, StartError> {
    let others: Vec<(u64, &Peer)> =
        (1..).zip(&options.peers).filter(|(_, p)| p.name != options.name).collect();
    let mut round: u32 = 0;
    let uuid = loop {
        let (mut missing, mut known) = (Vec::new(), None);
        for (_, peer) in &others {
            match contact(options, peer, &Contact::Probe).await {
                Ok(ContactReply::Vacant { bootstrap: true, .. }) => {}
                Ok(ContactReply::Taken { cluster_uuid, initialized: false, .. })
                    if known.as_ref().is_none_or(|uuid| *uuid == cluster_uuid) =>
                {
                    known = Some(cluster_uuid);
                }
                Ok(ContactReply::Taken { name, cluster_uuid, .. }) => {
                    return Err(StartError::Bootstrap(format!(
                        "{name} already holds data of cluster {cluster_uuid}; start every node \
                         with an empty directory, or add this one with `firstcome cluster add`"
                    )));
                }
                Ok(ContactReply::Vacant { bootstrap: false, .. }) => {
                    missing.push(format!("{} (started without --bootstrap)", peer.name));
                }
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                    return Err(StartError::Bootstrap(format!("{}: {error}", peer.name)));
                }
                Ok(_) | Err(_) => missing.push(format!("{} at {}", peer.name, peer.peer)),
            }
        }
        if missing.is_empty() {
            break known.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        }
        if round.is_multiple_of(ROUNDS_PER_LINE) {
            tracing::info!(missing = missing.join(", "), "waiting for every configured node");
        }
        round = round.wrapping_add(1);
        tokio::time::sleep(ROUND_PAUSE).await;
    };
    for (id, peer) in &others {
        let adopt = Contact::Adopt {
            cluster_uuid: uuid.clone(),
            incarnation: 0,
            node_id: *id,
            name: peer.name.clone(),
        };
        match contact(options, peer, &adopt).await {
            Ok(ContactReply::Adopted) => {}
            Ok(ContactReply::Refused(reason)) => {
                return Err(StartError::Bootstrap(format!("{}: {reason}", peer.name)));
            }
            Ok(_) | Err(_) => {
                return Err(StartError::Bootstrap(format!(
                    "{} went away while the cluster was formed; start this node again",
                    peer.name
                )));
            }
        }
    }
    create(options, &identity(&uuid, 0, 1, &options.name))
}

/// One question to a node whose identity is not known yet.
pub(crate) async fn contact(
    options: &Options,
    peer: &Peer,
    question: &Contact,
) -> io::Result<ContactReply> {
    let address = options.dial.get(&peer.name).unwrap_or(&peer.peer);
    let socket = stream::connect(address, options.connect_timeout).await?;
    let (mut reader, mut writer) = stream::split(socket);
    let hello = Hello {
        cluster_uuid: String::new(),
        incarnation: 0,
        from: 0,
        to: 0,
        channel: Channel::Contact,
    };
    let limit = options.connect_timeout;
    if let Welcome::No(why) = introduce(hello, &mut reader, &mut writer, limit).await? {
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, why));
    }
    writer.write_within(question, options.connect_timeout).await?;
    reader.expect(HELLO_MAX).await
}

/// Takes one question of first contact and answers with what `reply` says.
async fn take_contact(
    listener: &TcpListener,
    reply: impl FnOnce(Contact) -> ContactReply,
) -> io::Result<()> {
    let (socket, _) = listener.accept().await?;
    let (mut reader, mut writer) = stream::split(socket);
    let hello = take_introduction(&mut reader, &mut writer, HELLO_MAX).await?;
    if hello.channel != Channel::Contact {
        return Ok(());
    }
    writer.write_within(&Greeting::own(Welcome::Yes), HELLO_MAX).await?;
    let contact = reader.expect(HELLO_MAX).await?;
    writer.write_within(&reply(contact), HELLO_MAX).await
}

/// The founder answers probes of others while it waits for them.
async fn answer_only(options: &Options, listener: &TcpListener) -> Result<DataDir, StartError> {
    loop {
        let vacant =
            ContactReply::Vacant { name: options.name.clone(), bootstrap: options.bootstrap };
        let reply = |contact: Contact| match contact {
            Contact::Probe => vacant,
            Contact::Adopt { .. } => ContactReply::Refused("it forms the cluster itself".into()),
        };
        if let Err(error) = take_contact(listener, reply).await {
            tracing::debug!(%error, "a contact ended");
        }
    }
}

/// Every other node: waits until the founder, or a running cluster, gives it an identity.
async fn wait_for_adoption(
    options: &Options,
    listener: &TcpListener,
) -> Result<DataDir, StartError> {
    tracing::info!(
        name = options.name,
        "empty directory: waiting to be made a member {}",
        if options.bootstrap { "by the first start" } else { "by `firstcome cluster add`" }
    );
    let adopted = async {
        loop {
            let mut made = None;
            let took = take_contact(listener, |contact| match contact {
                Contact::Probe => ContactReply::Vacant {
                    name: options.name.clone(),
                    bootstrap: options.bootstrap,
                },
                Contact::Adopt { cluster_uuid, incarnation, node_id, name } => {
                    if name != options.name {
                        return ContactReply::Refused(format!("its name is {}", options.name));
                    }
                    let identity = identity(&cluster_uuid, incarnation, node_id, &name);
                    let (reply, dir) = match create(options, &identity) {
                        Ok(dir) => (ContactReply::Adopted, Ok(dir)),
                        Err(error) => (ContactReply::Refused(error.to_string()), Err(error)),
                    };
                    made = Some(dir);
                    reply
                }
            })
            .await;
            if let Err(error) = took {
                tracing::debug!(%error, "a contact ended");
            }
            if let Some(dir) = made {
                return dir;
            }
        }
    };
    tokio::select! {
        dir = adopted => dir,
        wiped = refuse_if_running(options), if options.bootstrap => wiped,
    }
}

/// A node that lost its disk must not wait for a first start that has already happened.
async fn refuse_if_running(options: &Options) -> Result<DataDir, StartError> {
    loop {
        for peer in options.peers.iter().filter(|p| p.name != options.name) {
            let reply = contact(options, peer, &Contact::Probe).await;
            if let Err(error) = &reply
                && error.kind() == io::ErrorKind::Unsupported
            {
                return Err(StartError::Bootstrap(format!("{}: {error}", peer.name)));
            }
            if let Ok(ContactReply::Taken { name, cluster_uuid, initialized: true, .. }) = reply {
                if let Some(id) = seeded::former_id(&founders(options), &options.name) {
                    return create(options, &identity(&cluster_uuid, 0, id, &options.name));
                }
                return Err(StartError::Bootstrap(format!(
                    "{name} already runs cluster {cluster_uuid}, but this directory is empty; if \
                     its disk was lost, remove the old member and add this node with `firstcome \
                     cluster add`, started without --bootstrap"
                )));
            }
        }
        tokio::time::sleep(ROUND_PAUSE * 4).await;
    }
}
