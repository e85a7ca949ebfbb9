//! Rows of the stock ledger: ids, words and numbers; no personal data.

use firstcome_domain::stock::LedgerRow;
use serde::Serialize;
use utoipa::ToSchema;

use super::words::{account_word, actor_text, pool_text};
use crate::rfc3339;

/// One movement of units.
#[derive(Serialize, ToSchema)]
#[schema(as = LedgerRow)]
pub(crate) struct LedgerRowBody {
    /// Always `ledger_row`.
    #[schema(example = "ledger_row")]
    object: &'static str,
    /// The pool whose accounts changed: `prd_...` or `sal_...`.
    pool: String,
    /// The log entry that decided it.
    revision: u64,
    /// Position within that log entry, from 0.
    offset: u32,
    /// The account that shrinks: `outside`, `available`, `held`, `sold` or `scrapped`.
    from: &'static str,
    /// The account that grows.
    to: &'static str,
    quantity: u64,
    /// Why the units moved: `hold`, `pay`, `release`, `stock_in`, ...
    reason: &'static str,
    order_id: Option<String>,
    /// The other pool, if the units moved between two.
    peer: Option<String>,
    /// `usr_...`, or `node` for timers.
    actor: String,
    note: Option<String>,
    decided_at: String,
}

impl LedgerRowBody {
    /// Shows a ledger row.
    pub(crate) fn of(row: &LedgerRow) -> Self {
        Self {
            object: "ledger_row",
            pool: pool_text(row.key.pool),
            revision: row.key.revision.get(),
            offset: row.key.offset,
            from: account_word(row.movement.from),
            to: account_word(row.movement.to),
            quantity: row.movement.quantity,
            reason: row.movement.reason.as_str(),
            order_id: row.order.map(|id| id.to_string()),
            peer: row.peer.map(pool_text),
            actor: actor_text(row.actor),
            note: row.note.clone(),
            decided_at: rfc3339::format(row.stamp.now),
        }
    }
}
