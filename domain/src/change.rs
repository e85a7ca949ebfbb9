//! Changes: row writes. Storage applies the changes of a decision together, and derives every
//! index from the row before and the row after, so that no rule can forget one.

use crate::kernel::key::Key;
use crate::kernel::row::TableId;
use crate::registry::AnyRow;

/// One row write.
#[derive(Clone, PartialEq, Debug)]
pub struct Change {
    /// Which table.
    pub table: TableId,
    /// Which row.
    pub key: Key,
    /// The row as it was; `None` if there was none.
    pub before: Option<AnyRow>,
    /// The row as it is from now on; `None` if it goes.
    pub after: Option<AnyRow>,
}
