//! Sockets and frames: the one file that names TCP.
//!
//! A frame is `length u32 LE | xxh3-64 of the body, low 32 bits, u32 LE | body`. The checksum
//! catches what TCP's own lets through; a bad frame closes the connection.

use std::io;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
#[cfg(not(simulation))]
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
#[cfg(not(simulation))]
pub(crate) use tokio::net::{TcpListener, TcpStream};

#[cfg(simulation)]
use crate::simulation::{OwnedReadHalf, OwnedWriteHalf};
#[cfg(simulation)]
pub(crate) use crate::simulation::{TcpListener, TcpStream};
use firstcome_storage::codec;

/// 16 MiB: an append of 4096 entries of 4 KiB.
pub(crate) const FRAME_BYTES_MAX: usize = 16 << 20;

const HEAD_BYTES: usize = 8;

fn checksum(body: &[u8]) -> u32 {
    let low = xxhash_rust::xxh3::xxh3_64(body) & u64::from(u32::MAX);
    u32::try_from(low).unwrap_or(u32::MAX)
}

/// Binds the peer port.
pub(crate) async fn listen(address: std::net::SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Connects within `limit`, without Nagle's delay.
pub(crate) async fn connect(address: &str, limit: Duration) -> io::Result<TcpStream> {
    let stream = tokio::time::timeout(limit, TcpStream::connect(address))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time"))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The reading half of a connection. `read` is safe to cancel: what arrived stays buffered.
pub(crate) struct FrameReader {
    half: OwnedReadHalf,
    buffer: BytesMut,
}

/// The writing half of a connection.
pub(crate) struct FrameWriter {
    half: OwnedWriteHalf,
    buffer: BytesMut,
}

pub(crate) fn split(stream: TcpStream) -> (FrameReader, FrameWriter) {
    let (read, write) = stream.into_split();
    (
        FrameReader { half: read, buffer: BytesMut::with_capacity(64 << 10) },
        FrameWriter { half: write, buffer: BytesMut::with_capacity(64 << 10) },
    )
}

impl FrameReader {
    /// The next frame's body; `None` when the peer closed between frames.
    pub(crate) async fn read_bytes(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(frame) = take_frame(&mut self.buffer)? {
                return Ok(Some(frame));
            }
            if self.half.read_buf(&mut self.buffer).await? == 0 {
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The next frame, decoded.
    pub(crate) async fn read<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(body) = self.read_bytes().await? else { return Ok(None) };
        codec::decode(&body)
            .map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
    }

    /// The next frame, decoded, within `limit`; a closed connection is an error.
    pub(crate) async fn expect<T: DeserializeOwned>(&mut self, limit: Duration) -> io::Result<T> {
        tokio::time::timeout(limit, self.read())
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no answer in time"))??
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

/// Takes the next whole frame off the front; `None` if there is none yet.
pub(crate) fn take_frame(buffer: &mut BytesMut) -> io::Result<Option<Bytes>> {
    let Some((head, _)) = buffer.split_first_chunk::<HEAD_BYTES>() else {
        return Ok(None);
    };
    let mut head = &head[..];
    let length = head.get_u32_le() as usize;
    let wanted = head.get_u32_le();
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "frame too large"));
    }
    if buffer.len() < HEAD_BYTES + length {
        buffer.reserve(HEAD_BYTES + length - buffer.len());
        return Ok(None);
    }
    buffer.advance(HEAD_BYTES);
    let body = buffer.split_to(length).freeze();
    if checksum(&body) != wanted {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "frame with a bad checksum"));
    }
    Ok(Some(body))
}

impl FrameWriter {
    /// Writes one frame, at once.
    pub(crate) async fn write<T: Serialize>(&mut self, value: &T) -> io::Result<()> {
        self.buffer.clear();
        self.buffer.put_bytes(0, HEAD_BYTES);
        codec::encode_onto(value, &mut (&mut self.buffer).writer());
        seal_frame(&mut self.buffer)?;
        self.half.write_all(&self.buffer).await
    }

    /// Writes one frame with this body, at once.
    pub(crate) async fn write_bytes(&mut self, body: &[u8]) -> io::Result<()> {
        put_frame(&mut self.buffer, body)?;
        self.half.write_all(&self.buffer).await
    }

    /// Writes one frame within `limit`.
    pub(crate) async fn write_within<T: Serialize>(
        &mut self,
        value: &T,
        limit: Duration,
    ) -> io::Result<()> {
        tokio::time::timeout(limit, self.write(value))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "peer does not read"))?
    }
}

/// Makes the buffer one frame with this body.
pub(crate) fn put_frame(buffer: &mut BytesMut, body: &[u8]) -> io::Result<()> {
    buffer.clear();
    buffer.reserve(HEAD_BYTES + body.len());
    buffer.put_bytes(0, HEAD_BYTES);
    buffer.put_slice(body);
    seal_frame(buffer)
}

/// Writes length and checksum into the head of a buffer that holds room for it and a body.
fn seal_frame(buffer: &mut BytesMut) -> io::Result<()> {
    let Some((head, body)) = buffer.split_first_chunk_mut::<HEAD_BYTES>() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "frame without a head"));
    };
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= FRAME_BYTES_MAX);
    let Some(length) = length else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "frame too large"));
    };
    let mut head = &mut head[..];
    head.put_u32_le(length);
    head.put_u32_le(checksum(body));
    Ok(())
}
