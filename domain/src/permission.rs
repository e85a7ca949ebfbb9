//! Permissions: which role may ask for what.
//!
//! The edge asks the same question for its routes; the answer here counts, because `decide`
//! trusts no sender. Whose rows an actor may touch is not here: another user's row is
//! `not_found`, which each rule says where it reads the row.

use crate::kernel::actor::{Actor, Role};
use crate::kernel::id::UserId;
use crate::outcome::Refusal;

/// The permission that a command needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Needs {
    /// `self:*`: any user, for own rows.
    AnyUser,
    /// `orders:act`: support, operator, admin.
    OrdersAct,
    /// `products:write`, `sales:write`, `stock:adjust`: operator, admin.
    Shop,
    /// `settings:write` and what only an admin may do.
    Admin,
    /// Only the leader and its runners.
    Node,
    /// `auth:public`: anyone, with an account or without.
    Anyone,
}

/// Whether the actor's role reaches what a command needs.
pub const fn allows(actor: Actor, needs: Needs) -> bool {
    match (actor, needs) {
        (Actor::Node, Needs::Node)
        | (Actor::User { .. }, Needs::AnyUser)
        | (Actor::Anyone | Actor::User { .. }, Needs::Anyone) => true,
        (Actor::Node | Actor::Anyone | Actor::Session { .. }, _)
        | (Actor::User { .. }, Needs::Node) => false,
        (Actor::User { role, .. }, Needs::OrdersAct) => is_staff(role),
        (Actor::User { role, .. }, Needs::Shop) => matches!(role, Role::Operator | Role::Admin),
        (Actor::User { role, .. }, Needs::Admin) => matches!(role, Role::Admin),
    }
}

/// The user who acts; nobody else has rows of their own.
pub(crate) const fn user(actor: Actor) -> Result<UserId, Refusal> {
    match actor {
        Actor::User { id, .. } => Ok(id),
        Actor::Node | Actor::Anyone | Actor::Session { .. } => Err(Refusal::PermissionDenied),
    }
}

/// Whether the role acts on other users' orders (`orders:act`).
pub const fn is_staff(role: Role) -> bool {
    match role {
        Role::Customer => false,
        Role::Support | Role::Operator | Role::Admin => true,
    }
}
