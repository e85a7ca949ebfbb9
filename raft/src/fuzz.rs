//! A door for fuzz targets: bytes as a peer or a damaged file would hand them in. No API.

use std::io;

use bytes::{Bytes, BytesMut};
use firstcome_storage::codec::{self, DecodeError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::network::stream;
use crate::{log_format, protocol};

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
    match kind {
        "hello" => again::<protocol::Hello>(body),
        "welcome" => again::<protocol::Welcome>(body),
        "contact" => again::<protocol::Contact>(body),
        "contact_reply" => again::<protocol::ContactReply>(body),
        "append" => {
            let append: protocol::Append = codec::decode(body)?;
            Ok(codec::encode(&protocol::Append::from(&append.into_raft())))
        }
        "appended" => {
            let appended: protocol::Appended = codec::decode(body)?;
            let raft = appended.into_raft();
            Ok(codec::encode(&raft.map_or(protocol::Appended::Stopped, protocol::Appended::from)))
        }
        "requests" => again::<Vec<(u64, protocol::Request)>>(body),
        "responses" => again::<Vec<(u64, protocol::Response)>>(body),
        "snapshot_head" => {
            let head: protocol::SnapshotHead = codec::decode(body)?;
            drop(head.meta.snapshot_meta());
            Ok(codec::encode(&head))
        }
        "vote" => {
            let vote: log_format::Vote = codec::decode(body)?;
            Ok(codec::encode(&log_format::Vote::from(&vote.into_raft())))
        }
        "entry" => {
            let entry: log_format::Entry = codec::decode(body)?;
            Ok(codec::encode(&log_format::Entry::from(&entry.into_raft())))
        }
        "meta" => {
            let meta: log_format::Meta = codec::decode(body)?;
            drop(meta.stored_membership());
            Ok(codec::encode(&meta))
        }
        other => Err(DecodeError(format!("no kind of frame is called {other}"))),
    }
}

fn again<T: Serialize + DeserializeOwned>(body: &[u8]) -> Result<Vec<u8>, DecodeError> {
    codec::decode::<T>(body).map(|value| codec::encode(&value))
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
    let mut buffer = BytesMut::new();
    stream::put_frame(&mut buffer, body)?;
    Ok(buffer.to_vec())
}
