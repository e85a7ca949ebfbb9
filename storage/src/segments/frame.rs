//! A frame: the records of one commit, as they lie in a segment.
//!
//! ```text
//! frame    header (32 bytes), payload, zeros up to a multiple of 32
//! header   magic (u32), length of the payload (u32), number of the frame (u64),
//!          reserved bytes of the segment (u32), xxh3-64 of the payload (u64),
//!          xxh3-64 of all that with the segment's number as the seed, its low half (u32)
//! payload  records, then 255
//! record   kind (u8), then
//! kind 1   identity    length (u32), value
//! kind 2   vote        length (u32), Raft's bytes
//! kind 3   committed   length (u32), Raft's bytes
//! kind 4   purged      index (u64), length (u32), Raft's bytes
//! kind 5   truncated   first index that is gone (u64)
//! kind 6   entries     first index (u64), how many (u32), per entry length (u32), bytes
//! kind 7   sealed      the log goes on in the next segment
//! kind 8   earlier     first index (u64), how many (u32): entries in the segments before this one
//! ```
//!
//! Numbers are little endian. A header never crosses the border of a sector, and disks write
//! sectors whole: so a header is either as it was written or not there at all. The last byte of a
//! payload is never zero, so a sector of it that the disk did not write yet can be told from one
//! that it did.

use bytes::BufMut;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::{Entry, Mark};

const MAGIC: u32 = u32::from_le_bytes(*b"fcl1");
pub(crate) const HEADER_BYTES: usize = 32;
const ALIGN: usize = 32;
/// Disks write this much whole.
const SECTOR_BYTES: usize = 512;

const IDENTITY: u8 = 1;
const VOTE: u8 = 2;
const COMMITTED: u8 = 3;
const PURGED: u8 = 4;
const TRUNCATED: u8 = 5;
const ENTRIES: u8 = 6;
const SEALED: u8 = 7;
const EARLIER: u8 = 8;
const END: u8 = 255;

/// One record of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Record<'a> {
    Identity(&'a [u8]),
    Vote(&'a [u8]),
    Committed(&'a [u8]),
    Purged(u64, &'a [u8]),
    Truncated(u64),
    Entries(Entries<'a>),
    Sealed,
    Earlier { first: u64, count: u32 },
}

/// Entries that follow each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entries<'a> {
    pub(crate) first: u64,
    pub(crate) count: u32,
    bytes: &'a [u8],
}

impl<'a> Entries<'a> {
    /// The bytes of one entry after another.
    pub(crate) fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = Reader(self.bytes);
        (0..self.count).map_while(move |_| rest.value())
    }
}

/// Builds a frame; keeps its memory for the next one.
#[derive(Default)]
pub(crate) struct FrameBuilder {
    bytes: Vec<u8>,
    /// Of the finished frame.
    payload_bytes: u32,
}

impl FrameBuilder {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.resize(HEADER_BYTES, 0);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.len() <= HEADER_BYTES
    }

    /// What the finished frame takes in a segment.
    pub(crate) fn size(&self) -> u64 {
        to_u64((self.bytes.len() + 1).next_multiple_of(ALIGN))
    }

    pub(crate) fn payload_bytes(&self) -> u32 {
        self.payload_bytes
    }

    pub(crate) fn identity(&mut self, value: &[u8]) {
        self.bytes.put_u8(IDENTITY);
        self.value(value);
    }

    pub(crate) fn vote(&mut self, vote: &[u8]) {
        self.bytes.put_u8(VOTE);
        self.value(vote);
    }

    pub(crate) fn committed(&mut self, mark: &[u8]) {
        self.bytes.put_u8(COMMITTED);
        self.value(mark);
    }

    pub(crate) fn purged(&mut self, mark: &Mark) {
        self.bytes.put_u8(PURGED);
        self.bytes.put_u64_le(mark.index);
        self.value(&mark.bytes);
    }

    pub(crate) fn truncated(&mut self, from: u64) {
        self.bytes.put_u8(TRUNCATED);
        self.bytes.put_u64_le(from);
    }

    pub(crate) fn sealed(&mut self) {
        self.bytes.put_u8(SEALED);
    }

    pub(crate) fn earlier(&mut self, first: u64, count: u32) {
        self.bytes.put_u8(EARLIER);
        self.bytes.put_u64_le(first);
        self.bytes.put_u32_le(count);
    }

    /// Adds entries that follow each other; answers how many, and where the record is in the
    /// payload.
    pub(crate) fn entries(&mut self, entries: &[Entry]) -> (u32, u32) {
        let place = to_u32(self.bytes.len().saturating_sub(HEADER_BYTES));
        self.bytes.put_u8(ENTRIES);
        self.bytes.put_u64_le(entries.first().map_or(0, |entry| entry.index));
        let count = to_u32(entries.len());
        self.bytes.put_u32_le(count);
        for entry in entries {
            self.value(&entry.bytes);
        }
        (count, place)
    }

    fn value(&mut self, bytes: &[u8]) {
        self.bytes.put_u32_le(to_u32(bytes.len()));
        self.bytes.put_slice(bytes);
    }

    /// The finished frame. `reserved` is how long its segment is on disk by then.
    pub(crate) fn finish(&mut self, segment: u64, number: u64, reserved: u64) -> &[u8] {
        self.bytes.put_u8(END);
        let payload = self.bytes.get(HEADER_BYTES..).unwrap_or_default();
        self.payload_bytes = to_u32(payload.len());
        let header = Header {
            len: self.payload_bytes,
            number,
            reserved: u32::try_from(reserved).unwrap_or(u32::MAX),
            hash: xxh3_64(payload),
        };
        let header = header.encode(segment);
        if let Some(room) = self.bytes.first_chunk_mut() {
            *room = header;
        }
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGN), 0);
        &self.bytes
    }

    /// The finished payload alone.
    pub(crate) fn payload(&mut self) -> &[u8] {
        self.bytes.put_u8(END);
        self.bytes.get(HEADER_BYTES..).unwrap_or_default()
    }
}

#[derive(Clone, Copy)]
struct Header {
    len: u32,
    number: u64,
    reserved: u32,
    hash: u64,
}

impl Header {
    fn encode(self, segment: u64) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut rest = bytes.as_mut_slice();
        rest.put_u32_le(MAGIC);
        rest.put_u32_le(self.len);
        rest.put_u64_le(self.number);
        rest.put_u32_le(self.reserved);
        rest.put_u64_le(self.hash);
        let (hashed, sum) = bytes.split_at_mut(HEADER_BYTES - 4);
        let [a, b, c, d, ..] = xxh3_64_with_seed(hashed, segment).to_le_bytes();
        sum.copy_from_slice(&[a, b, c, d]);
        bytes
    }

    /// `None` if these are not the bytes of a header of this segment.
    fn decode(bytes: &[u8; HEADER_BYTES], segment: u64) -> Option<Self> {
        let mut rest = Reader(bytes);
        if rest.u32() != Some(MAGIC) {
            return None;
        }
        let header = Self {
            len: rest.u32()?,
            number: rest.u64()?,
            reserved: rest.u32()?,
            hash: rest.u64()?,
        };
        (header.encode(segment) == *bytes).then_some(header)
    }
}

/// What is at a place of a segment where a frame may begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found<'a> {
    Frame {
        number: u64,
        reserved: u64,
        payload: &'a [u8],
        /// Where the next frame begins.
        next: usize,
    },
    /// Zeros, or a frame whose writing was cut short.
    Nothing,
    /// Neither: bytes that nobody wrote.
    Damage(&'static str),
}

/// Looks for a frame at `at`, a multiple of 32.
pub(crate) fn find(segment: &[u8], at: usize, number: u64) -> Found<'_> {
    let Some(header_bytes) = segment.get(at..).and_then(<[u8]>::first_chunk::<HEADER_BYTES>) else {
        return Found::Nothing;
    };
    if header_bytes.iter().all(|byte| *byte == 0) {
        return Found::Nothing;
    }
    let Some(header) = Header::decode(header_bytes, number) else {
        return Found::Damage("the header of a frame is damaged");
    };
    let reserved = u64::from(header.reserved);
    if reserved > to_u64(segment.len()) {
        return Found::Damage("the file was cut short");
    }
    let start = at + HEADER_BYTES;
    let end = start.saturating_add(to_usize(header.len));
    let Some(payload) = segment.get(start..end) else {
        return Found::Damage("a frame is longer than its file");
    };
    if xxh3_64(payload) == header.hash {
        let next = end.next_multiple_of(ALIGN);
        return Found::Frame { number: header.number, reserved, payload, next };
    }
    if is_torn(payload, start) {
        return Found::Nothing;
    }
    Found::Damage("a frame does not match its checksum")
}

/// The payload of a frame that was read from where one is known to be.
pub(crate) fn open(bytes: &[u8], segment: u64) -> Result<&[u8], &'static str> {
    let header = bytes.first_chunk().and_then(|header| Header::decode(header, segment));
    let header = header.ok_or("the header of a frame is damaged")?;
    let payload = bytes.get(HEADER_BYTES..).unwrap_or_default();
    let is_whole = payload.len() == to_usize(header.len) && xxh3_64(payload) == header.hash;
    is_whole.then_some(payload).ok_or("a frame does not match its checksum")
}

/// Whether the disk did not get to write a sector of these bytes, which are at `offset` of a file
/// that held zeros.
fn is_torn(payload: &[u8], offset: usize) -> bool {
    // What is in the sector of the header is there, because the header is.
    let others = offset.next_multiple_of(SECTOR_BYTES) - offset;
    let others = payload.get(others..).unwrap_or_default();
    others.chunks(SECTOR_BYTES).any(|sector| sector.iter().all(|byte| *byte == 0))
}

/// Whether a whole frame of this segment begins anywhere from `at` on.
pub(crate) fn any_from(segment: &[u8], at: usize, number: u64) -> bool {
    let places = (at.next_multiple_of(ALIGN)..segment.len()).step_by(ALIGN);
    let begins =
        |at: &usize| segment.get(*at..).is_some_and(|rest| rest.starts_with(&MAGIC.to_le_bytes()));
    places.filter(begins).any(|at| matches!(find(segment, at, number), Found::Frame { .. }))
}

/// The records of a payload and where each begins; `Err` at the first byte that makes no sense.
pub(crate) fn records(
    payload: &[u8],
) -> impl Iterator<Item = Result<(u32, Record<'_>), &'static str>> {
    let mut rest = Reader(payload);
    let mut over = false;
    std::iter::from_fn(move || {
        if over {
            return None;
        }
        let place = to_u32(payload.len() - rest.0.len());
        let record = rest.record();
        over = !matches!(record, Ok(Some(_)));
        match record {
            Ok(Some(record)) => Some(Ok((place, record))),
            Ok(None) if rest.0.is_empty() => None,
            Ok(None) => Some(Err("bytes follow the end of a frame")),
            Err(why) => Some(Err(why)),
        }
    })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(*self.take(4)?.first_chunk()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(*self.take(8)?.first_chunk()?))
    }

    fn value(&mut self) -> Option<&'a [u8]> {
        let len = self.u32()?;
        self.take(to_usize(len))
    }

    /// `None` at the end of the payload.
    fn record(&mut self) -> Result<Option<Record<'a>>, &'static str> {
        const SHORT: &str = "a record is cut short";
        let record = match self.u8().ok_or(SHORT)? {
            IDENTITY => self.value().map(Record::Identity),
            VOTE => self.value().map(Record::Vote),
            COMMITTED => self.value().map(Record::Committed),
            PURGED => self.u64().and_then(|index| Some(Record::Purged(index, self.value()?))),
            TRUNCATED => self.u64().map(Record::Truncated),
            ENTRIES => self.entries().map(Record::Entries),
            SEALED => Some(Record::Sealed),
            EARLIER => self.earlier(),
            END => return Ok(None),
            _ => return Err("unknown record"),
        };
        record.map(Some).ok_or(SHORT)
    }

    fn earlier(&mut self) -> Option<Record<'a>> {
        let (first, count) = (self.u64()?, self.u32()?);
        first.checked_add(u64::from(count))?;
        Some(Record::Earlier { first, count })
    }

    fn entries(&mut self) -> Option<Entries<'a>> {
        let (first, count) = (self.u64()?, self.u32()?);
        first.checked_add(u64::from(count))?;
        let before = self.0;
        for _ in 0..count {
            self.value()?;
        }
        let bytes = before.get(..before.len() - self.0.len())?;
        Some(Entries { first, count, bytes })
    }
}

fn to_u32(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

pub(crate) fn to_usize(len: u32) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

pub(crate) fn to_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
