//! Encoded commands: what a node proposes, what a log holds.

use firstcome_domain::invariant::check;
use firstcome_domain::{Command, Millis};
use firstcome_storage::codec;

use crate::{Reached, shop};

/// A command, decoded, then decided in a small shop: no sender is trusted, so whatever decodes
/// has an outcome, and every invariant holds after it.
pub fn command_bytes(data: &[u8]) -> Reached {
    let Ok(command) = codec::decode::<Command>(data) else { return Reached::Refused };
    let bytes = codec::encode(&command);
    let again: Command = codec::decode(&bytes).expect("what was encoded can be decoded");
    assert_eq!(again, command);
    let mut memory = shop::memory();
    for now in [0, 1_000, 90_000_000] {
        memory.step(&command, Millis::new(now));
        let Ok(broken) = check(&memory);
        assert!(broken.is_empty(), "{broken:?} after {command:?}");
    }
    Reached::Accepted
}
