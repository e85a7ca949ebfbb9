//! Rule: what a command must declare besides its fields: who may send it, what it touches, and
//! what it does.

use crate::draft::Draft;
use crate::kernel::actor::Actor;
use crate::kernel::id::{OrderId, SaleId};
use crate::kernel::value::Sealed;
use crate::kernel::version::{Level, Versioned};
use crate::outcome::{Done, Refusal};
use crate::permission::Needs;
use crate::stock::row::PoolId;
use crate::view::View;

/// A command: who may send it, what it touches, and what it does.
pub(crate) trait Rule: Versioned {
    /// The feature level from which on the command exists.
    const SINCE: Level = Level::FIRST;

    /// What the actor's role must allow.
    fn needs(&self) -> Needs;

    /// Why staff ask, where they have to say.
    fn reason(&self) -> Option<&Sealed> {
        None
    }

    /// The rows that are brought to the command's own instant before it is decided.
    fn touches(&self) -> Vec<Touch> {
        Vec::new()
    }

    /// What it stores that only a version of the master key opens: its reason, or something else.
    fn sealed(&self) -> Option<&Sealed> {
        self.reason()
    }

    /// Decides the command. Checks everything before it writes anything.
    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, actor: Actor) -> Result<Done, Refusal>;
}

/// Something that time may have changed without anybody having looked yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Touch {
    /// An order that may be overdue.
    Order(OrderId),
    /// A sale that may have opened or closed.
    Sale(SaleId),
    /// The actor's own unpaid order on a sale.
    OwnHold(SaleId),
    /// What an order of the actor's whole wishlist touches.
    OwnWishlist,
    /// Units that the command takes out of a pool: overdue orders give theirs back.
    Units(PoolId, u64),
    /// Units that the command takes out of the general stock of a sale's product.
    GeneralUnits(SaleId, u64),
}
