//! The table: what staff noted on orders.

use serde::{Deserialize, Serialize};

use crate::kernel::id::{OrderId, UserId};
use crate::kernel::row::{Row, TableId};
use crate::kernel::value::RowStamp;
use crate::kernel::version::Versioned;

/// What staff noted on an order. Written from level 2 on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OrderNote {
    /// The order.
    pub order: OrderId,
    /// Who wrote it last.
    pub author: UserId,
    /// The text.
    pub text: String,
    /// Version and stamps.
    pub row: RowStamp,
}

impl Versioned for OrderNote {}

impl Row for OrderNote {
    const TABLE: TableId = TableId(900);
    const NAME: &'static str = "order_notes";
    type Key = OrderId;

    fn key(&self) -> OrderId {
        self.order
    }

    fn stamp(&self) -> Option<RowStamp> {
        Some(self.row)
    }

    fn set_stamp(&mut self, stamp: RowStamp) {
        self.row = stamp;
    }
}
