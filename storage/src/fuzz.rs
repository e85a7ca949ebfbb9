//! A door for fuzz targets: frames of the log as a damaged file would hold them. No API.

use crate::segments::frame::{self, FrameBuilder, Record};
use crate::segments::{Entry, Mark};

/// Takes the payload of a frame apart, as opening the log does, and puts it together again.
pub fn reencode_frame(payload: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut again = FrameBuilder::default();
    again.clear();
    for record in frame::records(payload) {
        match record?.1 {
            Record::Identity(value) => again.identity(value),
            Record::Vote(vote) => again.vote(vote),
            Record::Committed(mark) => again.committed(mark),
            Record::Purged(index, mark) => {
                again.purged(&Mark { index, bytes: bytes::Bytes::copy_from_slice(mark) });
            }
            Record::Truncated(from) => again.truncated(from),
            Record::Entries(entries) => {
                let indexes = entries.first..;
                let entry =
                    |(index, bytes)| Entry { index, bytes: bytes::Bytes::copy_from_slice(bytes) };
                let entries: Vec<Entry> = indexes.zip(entries.iter()).map(entry).collect();
                again.entries(&entries);
            }
            Record::Sealed => again.sealed(),
            Record::Earlier { first, count } => again.earlier(first, count),
        }
    }
    Ok(again.payload().to_vec())
}

/// The payload of a frame with these entries, as appending writes it.
pub fn frame_of(entries: &[Entry]) -> Vec<u8> {
    let mut frame = FrameBuilder::default();
    frame.clear();
    frame.entries(entries);
    frame.payload().to_vec()
}
