//! Noting something on an order.

use super::NOTES;
use super::command::OrderAnnotate;
use super::row::OrderNote;
use crate::draft::Draft;
use crate::field;
use crate::kernel::actor::Actor;
use crate::kernel::value::{NOTE_CHARS_MAX, RowStamp};
use crate::kernel::version::Level;
use crate::order::row::Order;
use crate::outcome::{Done, Kind, Refusal};
use crate::permission::Needs;
use crate::rule::{Rule, Touch};
use crate::view::View;

impl Rule for OrderAnnotate {
    const SINCE: Level = NOTES;

    fn needs(&self) -> Needs {
        Needs::OrdersAct
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::Order(self.order)]
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, actor: Actor) -> Result<Done, Refusal> {
        let Actor::User { id: author, .. } = actor else {
            return Err(Refusal::PermissionDenied);
        };
        field::text("/text", &self.text, NOTE_CHARS_MAX)?;
        let order = draft.get::<Order>(self.order).ok_or(Refusal::NotFound(Kind::Order))?;
        let order = Order { noted_at: Some(draft.now()), ..(*order).clone() };
        let (id, text) = (order.id, self.text.clone());
        draft.put(OrderNote { order: id, author, text, row: RowStamp::default() });
        Ok(Done::Order(draft.put(order)))
    }
}
