//! Retention: receipts and facts leave the journal when their time is over.
//!
//! Two marks say how far the journal was gone through; what is behind a mark is not looked at
//! again. A row that has movements keeps them.

use crate::draft::Draft;
use crate::journal::row::{Journal, Retention};
use crate::kernel::value::{Millis, Revision};
use crate::view::View;

/// Whether a Tick would drop anything.
pub fn is_due(view: &impl View, now: Millis) -> bool {
    let marks = view.retention();
    has_receipt_over(view, marks, now) || has_facts_over(view, marks, now)
}

/// Drops what is over, at most `room` rows; answers whether there may be more.
pub(crate) fn run<V: View>(draft: &mut Draft<'_, V>, room: usize) -> bool {
    let (base, now) = (draft.base(), draft.now());
    let mut marks = base.retention();
    let before = marks;
    let mut left = room;
    if has_receipt_over(base, marks, now) {
        let rows = base.rows::<Journal>(after(marks.receipts), left);
        for row in rows.iter().take_while(|row| !keeps_receipt(row, now)) {
            left = left.saturating_sub(1);
            marks.receipts = row.stamp.revision;
            if row.receipt.is_some() {
                store(draft, Journal { receipt: None, ..(**row).clone() });
            }
        }
    }
    if left > 0 && has_facts_over(base, marks, now) {
        let until = facts_until(base, now);
        let rows = base.rows::<Journal>(after(marks.facts), left);
        for row in rows.iter().take_while(|row| row.stamp.now <= until) {
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

fn has_receipt_over(view: &impl View, marks: Retention, now: Millis) -> bool {
    let first = view.rows::<Journal>(after(marks.receipts), 1).into_iter().next();
    first.is_some_and(|row| !keeps_receipt(&row, now))
}

fn has_facts_over(view: &impl View, marks: Retention, now: Millis) -> bool {
    let first = view.rows::<Journal>(after(marks.facts), 1).into_iter().next();
    first.is_some_and(|row| row.stamp.now <= facts_until(view, now))
}

fn after(mark: Revision) -> Revision {
    Revision::new(mark.get().saturating_add(1))
}

fn facts_until(view: &impl View, now: Millis) -> Millis {
    let kept = view.settings().event_retention_ms;
    Millis::new(now.get().saturating_sub(kept))
}

fn keeps_receipt(row: &Journal, now: Millis) -> bool {
    row.receipt.as_ref().is_some_and(|receipt| now < receipt.expires_at)
}

fn store<V: View>(draft: &mut Draft<'_, V>, row: Journal) {
    if row.is_empty() {
        draft.delete::<Journal>(row.stamp.revision);
    } else {
        draft.put(row);
    }
}
