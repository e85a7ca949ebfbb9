//! Who may do what: the permission matrix, and the caller that a token names.
//!
//! Every route names one [`Permission`]; there is no default. The role is the token's until user
//! rows exist; `decide` checks it again for every change of state.

use firstcome_domain::{Actor, Role, UserId};

/// What a route demands of its caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Permission {
    /// Health, documents: a token is not even looked at.
    Open,
    /// Catalogue, time, cluster status: anybody; a token that is sent must be valid.
    PublicRead,
    /// The caller's own rows.
    Own,
    /// Staff: orders of everybody, masked.
    OrdersRead,
    /// Staff: cancel, ship, deliver, receive returns.
    OrdersAct,
    /// Staff: record money that was taken outside.
    PaymentsSettle,
    /// Staff: products.
    ProductsWrite,
    /// Staff: sales.
    SalesWrite,
    /// Staff: units, and the ledger of them.
    StockAdjust,
    /// Staff: numbered events.
    EventsRead,
    /// Admins: replicated settings.
    SettingsWrite,
    /// Admins: membership, leadership, snapshots.
    ClusterAdmin,
}

impl Permission {
    /// Every permission, for tests and documents.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 12] = [
        Self::Open,
        Self::PublicRead,
        Self::Own,
        Self::OrdersRead,
        Self::OrdersAct,
        Self::PaymentsSettle,
        Self::ProductsWrite,
        Self::SalesWrite,
        Self::StockAdjust,
        Self::EventsRead,
        Self::SettingsWrite,
        Self::ClusterAdmin,
    ];

    /// The name in documents.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "public",
            Self::PublicRead => "public:read",
            Self::Own => "self:*",
            Self::OrdersRead => "orders:read",
            Self::OrdersAct => "orders:act",
            Self::PaymentsSettle => "payments:settle",
            Self::ProductsWrite => "products:write",
            Self::SalesWrite => "sales:write",
            Self::StockAdjust => "stock:adjust",
            Self::EventsRead => "events:read",
            Self::SettingsWrite => "settings:write",
            Self::ClusterAdmin => "cluster:admin",
        }
    }

    /// Whether it is enough to be anybody.
    pub(crate) const fn is_public(self) -> bool {
        matches!(self, Self::Open | Self::PublicRead)
    }

    /// Whether a role reaches. Anything not listed is a refusal.
    pub(crate) const fn allows(self, role: Role) -> bool {
        match self {
            Self::Open | Self::PublicRead | Self::Own => true,
            Self::OrdersRead | Self::OrdersAct => {
                matches!(role, Role::Support | Role::Operator | Role::Admin)
            }
            Self::PaymentsSettle
            | Self::ProductsWrite
            | Self::SalesWrite
            | Self::StockAdjust
            | Self::EventsRead => {
                matches!(role, Role::Operator | Role::Admin)
            }
            Self::SettingsWrite | Self::ClusterAdmin => matches!(role, Role::Admin),
        }
    }
}

/// Who calls, as the token says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Caller {
    /// The user.
    pub(crate) id: UserId,
    /// What they may do at most.
    pub(crate) role: Role,
}

impl Caller {
    /// The actor of a command.
    pub(crate) const fn actor(self) -> Actor {
        Actor::User { id: self.id, role: self.role }
    }

    /// Whether they see exact stock and other customers' orders.
    pub(crate) const fn is_staff(self) -> bool {
        !matches!(self.role, Role::Customer)
    }
}

/// The word of a role in tokens.
pub(crate) const fn role_word(role: Role) -> &'static str {
    match role {
        Role::Customer => "customer",
        Role::Support => "support",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

/// Reads the word of a role.
pub(crate) fn role_of(word: &str) -> Option<Role> {
    [Role::Customer, Role::Support, Role::Operator, Role::Admin]
        .into_iter()
        .find(|role| role_word(*role) == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_matrix_matches_document() {
        // customer, support, operator, admin
        let document = [
            ("public", [true, true, true, true]),
            ("public:read", [true, true, true, true]),
            ("self:*", [true, true, true, true]),
            ("orders:read", [false, true, true, true]),
            ("orders:act", [false, true, true, true]),
            ("payments:settle", [false, false, true, true]),
            ("products:write", [false, false, true, true]),
            ("sales:write", [false, false, true, true]),
            ("stock:adjust", [false, false, true, true]),
            ("events:read", [false, false, true, true]),
            ("settings:write", [false, false, false, true]),
            ("cluster:admin", [false, false, false, true]),
        ];
        let roles = [Role::Customer, Role::Support, Role::Operator, Role::Admin];
        for (permission, (name, row)) in Permission::ALL.into_iter().zip(document) {
            assert_eq!(permission.as_str(), name);
            assert_eq!(roles.map(|role| permission.allows(role)), row, "{name}");
        }
    }

    #[test]
    fn roles_survive_their_words() {
        for role in [Role::Customer, Role::Support, Role::Operator, Role::Admin] {
            assert_eq!(role_of(role_word(role)), Some(role));
        }
        assert_eq!(role_of("root"), None);
    }
}
