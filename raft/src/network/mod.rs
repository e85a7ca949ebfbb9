//! How nodes talk: standing TCP connections, one per purpose, so that none waits behind another.
//!
//! A connection opens with a [`crate::protocol::Hello`]. A peer of another cluster, incarnation or
//! protocol, or one that was removed, is turned away before any other frame is decoded.

pub(crate) mod frame;
pub(crate) mod greeting;
pub(crate) mod peer;
pub(crate) mod rpc;
pub(crate) mod server;
pub(crate) mod stream;
#[cfg(test)]
pub(crate) mod stub;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::failure::{FailureSlot, exit};
use crate::protocol::{Channel, Hello, Welcome};
use greeting::{Greeting, Strangers};
use stream::{FrameReader, FrameWriter};

/// A caller that has not introduced itself within this time is disconnected.
pub(crate) const HELLO_MAX: Duration = Duration::from_secs(5);

/// Opens connections in the name of this node.
#[derive(Clone)]
pub(crate) struct Dialer {
    pub(crate) cluster_uuid: String,
    pub(crate) incarnation: u32,
    pub(crate) node_id: u64,
    /// name -> address to use instead of the member's own.
    pub(crate) dial: BTreeMap<String, String>,
    pub(crate) connect_timeout: Duration,
    pub(crate) failure: FailureSlot,
    /// Members that this release cannot talk to.
    pub(crate) strangers: Strangers,
    /// Where connections live, whichever runtime their first caller is on.
    pub(crate) runtime: Handle,
}

impl Dialer {
    /// Connects and introduces itself. Any error means that the peer is unreachable for now.
    pub(crate) async fn open(
        &self,
        to: u64,
        name: &str,
        address: &str,
        channel: Channel,
    ) -> io::Result<(FrameReader, FrameWriter)> {
        let address = self.dial.get(name).map_or(address, String::as_str);
        let stream = stream::connect(address, self.connect_timeout).await?;
        let (mut reader, mut writer) = stream::split(stream);
        let hello = Hello {
            cluster_uuid: self.cluster_uuid.clone(),
            incarnation: self.incarnation,
            from: self.node_id,
            to,
            channel,
        };
        let welcome = introduce(hello, &mut reader, &mut writer, self.connect_timeout).await;
        match welcome.inspect_err(|error| self.note_stranger(to, error))? {
            Welcome::Yes => {
                self.strangers.remove(to);
                Ok((reader, writer))
            }
            Welcome::No(reason) => Err(io::Error::new(io::ErrorKind::ConnectionRefused, reason)),
            Welcome::Removed => {
                self.failure.set(exit::REMOVED, format!("{name} says this node was removed"));
                Err(io::Error::new(io::ErrorKind::ConnectionRefused, "removed from the cluster"))
            }
        }
    }
    fn note_stranger(&self, id: u64, error: &io::Error) {
        if error.kind() == io::ErrorKind::Unsupported {
            self.strangers.add(id, &error.to_string());
        }
    }
}

/// Says who calls, and takes the answer. `Unsupported`: the two releases have no protocol in
/// common.
pub(crate) async fn introduce(
    hello: Hello,
    reader: &mut FrameReader,
    writer: &mut FrameWriter,
    limit: Duration,
) -> io::Result<Welcome> {
    writer.write_within(&Greeting::own(hello), limit).await?;
    let greeting: Greeting<Welcome> = reader.expect(limit).await?;
    greeting.understood().map_err(|why| io::Error::new(io::ErrorKind::Unsupported, why))
}

/// Takes a caller's introduction; one of another protocol is told so, and is an error.
pub(crate) async fn take_introduction(
    reader: &mut FrameReader,
    writer: &mut FrameWriter,
    limit: Duration,
) -> io::Result<Hello> {
    let greeting: Greeting<Hello> = reader.expect(limit).await?;
    match greeting.understood() {
        Ok(hello) => Ok(hello),
        Err(why) => {
            tracing::warn!(%why, "turned a peer away");
            writer.write_within(&Greeting::own(Welcome::No(why.clone())), limit).await?;
            Err(io::Error::new(io::ErrorKind::Unsupported, why))
        }
    }
}
