//! The files of the log: `log.00000001`, `log.00000002`, and so on.
//!
//! A segment begins with a frame that says whose log it is and repeats the marks, so that older
//! segments can be removed, and which entries are in those, so that it is noticed if one of them
//! is gone too early. When it is full, the next one is made durable, and then a last frame
//! says that the log goes on there: a segment that is missing is noticed, and one that was being
//! made when the power went is known to hold nothing.
//!
//! Frames are written one at a time, each synced before the next one, into space that holds zeros
//! and was synced before. So after a crash only the last frame can be incomplete, with whole
//! sectors of zeros in it. Anything else that does not match its checksum is damage.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::frame::{self, Found, FrameBuilder, Record};
use super::index::{Index, Row};
use super::{Mark, Marks};
use crate::codec;
use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::file::FileIdentity;

const PREFIX: &str = "log.";
/// The number of the first segment of a directory.
const FIRST: u64 = 1;
/// A segment grows by as much as it has, within these bounds.
const GROWTH_MIN: u64 = 64 * 1024;
const GROWTH_MAX: u64 = 1024 * 1024;
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// One file of the log.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    file: Arc<dyn DiskFile>,
}

impl Segment {
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
        let mut bytes = vec![0; len];
        self.file.read_at(offset, &mut bytes).map_err(|error| Error::io(&self.path, error))?;
        Ok(bytes)
    }

    fn read_all(&self) -> Result<Vec<u8>, Error> {
        let len = self.file.len().map_err(|error| Error::io(&self.path, error))?;
        self.read(0, usize::try_from(len).unwrap_or(usize::MAX))
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_at(offset, bytes).map_err(|error| Error::io(&self.path, error))
    }

    fn sync(&self) -> Result<(), Error> {
        self.file.sync().map_err(|error| Error::io(&self.path, error))
    }

    fn zero(&self, mut offset: u64, end: u64) -> Result<(), Error> {
        while offset < end {
            let len = usize::try_from(end - offset).unwrap_or(usize::MAX).min(ZEROS.len());
            self.write(offset, ZEROS.get(..len).unwrap_or_default())?;
            offset += frame::to_u64(len);
        }
        Ok(())
    }
}

/// The name of a segment.
fn name(number: u64) -> String {
    format!("{PREFIX}{number:08}")
}

/// The number of the segment with this name, if it is the name of one.
fn number(file_name: &OsString) -> Option<u64> {
    let number = file_name.to_str()?.strip_prefix(PREFIX)?.parse().ok()?;
    (name(number).as_str() == file_name).then_some(number)
}

/// Whether one of these names is that of a segment.
pub(crate) fn is_among(names: &[OsString]) -> bool {
    names.iter().any(|name| number(name).is_some())
}

/// Where the next frame goes.
#[derive(Debug)]
pub(crate) struct Tail {
    segment: Arc<Segment>,
    /// Where it begins.
    at: u64,
    /// Up to here the file holds zeros, synced.
    reserved: u64,
    /// Its number.
    frame: u64,
    identity: FileIdentity,
}

impl Tail {
    /// Writes a frame, but does not sync it. Answers where it begins.
    pub(crate) fn write(&mut self, frame: &mut FrameBuilder) -> Result<u64, Error> {
        let (segment, at) = (Arc::clone(&self.segment), self.at);
        let end = at + frame.size();
        // Also if there is no room behind this frame: the file could be cut there unnoticed if only
        // the next one named its new length.
        if end >= self.reserved {
            let growth = self.reserved.clamp(GROWTH_MIN, GROWTH_MAX);
            let reserved =
                (end + 1).max(self.reserved.saturating_add(growth)).next_multiple_of(GROWTH_MIN);
            segment.zero(self.reserved, reserved)?;
            segment.sync()?;
            self.reserved = reserved;
        }
        segment.write(at, frame.finish(segment.number, self.frame, self.reserved))?;
        self.at = end;
        self.frame += 1;
        Ok(at)
    }

    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.segment.sync()
    }

    pub(crate) fn segment(&self) -> Arc<Segment> {
        Arc::clone(&self.segment)
    }

    /// Whether a frame of this size is to go into the next segment.
    pub(crate) fn is_full_for(&self, frame: &FrameBuilder, segment_bytes: u64) -> bool {
        self.at + frame.size() > segment_bytes
    }

    /// Goes on in a new segment. `earlier` are the entries so far.
    pub(crate) fn rotate(
        &mut self,
        disk: &dyn Disk,
        marks: &Marks,
        earlier: Option<(u64, u32)>,
    ) -> Result<(), Error> {
        let dir = self.segment.path.parent().unwrap_or(Path::new("")).to_owned();
        let number = self.segment.number + 1;
        // One frame is left for the seal.
        let next = create(disk, &dir, number, self.frame + 1, &self.identity, marks, earlier)?;
        disk.sync_dir(&dir).map_err(|error| Error::io(&next.segment.path, error))?;
        let mut seal = FrameBuilder::default();
        seal.clear();
        seal.sealed();
        self.write(&mut seal)?;
        self.sync()?;
        *self = next;
        Ok(())
    }
}

/// Makes the first segment of a new directory; its name is durable with the directory.
pub(crate) fn create_first(
    disk: &dyn Disk,
    dir: &Path,
    identity: &FileIdentity,
) -> Result<(), Error> {
    create(disk, dir, FIRST, 0, identity, &Marks::default(), None).map(drop)
}

fn create(
    disk: &dyn Disk,
    dir: &Path,
    number: u64,
    frame: u64,
    identity: &FileIdentity,
    marks: &Marks,
    earlier: Option<(u64, u32)>,
) -> Result<Tail, Error> {
    let path = dir.join(name(number));
    let file = disk.create(&path).map_err(|error| Error::io(&path, error))?;
    let segment = Arc::new(Segment { number, path, file });
    let mut tail = Tail { segment, at: 0, reserved: 0, frame, identity: identity.clone() };
    let mut head = FrameBuilder::default();
    head.clear();
    head.identity(&codec::encode(identity));
    if let Some(vote) = &marks.vote {
        head.vote(vote);
    }
    if let Some(mark) = &marks.committed {
        head.committed(mark);
    }
    if let Some(mark) = &marks.purged {
        head.purged(mark);
    }
    if let Some((first, count)) = earlier {
        head.earlier(first, count);
    }
    tail.write(&mut head)?;
    tail.sync()?;
    Ok(tail)
}

/// Where a frame is.
#[derive(Debug)]
struct Place {
    segment: Arc<Segment>,
    at: u64,
    len: usize,
}

/// Everything the files say.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) marks: Marks,
    pub(crate) index: Index,
    tail: Tail,
    /// How long the last segment is.
    len: u64,
    /// Of each segment.
    last_frames: Vec<Place>,
    /// A segment that was being made.
    abandoned: Option<PathBuf>,
}

impl Loaded {
    pub(crate) fn identity(&self) -> &FileIdentity {
        &self.tail.identity
    }

    /// Where the log begins, for messages about the log as a whole.
    pub(crate) fn path(&self) -> &Path {
        &self.tail.segment.path
    }

    /// Undoes what was not completed and makes the rest durable: afterwards the log can be written,
    /// and what it shows can be told to others.
    pub(crate) fn repair(self, disk: &dyn Disk) -> Result<(Marks, Index, Tail), Error> {
        if let Some(path) = &self.abandoned {
            disk.remove(path).map_err(|error| Error::io(path, error))?;
            let dir = path.parent().unwrap_or(Path::new(""));
            disk.sync_dir(dir).map_err(|error| Error::io(path, error))?;
        }
        // The process before this one may have been killed before it synced its last write, or may
        // have ended because that failed: then what was read need not be on disk, and a sync alone
        // need not bring it there. Its last write was a frame, the zeros behind it, or a seal.
        self.tail.segment.zero(self.tail.at, self.len)?;
        for Place { segment, at, len } in self.last_frames.iter().rev().take(2) {
            segment.write(*at, &segment.read(*at, *len)?)?;
            segment.sync()?;
        }
        Ok((self.marks, self.index, self.tail))
    }
}

/// Opens a file of the log, to write it or only to look at it.
pub(crate) type Open = fn(&dyn Disk, &Path) -> std::io::Result<Arc<dyn DiskFile>>;

/// Reads the log of a directory and checks every frame; writes nothing.
pub(crate) fn load(disk: &dyn Disk, dir: &Path, open: Open) -> Result<Loaded, Error> {
    let names = disk.list(dir).map_err(|error| Error::io(dir, error))?.unwrap_or_default();
    let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    let mut replay = Replay::default();
    let mut expected = numbers.first().copied().unwrap_or(FIRST);
    let mut abandoned = None;
    for number in &numbers {
        let path = dir.join(name(expected));
        if *number != expected {
            return Err(missing(&path));
        }
        let file = open(disk, &path).map_err(|error| Error::missing(&path, error))?;
        let segment = Arc::new(Segment { number: *number, path, file });
        let bytes = segment.read_all()?;
        // The segment before it is not sealed, so this one was still being created.
        if !replay.may_follow() {
            if Some(number) != numbers.last() || !is_being_made(&bytes, *number) {
                return Err(replay.damaged("its last frame is missing"));
            }
            abandoned = Some(segment.path.clone());
            break;
        }
        replay.segment(segment, &bytes)?;
        expected += 1;
    }
    if replay.may_follow() {
        return Err(missing(&dir.join(name(expected))));
    }
    // The oldest ones are removed only when their entries are purged.
    if replay.marks.purged.is_none() && numbers.first().is_some_and(|first| *first > FIRST) {
        return Err(missing(&dir.join(name(FIRST))));
    }
    let oldest = numbers.first().copied().unwrap_or(FIRST);
    if replay.index.first_segment().is_some_and(|needed| needed < oldest) {
        return Err(missing(&dir.join(name(oldest - 1))));
    }
    replay.end(abandoned)
}

fn missing(path: &Path) -> Error {
    Error::missing(path, std::io::ErrorKind::NotFound.into())
}

/// Whether a segment holds nothing but its head, or not even that.
fn is_being_made(bytes: &[u8], number: u64) -> bool {
    let end = match frame::find(bytes, 0, number) {
        Found::Frame { next, .. } => next,
        Found::Nothing => 0,
        Found::Damage(_) => return false,
    };
    frame::find(bytes, end, number) == Found::Nothing && !frame::any_from(bytes, end, number)
}

/// Reads segment after segment.
#[derive(Default)]
struct Replay {
    identity: Option<FileIdentity>,
    marks: Marks,
    index: Index,
    /// The number of the next frame.
    frame: Option<u64>,
    /// Where the last frame ends, and how much of the segment is reserved.
    at: usize,
    reserved: u64,
    is_sealed: bool,
    len: u64,
    last_frames: Vec<Place>,
}

impl Replay {
    /// Whether the next frame is in the next segment.
    fn may_follow(&self) -> bool {
        self.is_sealed || self.index.segments.is_empty()
    }

    fn damaged(&self, why: &str) -> Error {
        let path = self.index.segments.back().map(|segment| segment.path.clone());
        Error::corrupt(&path.unwrap_or_default(), format!("at {}: {why}", self.at))
    }

    fn segment(&mut self, segment: Arc<Segment>, bytes: &[u8]) -> Result<(), Error> {
        let number = segment.number;
        self.index.segments.push_back(Arc::clone(&segment));
        (self.at, self.is_sealed, self.len) = (0, false, frame::to_u64(bytes.len()));
        let mut last_frame = 0;
        if bytes.is_empty() {
            return Err(self.damaged("the file is empty"));
        }
        while !self.is_sealed {
            match frame::find(bytes, self.at, number) {
                Found::Frame { number, reserved, payload, next } => {
                    if self.frame.is_some_and(|expected| expected != number) {
                        return Err(self.damaged("a frame is missing"));
                    }
                    self.payload(payload)?;
                    last_frame = self.at;
                    (self.frame, self.reserved, self.at) = (Some(number + 1), reserved, next);
                }
                Found::Damage(why) => return Err(self.damaged(why)),
                Found::Nothing => break,
            }
        }
        if self.at == 0 || !self.is_sealed && frame::any_from(bytes, self.at, number) {
            return Err(self.damaged("a frame is missing"));
        }
        let (at, len) = (frame::to_u64(last_frame), self.at - last_frame);
        self.last_frames.push(Place { segment, at, len });
        Ok(())
    }

    fn payload(&mut self, payload: &[u8]) -> Result<(), Error> {
        for record in frame::records(payload) {
            let (place, record) = record.map_err(|why| self.damaged(why))?;
            let is_head = self.at == 0 && place == 0;
            match record {
                Record::Identity(value) if is_head => self.identity(value)?,
                _ if is_head => return Err(self.damaged("it does not say whose log it is")),
                Record::Identity(_) => return Err(self.damaged("an identity inside a segment")),
                Record::Vote(vote) => self.marks.vote = Some(Bytes::copy_from_slice(vote)),
                Record::Committed(mark) => {
                    self.marks.committed = Some(Bytes::copy_from_slice(mark));
                }
                Record::Purged(index, mark) => {
                    let bytes = Bytes::copy_from_slice(mark);
                    self.marks.purged = Some(Mark { index, bytes });
                    self.index.purge(index);
                }
                Record::Truncated(from) => self.index.truncate(from),
                Record::Entries(entries) => {
                    let last = self.index.last();
                    if last.is_some_and(|last| last.checked_add(1) != Some(entries.first)) {
                        return Err(self.damaged("entries do not follow"));
                    }
                    self.index.append(Row {
                        first: entries.first,
                        count: entries.count,
                        segment: self.index.segments.back().map_or(0, |segment| segment.number),
                        frame: u32::try_from(self.at).unwrap_or(u32::MAX),
                        payload_bytes: u32::try_from(payload.len()).unwrap_or(u32::MAX),
                        record: place,
                    });
                }
                Record::Sealed => self.is_sealed = true,
                // Until they are purged or cut off they are needed, and then so is the segment
                // that they are in.
                Record::Earlier { first, count } if self.index.segments.len() == 1 => {
                    let (segment, frame, payload_bytes) = (0, 0, 0);
                    self.index.append(Row {
                        first,
                        segment,
                        count,
                        frame,
                        payload_bytes,
                        record: place,
                    });
                }
                Record::Earlier { .. } => {}
            }
        }
        Ok(())
    }

    fn identity(&mut self, value: &[u8]) -> Result<(), Error> {
        let path = self.index.segments.back().map(|segment| segment.path.clone());
        let path = path.unwrap_or_default();
        let found: FileIdentity =
            codec::decode(value).map_err(|error| Error::undecodable(&path, error))?;
        if self.identity.as_ref().is_some_and(|identity| *identity != found) {
            let detail = "the segment before it belongs to another node".into();
            return Err(Error::Foreign { path, detail });
        }
        self.identity = Some(found);
        Ok(())
    }

    fn end(self, abandoned: Option<PathBuf>) -> Result<Loaded, Error> {
        let expected = self.marks.purged.as_ref().map_or(0, |mark| mark.index.saturating_add(1));
        if self.marks.purged.is_some() && self.index.first().is_some_and(|first| first > expected) {
            return Err(self.damaged(&format!("entry {expected} is missing")));
        }
        let (Some(identity), Some(frame), Some(segment)) =
            (self.identity.clone(), self.frame, self.index.segments.back().cloned())
        else {
            return Err(self.damaged("it does not say whose log it is"));
        };
        let (at, reserved) = (frame::to_u64(self.at), self.reserved);
        let tail = Tail { segment, at, reserved, frame, identity };
        Ok(Loaded {
            marks: self.marks,
            index: self.index,
            tail,
            len: self.len,
            last_frames: self.last_frames,
            abandoned,
        })
    }
}
