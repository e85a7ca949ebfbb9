//! A door for fuzz targets: bytes as a peer or a damaged file would hand them in. No API.

use std::io;

use bytes::{Bytes, BytesMut};
use firstcome_storage::codec::{self, DecodeError};
use openraft::entry::RaftEntry;

use crate::entry::Entry;
use crate::network::frame::Frame;
use crate::network::greeting::Greeting;
use crate::network::stream;
use crate::{config, log_format, protocol};

/// What a frame's body may be; the connection says which.
pub const KINDS: [&str; 12] = [
    "hello",
    "welcome",
    "contact",
    "contact_reply",
    "append",
    "appended",
    "requests",
    "responses",
    "snapshot_head",
    "vote",
    "entry",
    "meta",
];

/// Decodes a body as a connection of this kind does, goes the way into openraft's types and back
/// where there is one, and encodes the value again.
pub fn reencode(kind: &str, body: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let bytes = Bytes::copy_from_slice(body);
    match kind {
        "hello" => again::<Greeting<protocol::Hello>>(bytes),
        "welcome" => again::<Greeting<protocol::Welcome>>(bytes),
        "contact" => again::<protocol::Contact>(bytes),
        "contact_reply" => again::<protocol::ContactReply>(bytes),
        "append" => again::<config::AppendRequest>(bytes),
        "appended" => {
            let raft = protocol::Appended::take(bytes)?.into_raft();
            Ok(put(&raft.map_or(protocol::Appended::Stopped, protocol::Appended::from)))
        }
        "requests" => again::<Vec<(u64, protocol::Request)>>(bytes),
        "responses" => again::<Vec<(u64, protocol::Response)>>(bytes),
        "snapshot_head" => {
            let head = protocol::SnapshotHead::take(bytes)?;
            drop(head.meta.snapshot_meta());
            Ok(put(&head))
        }
        "vote" => {
            let vote = log_format::Vote::take(bytes)?;
            Ok(put(&log_format::Vote::from(&vote.into_raft())))
        }
        "entry" => {
            let entry = Entry::decode(bytes)?;
            Ok(Entry::new(entry.log_id, entry.payload).bytes().to_vec())
        }
        "meta" => {
            let meta: log_format::Meta = codec::decode(body)?;
            drop(meta.stored_membership());
            Ok(codec::encode(&meta))
        }
        other => Err(DecodeError(format!("no kind of frame is called {other}"))),
    }
}

fn again<T: Frame>(body: Bytes) -> Result<Vec<u8>, DecodeError> {
    T::take(body).map(|value| put(&value))
}

fn put<T: Frame>(value: &T) -> Vec<u8> {
    let mut body = Vec::new();
    value.put(&mut body);
    body
}

/// The frames at the front of a stream of bytes, what is left of it, and the room taken for it.
pub fn split(stream: &[u8]) -> io::Result<(Vec<Bytes>, usize, usize)> {
    let mut buffer = BytesMut::from(stream);
    let mut frames = Vec::new();
    while let Some(frame) = stream::take_frame(&mut buffer)? {
        frames.push(frame);
    }
    Ok((frames, buffer.len(), buffer.capacity()))
}

/// One frame with this body.
pub fn frame(body: &[u8]) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::new();
    stream::put_frame(&mut buffer, |frame| frame.extend_from_slice(body))?;
    Ok(buffer)
}
