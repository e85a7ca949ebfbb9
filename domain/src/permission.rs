//! Permissions: which role may ask for what.
//!
//! The edge asks the same question for its routes; the answer here counts, because `decide`
//! trusts no sender. Whose rows an actor may touch is not here: another user's row is
//! `not_found`, which each rule says where it reads the row.

use crate::command::{Action, Actor, PaymentSettle, Role, Settlement};

/// The permission that an action needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Needs {
    /// `self:*`: any user, for own rows.
    AnyUser,
    /// `orders:act`: support, operator, admin.
    OrdersAct,
    /// `products:write`, `sales:write`, `stock:adjust`: operator, admin.
    Shop,
    /// `settings:write`: admin.
    SettingsWrite,
    /// Only the leader and its runners.
    Node,
}

const fn needs(action: &Action) -> Needs {
    match action {
        Action::ProductCreate(_)
        | Action::ProductUpdate(_)
        | Action::ProductSetStatus(_)
        | Action::StockAdjust(_)
        | Action::SaleCreate(_)
        | Action::SaleUpdate(_)
        | Action::SaleAllot(_)
        | Action::SalePause(_)
        | Action::SaleResume(_)
        | Action::SaleClose(_) => Needs::Shop,
        Action::OrderCreate(_)
        | Action::OrderCancel(_)
        | Action::OrderConfirm(_)
        | Action::OrderReturn(_) => Needs::AnyUser,
        Action::OrderShip(_) | Action::OrderDeliver(_) | Action::ReturnReceive(_) => {
            Needs::OrdersAct
        }
        Action::PaymentSettle(PaymentSettle { settlement, .. }) => match settlement {
            Settlement::PaidOutside { .. } => Needs::OrdersAct,
            Settlement::Captured { .. } | Settlement::Declined { .. } => Needs::Node,
        },
        Action::SettingsUpdate(_) => Needs::SettingsWrite,
        Action::Tick => Needs::Node,
    }
}

/// Whether the actor's role reaches the action.
pub const fn allows(actor: Actor, action: &Action) -> bool {
    match (actor, needs(action)) {
        (Actor::Node, Needs::Node) | (Actor::User { .. }, Needs::AnyUser) => true,
        (Actor::Node, Needs::AnyUser | Needs::OrdersAct | Needs::Shop | Needs::SettingsWrite)
        | (Actor::User { .. }, Needs::Node) => false,
        (Actor::User { role, .. }, Needs::OrdersAct) => is_staff(role),
        (Actor::User { role, .. }, Needs::Shop) => matches!(role, Role::Operator | Role::Admin),
        (Actor::User { role, .. }, Needs::SettingsWrite) => matches!(role, Role::Admin),
    }
}

/// Whether the role acts on other users' orders (`orders:act`).
pub const fn is_staff(role: Role) -> bool {
    match role {
        Role::Customer => false,
        Role::Support | Role::Operator | Role::Admin => true,
    }
}
