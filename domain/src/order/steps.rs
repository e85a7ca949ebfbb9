//! What customers and staff do with an order that was placed.

use super::command::{
    OrderCancel, OrderConfirm, OrderDeliver, OrderReturn, OrderShip, ReturnReceive,
};
use super::life::{done, enter, give_back, named, take_back};
use super::row::{EndReason, Order, Status};
use crate::draft::Draft;
use crate::field;
use crate::kernel::actor::Actor;
use crate::kernel::id::{OrderId, UserId};
use crate::kernel::value::TRACKING_CHARS_MAX;
use crate::outcome::{Done, Kind, Refusal};
use crate::payment::state;
use crate::permission::{Needs, is_staff, user};
use crate::rule::{Rule, Touch};
use crate::stock::row::Reason;
use crate::view::View;

impl Rule for OrderCancel {
    fn needs(&self) -> Needs {
        Needs::AnyUser
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::Order(self.id)]
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, actor: Actor) -> Result<Done, Refusal> {
        cancel(draft, actor, self)
    }
}

impl Rule for OrderShip {
    fn needs(&self) -> Needs {
        Needs::OrdersAct
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::Order(self.id)]
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        ship(draft, self)
    }
}

impl Rule for OrderDeliver {
    fn needs(&self) -> Needs {
        Needs::OrdersAct
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::Order(self.id)]
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        deliver(draft, self)
    }
}

impl Rule for OrderConfirm {
    fn needs(&self) -> Needs {
        Needs::AnyUser
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::Order(self.id)]
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, actor: Actor) -> Result<Done, Refusal> {
        confirm(draft, user(actor)?, self)
    }
}

impl Rule for OrderReturn {
    fn needs(&self) -> Needs {
        Needs::AnyUser
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::Order(self.id)]
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, actor: Actor) -> Result<Done, Refusal> {
        send_back(draft, user(actor)?, self)
    }
}

impl Rule for ReturnReceive {
    fn needs(&self) -> Needs {
        Needs::OrdersAct
    }

    fn touches(&self) -> Vec<Touch> {
        vec![Touch::Order(self.id)]
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        receive(draft, self)
    }
}

/// Cancels an order, while it is unpaid or not shipped; money that was taken goes back.
fn cancel<V: View>(
    draft: &mut Draft<'_, V>,
    actor: Actor,
    ask: &OrderCancel,
) -> Result<Done, Refusal> {
    let (mut order, own) = reachable(draft, actor, ask.id)?;
    let status = order.status;
    if status != Status::PaymentPending && status != Status::Paid {
        return Err(Refusal::NotCancelable { status });
    }
    order.reason = Some(if own { EndReason::ByCustomer } else { EndReason::ByStaff });
    if status == Status::Paid {
        give_back(draft, &order, Reason::Cancel);
        state::refund(draft, &mut order);
    } else {
        give_back(draft, &order, Reason::Release);
        state::cancel(draft, &mut order);
    }
    Ok(done(enter(draft, order, Status::Canceled)))
}

/// Records that the parcel left.
fn ship<V: View>(draft: &mut Draft<'_, V>, ask: &OrderShip) -> Result<Done, Refusal> {
    field::text_if_any("/tracking_no", ask.tracking_no.as_ref(), TRACKING_CHARS_MAX)?;
    let mut order = in_status(draft, ask.id, Status::Paid)?;
    order.tracking_no.clone_from(&ask.tracking_no);
    Ok(done(enter(draft, order, Status::Shipping)))
}

/// Records that the parcel arrived.
fn deliver<V: View>(draft: &mut Draft<'_, V>, ask: &OrderDeliver) -> Result<Done, Refusal> {
    let order = in_status(draft, ask.id, Status::Shipping)?;
    Ok(done(enter(draft, order, Status::Delivered)))
}

/// The owner keeps it: no return any more.
fn confirm<V: View>(
    draft: &mut Draft<'_, V>,
    customer: UserId,
    ask: &OrderConfirm,
) -> Result<Done, Refusal> {
    let order = owned(draft, customer, ask.id)?;
    if order.status != Status::Delivered {
        return Err(Refusal::WrongStatus { status: order.status });
    }
    Ok(done(enter(draft, order, Status::Confirmed)))
}

/// The owner sends it back, while the return window lasts.
fn send_back<V: View>(
    draft: &mut Draft<'_, V>,
    customer: UserId,
    ask: &OrderReturn,
) -> Result<Done, Refusal> {
    let order = owned(draft, customer, ask.id)?;
    let in_time = order.due_at.is_none_or(|end| draft.now() < end);
    if order.status != Status::Delivered || !in_time {
        return Err(Refusal::NotReturnable { status: order.status });
    }
    Ok(done(enter(draft, order, Status::ReturnRequested)))
}

/// Records that the parcel came back: units are restocked or scrapped, the money goes back.
fn receive<V: View>(draft: &mut Draft<'_, V>, ask: &ReturnReceive) -> Result<Done, Refusal> {
    let order = in_status(draft, ask.id, Status::ReturnRequested)?;
    let reason = if ask.restock { Reason::Restock } else { Reason::ReturnScrap };
    Ok(done(take_back(draft, order, reason)))
}

/// An order that the actor may act on, and whether it is their own. Staff reach all.
fn reachable<V: View>(
    draft: &mut Draft<'_, V>,
    actor: Actor,
    id: OrderId,
) -> Result<(Order, bool), Refusal> {
    let order = named(draft, id)?;
    match actor {
        Actor::User { id: user, .. } if order.customer == user => Ok((order, true)),
        Actor::User { role, .. } if is_staff(role) => Ok((order, false)),
        Actor::User { .. } | Actor::Node | Actor::Anyone | Actor::Session { .. } => {
            Err(Refusal::NotFound(Kind::Order))
        }
    }
}

/// The customer's own order; another user's is as absent as one that never was.
fn owned<V: View>(
    draft: &mut Draft<'_, V>,
    customer: UserId,
    id: OrderId,
) -> Result<Order, Refusal> {
    let order = named(draft, id)?;
    if order.customer == customer { Ok(order) } else { Err(Refusal::NotFound(Kind::Order)) }
}

fn in_status<V: View>(
    draft: &mut Draft<'_, V>,
    id: OrderId,
    wanted: Status,
) -> Result<Order, Refusal> {
    let order = named(draft, id)?;
    let status = order.status;
    if status == wanted { Ok(order) } else { Err(Refusal::WrongStatus { status }) }
}
