//! What arrives on the peer port.
//!
//! The first byte says what the rest is: the body of one kind of frame, or, beyond the kinds, a
//! whole stream of frames with heads and checksums, which mutation alone would hardly ever get
//! right.

use firstcome_raft::fuzz::{KINDS, frame, reencode, split};

use crate::Reached;

/// A frame is at most so long; nothing may be allocated beyond it for a forged length.
const FRAME_BYTES_MAX: usize = 16 << 20;

/// Frames of a peer, as the node reads them.
pub fn peer_frame(data: &[u8]) -> Reached {
    let Some((&selector, rest)) = data.split_first() else { return Reached::Refused };
    match KINDS.get(usize::from(selector)) {
        Some(kind) => body(kind, rest),
        None => stream(rest),
    }
}

fn body(kind: &str, body: &[u8]) -> Reached {
    let whole = frame(body).expect("a short body fits");
    let (frames, left, _) = split(&whole).expect("what was framed can be split");
    assert!(left == 0 && frames.len() == 1 && frames[0] == body);
    let cut = whole.len() - 1;
    assert!(matches!(split(&whole[..cut]), Ok((none, left, _)) if none.is_empty() && left == cut));
    let Ok(once) = reencode(kind, body) else { return Reached::Refused };
    let twice = reencode(kind, &once).expect("what was encoded can be decoded");
    assert_eq!(once, twice, "{kind} changes on its way");
    Reached::Accepted
}

fn stream(bytes: &[u8]) -> Reached {
    let Ok((frames, left, room)) = split(bytes) else { return Reached::Refused };
    assert!(room <= FRAME_BYTES_MAX + 2 * bytes.len() + 4096, "{room} bytes for {}", bytes.len());
    let again: Vec<u8> =
        frames.iter().flat_map(|body| frame(body).expect("it was a frame")).collect();
    assert_eq!(again, bytes[..bytes.len() - left], "frames change on their way");
    if frames.is_empty() { Reached::Refused } else { Reached::Accepted }
}
