//! Retention: receipts and facts leave the journal when their time is over.
//!
//! Two marks say how far it has gone through the journal, one for receipts and one for facts; rows
//! behind a mark are not looked at again. A row that has movements keeps them.

use crate::draft::Draft;
use crate::journal::row::{Journal, Retention};
use crate::kernel::value::{Millis, Revision};
use crate::view::View;

/// Whether a Tick would go through any row.
pub fn is_due(view: &impl View, now: Millis) -> bool {
    let (marks, settings) = (view.retention(), view.settings());
    let over = Over::at(now, settings.receipt_retention_ms, settings.event_retention_ms);
    has_next(view, marks.receipts, |row| over.receipt(row))
        || has_next(view, marks.facts, |row| over.facts(row))
}

/// Drops what is over, at most `room` rows; answers whether there may be more.
pub(crate) fn run<V: View>(draft: &mut Draft<'_, V>, room: usize) -> bool {
    let settings = draft.settings();
    let over = Over::at(draft.now(), settings.receipt_retention_ms, settings.event_retention_ms);
    let before = draft.get::<Retention>(()).map(|row| *row).unwrap_or_default();
    let mut marks = before;
    let mut left = room;
    if has_next(draft.base(), marks.receipts, |row| over.receipt(row)) {
        let rows = draft.rows_before::<Journal>(after(marks.receipts), left);
        for row in rows.iter().take_while(|row| over.receipt(row)) {
            left = left.saturating_sub(1);
            marks.receipts = row.stamp.revision;
            if row.receipt.is_some() {
                store(draft, Journal { receipt: None, ..(**row).clone() });
            }
        }
    }
    if left > 0 && has_next(draft.base(), marks.facts, |row| over.facts(row)) {
        let rows = draft.rows_before::<Journal>(after(marks.facts), left);
        for row in rows.iter().take_while(|row| over.facts(row)) {
            left = left.saturating_sub(1);
            marks.facts = row.stamp.revision;
            // The receipt of the same row may have gone in this very draft.
            let row = draft.get::<Journal>(row.stamp.revision);
            if let Some(row) = row.filter(|row| !row.facts.is_empty()) {
                store(draft, Journal { facts: Vec::new(), ..(*row).clone() });
            }
        }
    }
    if marks != before {
        draft.put(marks);
    }
    left == 0
}

/// What is over at some instant. A row that never had a receipt waits as long as if it had one:
/// otherwise the mark would have to move, and a Tick be wanted, after every decision without one.
struct Over {
    now: Millis,
    receipts_until: Millis,
    facts_until: Millis,
}

impl Over {
    fn at(now: Millis, receipts_ms: i64, facts_ms: i64) -> Self {
        let before = |span_ms| Millis::new(now.get().saturating_sub(span_ms));
        Self { now, receipts_until: before(receipts_ms), facts_until: before(facts_ms) }
    }

    fn receipt(&self, row: &Journal) -> bool {
        match &row.receipt {
            Some(receipt) => receipt.expires_at <= self.now,
            None => row.stamp.now <= self.receipts_until,
        }
    }

    fn facts(&self, row: &Journal) -> bool {
        row.stamp.now <= self.facts_until
    }
}

/// Whether the first row behind the mark is over.
fn has_next(view: &impl View, mark: Revision, is_over: impl Fn(&Journal) -> bool) -> bool {
    view.rows::<Journal>(after(mark), 1).first().is_some_and(|row| is_over(row))
}

fn after(mark: Revision) -> Revision {
    Revision::new(mark.get().saturating_add(1))
}

fn store<V: View>(draft: &mut Draft<'_, V>, row: Journal) {
    if row.is_empty() {
        draft.delete::<Journal>(row.stamp.revision);
    } else {
        draft.put(row);
    }
}
