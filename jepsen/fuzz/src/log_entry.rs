//! Rows of `log.redb` and the entries in them, as a damaged file may hold them.
//!
//! An even first byte: one entry. An odd one: eight bytes of index, then a row of entries.

use firstcome_raft::describe_entry;
use firstcome_raft::fuzz::reencode;
use firstcome_storage::fuzz::{pack_entries, unpack_entries};

use crate::Reached;

/// An entry or a row of them, as opening and `inspect log` read it.
pub fn log_entry_bytes(data: &[u8]) -> Reached {
    match data.split_first() {
        None => Reached::Refused,
        Some((selector, rest)) if selector % 2 == 0 => entry(rest),
        Some((_, rest)) => row(rest),
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

fn row(bytes: &[u8]) -> Reached {
    let Some((first, row)) = bytes.split_first_chunk::<8>() else { return Reached::Refused };
    let first = u64::from_be_bytes(*first);
    let Ok(entries) = unpack_entries(first, row) else { return Reached::Refused };
    assert!(!entries.is_empty());
    assert!(entries.iter().zip(first..).all(|(entry, index)| entry.index == index));
    assert_eq!(pack_entries(&entries), row, "a row has one spelling");
    Reached::Accepted
}
