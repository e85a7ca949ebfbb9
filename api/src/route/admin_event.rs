//! Staff: the numbered events.

use std::collections::HashMap;

use firstcome_domain::View as _;
use firstcome_domain::event::Fact;
use firstcome_domain::id::OrderId;
use firstcome_domain::order::Order;
use firstcome_domain::value::{Currency, Revision};
use firstcome_storage::query::Page;

use super::routes::Routes;
use crate::access::Permission;
use crate::budget::Budget;
use crate::call::{Answer, Call, PageRequest};
use crate::paging::{EventPosition, ListName};
use crate::problem::{Code, Problem};
use crate::query::wrong;
use crate::resource::event::EventBody;
use crate::spec::{Spec, Success, parameter, schema_of};

const LIST: Spec = Spec {
    path: "/v1/admin/events",
    operation: "list_events",
    tag: "staff: records",
    summary: "Lists events in log order, without gaps.",
    permission: Permission::EventsRead,
    budget: Budget::Admin,
    query: &[parameter(
        "after",
        "`REVISION:OFFSET` of the last event you read, or `REVISION` for all of its events.",
    )],
    success: Success::List(schema_of::<EventBody>()),
    codes: &[Code::CursorExpired],
    ..Spec::GET
};
/// Adds the routes of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes.with(&LIST, list)
}

/// Reads `REVISION:OFFSET`. A bare revision stands for all of its events.
fn place(text: &str) -> Result<EventPosition, Problem> {
    let (revision, offset) = text.split_once(':').map_or((text, None), |(r, o)| (r, Some(o)));
    let place = revision.parse().ok().and_then(|revision| {
        let offset = offset.map_or(Ok(u32::MAX), str::parse).ok()?;
        Some(EventPosition { revision: Revision::new(revision), offset })
    });
    place.ok_or_else(|| wrong("after", "invalid", "must be REVISION:OFFSET, such as 918273:0"))
}

async fn list(call: Call) -> Result<Answer, Problem> {
    let PageRequest { list, after: cursor, limit, .. } =
        call.page_of(ListName::new("events"), &["after"])?;
    // A cursor was made for this `after`, and is already behind it.
    let after = match (cursor, call.query.get("after")) {
        (None, Some(text)) => Some(place(text)?),
        (cursor, _) => cursor,
    };
    let read = call.read(|view| {
        // A row holds the events of one log entry, at least one. One row more tells whether there
        // is a next page, and the first may have been read to its end already.
        let from = after.map_or(Revision::new(0), |after| after.revision);
        let Page { items: rows, next } = view.events(from, limit + 2);
        // Payment events store the amount without its currency, which is that of the order.
        let paid = rows.iter().flat_map(|row| &row.facts).filter_map(|fact| match fact {
            Fact::Payment { payment, .. } => Some(payment.order()),
            _ => None,
        });
        let currencies: HashMap<OrderId, Currency> =
            paid.filter_map(|id| Some((id, view.get::<Order>(id)?.currency))).collect();
        (rows, next, currencies, view.events_removed_until())
    });
    let read = read.await?;
    let (rows, unread_from, currencies, removed_until) = read.value;
    if after.is_some_and(|after| after.revision < removed_until) {
        return Err(Problem::new(Code::CursorExpired)
            .at(read.revision)
            .member("removed_until", removed_until.get()));
    }
    let unread = rows.iter().flat_map(|row| {
        let revision = row.stamp.revision;
        EventBody::all(row, |id| currencies.get(&id).copied())
            .map(move |(offset, body)| (EventPosition { revision, offset }, body))
    });
    let unread = unread.filter(|(place, _)| {
        after.is_none_or(|after| (place.revision, place.offset) > (after.revision, after.offset))
    });
    let mut page: Vec<_> = unread.take(limit + 1).collect();
    let more = page.len() > limit;
    page.truncate(limit);
    // Entries without events may lie between: then the page is short, and the list goes on.
    let skipped = unread_from.map(|revision| {
        let revision = Revision::new(revision.get().saturating_sub(1));
        EventPosition { revision, offset: u32::MAX }
    });
    let next = if more { page.last().map(|(place, _)| *place) } else { skipped };
    let items: Vec<_> = page.into_iter().map(|(_, body)| body).collect();
    call.page(&list, &items, next.as_ref(), read.revision)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_positions_are_revision_and_offset() {
        let read = |text| place(text).map(|place| (place.revision.get(), place.offset)).ok();
        assert_eq!(read("7:3"), Some((7, 3)));
        assert_eq!(read("7"), Some((7, u32::MAX)));
        for bad in ["", ":", "7:", "a:1", "-1:0", "7:3:1"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
