//! What a later release could add, to test nodes of two releases together. Compiled only with the
//! cargo feature `next`: nothing in here is part of the product.
//!
//! The build with this feature is release 0.2.0-next. It knows feature level 2, and has one more
//! table ([`row`]), two more indexes over rows that were there before ([`index`]), one more command
//! ([`command`]), and one more field in orders (`noted_at`), so that orders and the outcomes that
//! hold them have a second version (`v1` is the first one). At level 1 it must store and answer what
//! this release does, byte for byte. `storage/tests/next` and `tests/next` try it.

pub mod command;
pub mod index;
pub mod row;
mod rules;
mod v1;

use crate::kernel::version::Level;

/// From this level on there are notes.
const NOTES: Level = Level(2);
