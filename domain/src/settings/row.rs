//! Settings: the replicated values that decisions depend on.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::kernel::row::{Row, TableId};
use crate::kernel::value::RowStamp;
use crate::kernel::version::Versioned;
use crate::order::row::Status;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The one settings row. Spans are milliseconds; a changed value counts for statuses entered
/// later, stored due instants stay.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Settings {
    /// How long an order may stay unpaid: 1 min..=24 h.
    pub pay_within_ms: i64,
    /// How far a running confirmation may push `pay_by`: 0..=10 min. Neither this nor `pay_attempts`
    /// has an effect yet: there are no payment providers.
    pub confirm_grace_ms: i64,
    /// Tries per payment: 1..=10.
    pub pay_attempts: u32,
    /// Unpaid orders one customer may have: 1..=100.
    pub max_pending_orders: u32,
    /// `paid` to `shipping`, 1 min..=30 days; `None`: only by staff.
    pub ship_after_ms: Option<i64>,
    /// `shipping` to `delivered`, 1 min..=30 days; `None`: only by staff.
    pub deliver_after_ms: Option<i64>,
    /// `delivered` to `confirmed`: 1 min..=90 days.
    pub return_window_ms: i64,
    /// `return_requested` to `returned`: 1 min..=30 days.
    pub return_after_ms: i64,
    /// How long receipts answer: 1 h..=7 days.
    pub receipt_retention_ms: i64,
    /// How long events stay readable: 1 h..=90 days.
    pub event_retention_ms: i64,
    /// How long an access token lasts: 1 min..=1 h.
    pub access_token_ms: i64,
    /// How long a session lasts without being renewed: 1 h..=90 days.
    pub refresh_idle_ms: i64,
    /// How long a session lasts at most: 1 h..=365 days.
    pub refresh_absolute_ms: i64,
    /// Version and stamps; version 0 while nobody changed the defaults.
    pub row: RowStamp,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pay_within_ms: 15 * MINUTE,
            confirm_grace_ms: 2 * MINUTE,
            pay_attempts: 3,
            max_pending_orders: 10,
            ship_after_ms: Some(DAY),
            deliver_after_ms: Some(DAY),
            return_window_ms: DAY,
            return_after_ms: DAY,
            receipt_retention_ms: DAY,
            event_retention_ms: 7 * DAY,
            access_token_ms: 10 * MINUTE,
            refresh_idle_ms: 7 * DAY,
            refresh_absolute_ms: 30 * DAY,
            row: RowStamp::default(),
        }
    }
}

/// Shortest and longest hold that a sale or the setting may ask for.
pub const PAY_WITHIN_MS: RangeInclusive<i64> = MINUTE..=DAY;

/// A field with a value that it may not have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutOfRange {
    /// Its name on the wire.
    pub field: &'static str,
    /// What it may be, in the unit that its name says.
    pub allowed: RangeInclusive<i64>,
}

impl Settings {
    /// The first field that is out of range, if one is.
    pub fn out_of_range(&self) -> Option<OutOfRange> {
        const MONTH: i64 = 30 * DAY;
        let spans = [
            ("pay_within_seconds", Some(self.pay_within_ms), PAY_WITHIN_MS),
            ("confirm_grace_seconds", Some(self.confirm_grace_ms), 0..=10 * MINUTE),
            ("ship_after_seconds", self.ship_after_ms, MINUTE..=MONTH),
            ("deliver_after_seconds", self.deliver_after_ms, MINUTE..=MONTH),
            ("return_window_seconds", Some(self.return_window_ms), MINUTE..=3 * MONTH),
            ("return_after_seconds", Some(self.return_after_ms), MINUTE..=MONTH),
            ("receipt_retention_seconds", Some(self.receipt_retention_ms), HOUR..=7 * DAY),
            ("event_retention_seconds", Some(self.event_retention_ms), HOUR..=3 * MONTH),
            ("access_token_seconds", Some(self.access_token_ms), MINUTE..=HOUR),
            ("refresh_idle_seconds", Some(self.refresh_idle_ms), HOUR..=3 * MONTH),
            ("refresh_absolute_seconds", Some(self.refresh_absolute_ms), HOUR..=365 * DAY),
        ];
        let counts = [
            ("pay_attempts", self.pay_attempts, 1..=10),
            ("max_pending_orders", self.max_pending_orders, 1..=100),
        ];
        let spans = spans.map(|(field, span, range)| {
            let allowed = range.start() / SECOND..=range.end() / SECOND;
            (span.is_none_or(|span| range.contains(&span)), OutOfRange { field, allowed })
        });
        let counts = counts.map(|(field, count, allowed)| {
            (allowed.contains(&i64::from(count)), OutOfRange { field, allowed })
        });
        let mut fields = spans.into_iter().chain(counts);
        fields.find_map(|(is_fine, wrong)| (!is_fine).then_some(wrong))
    }

    /// How long an order stays in a status that it enters after `payment_pending`, if time ends it.
    pub(crate) const fn stay_ms(&self, status: Status) -> Option<i64> {
        match status {
            Status::Paid => self.ship_after_ms,
            Status::Shipping => self.deliver_after_ms,
            Status::Delivered => Some(self.return_window_ms),
            Status::ReturnRequested => Some(self.return_after_ms),
            Status::PaymentPending
            | Status::PaymentFailed
            | Status::Expired
            | Status::Confirmed
            | Status::Canceled
            | Status::Returned => None,
        }
    }
}

impl Versioned for Settings {}

impl Row for Settings {
    const TABLE: TableId = TableId(1);
    const NAME: &'static str = "settings";
    const HOT: bool = true;
    type Key = ();

    fn key(&self) {}

    fn stamp(&self) -> Option<RowStamp> {
        Some(self.row)
    }

    fn set_stamp(&mut self, stamp: RowStamp) {
        self.row = stamp;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ref25_pay_within_is_fifteen_minutes() {
        assert_eq!(Settings::default().pay_within_ms, 15 * 60 * 1000);
        assert_eq!(Settings::default().out_of_range(), None);
    }
}
