//! Versions: how a type's bytes may change between releases.
//!
//! A stored value begins with the version of its type. A release reads every version that was ever
//! written, and writes the version that the cluster's feature level allows, so that nodes of two
//! releases store the same bytes. A type that never changed needs no code: `impl Versioned for X {}`.
//! `docs/extending.md` shows how to change one.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The release that this program is. Builds with the feature `next` stand in for a later one.
pub const RELEASE: &str =
    if cfg!(feature = "next") { "0.2.0-next" } else { env!("CARGO_PKG_VERSION") };

/// The feature level of a cluster: raised by an operator once all nodes run a release that knows
/// it. Release 0.1 is level 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Level(pub u16);

impl Level {
    /// The level of a cluster that was never raised.
    pub const FIRST: Self = Self(1);
    /// The highest level this release knows.
    pub const KNOWN: Self = if cfg!(feature = "next") { Self(2) } else { Self(1) };
}

/// Turns values into bytes; storage's codec is one.
pub trait Encoder {
    /// What comes out.
    type Output;
    /// Encodes one value.
    fn value<T: Serialize>(self, value: &T) -> Self::Output;
}

/// Reads values out of bytes.
pub trait Decoder {
    /// Why it cannot.
    type Error;
    /// Decodes one value.
    fn value<T: DeserializeOwned>(self) -> Result<T, Self::Error>;
}

/// A type whose bytes have a version. The first is 1; no type has a version 0.
///
/// A type with a second version must say everything itself: what the provided methods do is right
/// for version 1 only, and does not compile for a type that has another.
///
/// ```compile_fail
/// # use firstcome_domain::kernel::version::{Level, Versioned};
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Note(String);
///
/// impl Versioned for Note {
///     const VERSION: u8 = 2;
/// }
///
/// Note::version_at(Level::FIRST);
/// ```
pub trait Versioned: Serialize + DeserializeOwned {
    /// The newest version this release writes.
    const VERSION: u8 = 1;

    /// The version that a cluster at `level` stores.
    fn version_at(_level: Level) -> u8 {
        const { assert!(Self::VERSION == 1, "a type with a second version says when it writes it") };
        1
    }

    /// Encodes the value in a version that [`Versioned::version_at`] named.
    fn encode<E: Encoder>(&self, _version: u8, encoder: E) -> E::Output {
        const { assert!(Self::VERSION == 1, "a type with a second version encodes each of them") };
        encoder.value(self)
    }

    /// Decodes a value of any version up to [`Versioned::VERSION`]; `None` for a later one.
    fn decode<D: Decoder>(version: u8, decoder: D) -> Option<Result<Self, D::Error>> {
        const { assert!(Self::VERSION == 1, "a type with a second version decodes each of them") };
        (version == 1).then(|| decoder.value())
    }
}
