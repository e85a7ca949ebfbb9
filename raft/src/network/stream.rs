//! Sockets and frames: the one file that names TCP.
//!
//! A frame is `length u32 LE | xxh3-64 of the body, low 32 bits, u32 LE | body`. The checksum
//! catches what TCP's own lets through; a bad frame closes the connection.

use std::io;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
#[cfg(not(simulation))]
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
#[cfg(not(simulation))]
pub(crate) use tokio::net::{TcpListener, TcpStream};

use super::frame::Frame;
#[cfg(simulation)]
use crate::simulation::{OwnedReadHalf, OwnedWriteHalf};
#[cfg(simulation)]
pub(crate) use crate::simulation::{TcpListener, TcpStream};

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
    buffer: Vec<u8>,
}

pub(crate) fn split(stream: TcpStream) -> (FrameReader, FrameWriter) {
    let (read, write) = stream.into_split();
    (
        FrameReader { half: read, buffer: BytesMut::with_capacity(64 << 10) },
        FrameWriter { half: write, buffer: Vec::with_capacity(64 << 10) },
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
    pub(crate) async fn read<T: Frame>(&mut self) -> io::Result<Option<T>> {
        let Some(body) = self.read_bytes().await? else { return Ok(None) };
        T::take(body)
            .map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
    }

    /// The next frame, decoded, within `limit`; a closed connection is an error.
    pub(crate) async fn expect<T: Frame>(&mut self, limit: Duration) -> io::Result<T> {
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
    async fn write<T: Frame>(&mut self, value: &T) -> io::Result<()> {
        self.write_body(|body| value.put(body)).await
    }

    /// Writes one frame with this body, at once.
    pub(crate) async fn write_bytes(&mut self, body: &[u8]) -> io::Result<()> {
        self.write_body(|frame| frame.extend_from_slice(body)).await
    }

    async fn write_body(&mut self, fill: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.buffer.clear();
        put_frame(&mut self.buffer, fill)?;
        self.half.write_all(&self.buffer).await
    }

    /// Writes one frame within `limit`.
    pub(crate) async fn write_within<T: Frame>(
        &mut self,
        value: &T,
        limit: Duration,
    ) -> io::Result<()> {
        tokio::time::timeout(limit, self.write(value))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "peer does not read"))?
    }
}

/// Appends one frame whose body is what `fill` appends.
pub(crate) fn put_frame(buffer: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEAD_BYTES]);
    fill(buffer);
    let (head, body) = buffer[start..].split_at_mut(HEAD_BYTES);
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= FRAME_BYTES_MAX);
    let Some(length) = length else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "frame too large"));
    };
    head[..4].copy_from_slice(&length.to_le_bytes());
    head[4..].copy_from_slice(&checksum(body).to_le_bytes());
    Ok(())
}
