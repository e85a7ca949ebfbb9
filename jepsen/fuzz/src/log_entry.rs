//! Frames of the log and the entries in them, as a damaged file may hold them.
//!
//! An even first byte: one entry. An odd one: the payload of a frame.

use firstcome_raft::describe_entry;
use firstcome_raft::fuzz::reencode;
use firstcome_storage::fuzz::reencode_frame;

use crate::Reached;

/// An entry or a frame, as opening and `inspect log` read it.
pub fn log_entry_bytes(data: &[u8]) -> Reached {
    match data.split_first() {
        None => Reached::Refused,
        Some((selector, rest)) if selector % 2 == 0 => entry(rest),
        Some((_, rest)) => frame(rest),
    }
}

fn entry(bytes: &[u8]) -> Reached {
    let decoded = reencode("entry", bytes);
    if describe_entry(bytes).is_ok() {
        assert!(decoded.is_ok(), "described, but not decoded");
    }
    let Ok(once) = decoded else { return Reached::Refused };
    assert_eq!(reencode("entry", &once).expect("it was just encoded"), once);
    Reached::Accepted
}

fn frame(payload: &[u8]) -> Reached {
    let Ok(again) = reencode_frame(payload) else { return Reached::Refused };
    assert_eq!(again, payload, "a frame has one spelling");
    Reached::Accepted
}
