//! Encoded commands: what a node proposes, what a log holds.

use firstcome_domain::Millis;
use firstcome_domain::invariant::check;
use firstcome_domain::kernel::version::Level;
use firstcome_storage::codec;

use crate::{Reached, shop};

/// A command, decoded, then decided in a small shop: no sender is trusted, so whatever decodes
/// has an outcome, and every invariant holds after it.
pub fn command_bytes(data: &[u8]) -> Reached {
    let Ok(command) = codec::decode_command(data) else { return Reached::Refused };
    assert!(codec::is_known_command(data), "decoded, but a peer's would be turned away");
    let bytes = codec::encode_command(&command, Level::KNOWN);
    let again = codec::decode_command(&bytes).expect("what was encoded can be decoded");
    assert_eq!(again, command);
    let mut memory = shop::memory();
    for now in [0, 1_000, 90_000_000] {
        let step = memory.step(&command, Millis::new(now));
        let bytes = codec::encode_at(&step.outcome, Level::KNOWN);
        let outcome = codec::decode_versioned(&bytes, "an outcome");
        assert_eq!(outcome, Ok(step.outcome), "an outcome changes on its way");
        let Ok(broken) = check(&memory);
        assert!(broken.is_empty(), "{broken:?} after {command:?}");
    }
    Reached::Accepted
}
