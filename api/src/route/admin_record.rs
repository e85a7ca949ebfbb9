//! Staff: the stock ledger, the numbered events, the replicated settings.

use std::collections::HashMap;

use firstcome_domain::command::SettingsUpdate;
use firstcome_domain::event::Fact;
use firstcome_domain::id::OrderId;
use firstcome_domain::settings::Settings;
use firstcome_domain::stock::LedgerKey;
use firstcome_domain::value::{Currency, Revision};
use firstcome_domain::{Action, Done, View as _};
use serde::Deserialize;
use utoipa::ToSchema;

use super::Table;
use crate::access::Permission;
use crate::budget::Budget;
use crate::call::{Answer, Call, unexpected};
use crate::fields::nullable;
use crate::paging::{EventPlace, ListName};
use crate::problem::{Code, Problem};
use crate::query::wrong;
use crate::spec::{Spec, Success, parameter, schema_of};
use crate::view::record::{EventView, LedgerView, pool_of};
use crate::view::settings::SettingsView;

const LEDGER: Spec = Spec {
    path: "/v1/admin/stock-ledger",
    operation: "list_ledger",
    tag: "staff: records",
    summary: "Every movement of units, oldest first; of one pool, or pool after pool.",
    permission: Permission::StockAdjust,
    budget: Budget::Admin,
    query: &[parameter("pool", "The product or sale whose pool is wanted.")],
    success: Success::List(schema_of::<LedgerView>()),
    ..Spec::GET
};
const EVENTS: Spec = Spec {
    path: "/v1/admin/events",
    operation: "list_events",
    tag: "staff: records",
    summary: "Published facts in log order, without gaps.",
    permission: Permission::EventsRead,
    budget: Budget::Admin,
    query: &[parameter(
        "after",
        "`REVISION:OFFSET` of the last event that was read, or `REVISION`.",
    )],
    success: Success::List(schema_of::<EventView>()),
    codes: &[Code::CursorExpired],
    ..Spec::GET
};
const SETTINGS: Spec = Spec {
    path: "/v1/admin/settings",
    operation: "get_settings",
    tag: "staff: settings",
    summary: "The replicated settings.",
    permission: Permission::SettingsWrite,
    budget: Budget::Admin,
    success: Success::One(schema_of::<SettingsView>()),
    ..Spec::GET
};
const SETTINGS_UPDATE: Spec = Spec {
    path: "/v1/admin/settings",
    operation: "update_settings",
    tag: "staff: settings",
    summary: "Changes settings; they count for statuses entered later.",
    permission: Permission::SettingsWrite,
    budget: Budget::Admin,
    body: Some(schema_of::<SettingsChange>()),
    success: Success::One(schema_of::<SettingsView>()),
    ..Spec::PATCH
};

/// Adds the routes of this file.
pub(super) fn register(table: Table) -> Table {
    table
        .with(&LEDGER, ledger)
        .with(&EVENTS, events)
        .with(&SETTINGS, settings)
        .with(&SETTINGS_UPDATE, update_settings)
}

async fn ledger(call: Call) -> Result<Answer, Problem> {
    let pool = call.query.get("pool");
    let pool_id = pool.map(|text| {
        pool_of(text).ok_or_else(|| wrong("pool", "invalid", "the id of a product or a sale"))
    });
    let pool_id = pool_id.transpose()?;
    let limit = call.query.limit()?;
    let list = ListName::new("ledger").filter("pool", pool);
    let after: Option<LedgerKey> = call.after(&list)?;
    let read = call.read(|view| view.ledger(pool_id, after, limit)).await?;
    let items: Vec<_> = read.value.items.iter().map(LedgerView::of).collect();
    call.page(&list, &items, read.value.next.as_ref(), read.revision)
}

/// Reads `REVISION:OFFSET`; a bare revision stands for all events of it.
fn place(text: &str) -> Result<EventPlace, Problem> {
    let (revision, offset) = text.split_once(':').map_or((text, None), |(r, o)| (r, Some(o)));
    let place = revision.parse().ok().and_then(|revision| {
        let offset = offset.map_or(Ok(u32::MAX), str::parse).ok()?;
        Some(EventPlace { revision: Revision::new(revision), offset })
    });
    place.ok_or_else(|| wrong("after", "invalid", "REVISION:OFFSET, such as 918273:0"))
}

async fn events(call: Call) -> Result<Answer, Problem> {
    let limit = call.query.limit()?;
    let list = ListName::new("events");
    let cursor: Option<EventPlace> = call.after(&list)?;
    let after = match (cursor, call.query.get("after")) {
        (Some(_), Some(_)) => {
            return Err(wrong("after", "invalid", "send after or cursor, not both"));
        }
        (cursor, None) => cursor,
        (None, Some(text)) => Some(place(text)?),
    };
    let read = call.read(|view| {
        // One more than wanted tells whether there is a next page; a log entry has one event at
        // least, but the first row may have been read to its end.
        let rows = view.events(after.map_or(Revision::new(0), |after| after.revision), limit + 2);
        // Facts of payments keep the bare amount; its currency is that of the order.
        let paid = rows.iter().flat_map(|row| &row.facts).filter_map(|fact| match fact {
            Fact::Payment { payment, .. } => Some(payment.order()),
            _ => None,
        });
        let currencies: HashMap<OrderId, Currency> =
            paid.filter_map(|id| Some((id, view.order(id)?.currency))).collect();
        (rows, currencies, view.events_removed_until())
    });
    let read = read.await?;
    let (rows, currencies, removed_until) = read.value;
    if after.is_some_and(|after| after.revision < removed_until) {
        return Err(Problem::new(Code::CursorExpired)
            .at(read.revision)
            .fact("removed_until", removed_until.get()));
    }
    let unread = rows.iter().flat_map(|row| {
        let revision = row.stamp.revision;
        EventView::all(row, |id| currencies.get(&id).copied())
            .map(move |(offset, view)| (EventPlace { revision, offset }, view))
    });
    let unread = unread.filter(|(place, _)| {
        after.is_none_or(|after| (place.revision, place.offset) > (after.revision, after.offset))
    });
    let mut page: Vec<_> = unread.take(limit + 1).collect();
    let more = page.len() > limit;
    page.truncate(limit);
    let next = page.last().map(|(place, _)| *place).filter(|_| more);
    let items: Vec<_> = page.into_iter().map(|(_, view)| view).collect();
    call.page(&list, &items, next.as_ref(), read.revision)
}

async fn settings(call: Call) -> Result<Answer, Problem> {
    let read = call.read(|view| view.settings()).await?;
    let shown = call.shown(&SettingsView::of(&read.value), read.revision)?;
    Ok(shown.tagged(read.value.row.version))
}

/// What changes; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "absent, null and a value are three things in a PATCH")]
struct SettingsChange {
    #[serde(default)]
    pay_within_seconds: Option<i64>,
    #[serde(default)]
    confirm_grace_seconds: Option<i64>,
    #[serde(default)]
    pay_attempts: Option<u32>,
    #[serde(default)]
    max_pending_orders: Option<u32>,
    /// `null`: only by staff.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>)]
    ship_after_seconds: Option<Option<i64>>,
    /// `null`: only by staff.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>)]
    deliver_after_seconds: Option<Option<i64>>,
    #[serde(default)]
    return_window_seconds: Option<i64>,
    #[serde(default)]
    return_after_seconds: Option<i64>,
    #[serde(default)]
    receipt_retention_seconds: Option<i64>,
    #[serde(default)]
    event_retention_seconds: Option<i64>,
}

impl SettingsChange {
    fn apply(self, settings: &mut Settings) {
        let set = |to: &mut i64, seconds: Option<i64>| {
            if let Some(seconds) = seconds {
                *to = seconds.saturating_mul(1000);
            }
        };
        set(&mut settings.pay_within_ms, self.pay_within_seconds);
        set(&mut settings.confirm_grace_ms, self.confirm_grace_seconds);
        set(&mut settings.return_window_ms, self.return_window_seconds);
        set(&mut settings.return_after_ms, self.return_after_seconds);
        set(&mut settings.receipt_retention_ms, self.receipt_retention_seconds);
        set(&mut settings.event_retention_ms, self.event_retention_seconds);
        let set = |to: &mut Option<i64>, seconds: Option<Option<i64>>| {
            if let Some(seconds) = seconds {
                *to = seconds.map(|seconds| seconds.saturating_mul(1000));
            }
        };
        set(&mut settings.ship_after_ms, self.ship_after_seconds);
        set(&mut settings.deliver_after_ms, self.deliver_after_seconds);
        settings.pay_attempts = self.pay_attempts.unwrap_or(settings.pay_attempts);
        settings.max_pending_orders =
            self.max_pending_orders.unwrap_or(settings.max_pending_orders);
    }
}

async fn update_settings(call: Call) -> Result<Answer, Problem> {
    let if_version = call.if_match()?;
    let change: SettingsChange = call.json()?;
    // What is left out is filled from the rows; if they are of another version than the editor
    // saw, the decision refuses the whole.
    call.app.node.linearize().await?;
    let mut settings = call.app.node.read(|view| view.settings())?;
    change.apply(&mut settings);
    if let Some(field) = settings.out_of_range() {
        return Err(Problem::field(
            format!("/{field}"),
            "out_of_range",
            "see the documented range",
        ));
    }
    let action = Action::SettingsUpdate(SettingsUpdate { if_version, settings });
    let written = call.propose(action).await?;
    let Done::Settings(settings) = &written.done else { return Err(unexpected(&written.done)) };
    let answer = call.wrote(&SettingsView::of(settings), written.decided, written.replayed)?;
    Ok(answer.tagged(settings.row.version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_places_are_revision_and_offset() {
        let read = |text| place(text).map(|place| (place.revision.get(), place.offset)).ok();
        assert_eq!(read("7:3"), Some((7, 3)));
        assert_eq!(read("7"), Some((7, u32::MAX)));
        for bad in ["", ":", "7:", "a:1", "-1:0", "7:3:1"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
