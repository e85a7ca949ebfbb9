//! Who may do what: the permissions of each role, and the caller that a token names.
//!
//! Every route names one [`Permission`]; there is no default. `docs/permissions.md` shows the
//! roles and the routes. `decide` checks the role again for every change of state.

use firstcome_domain::{Actor, Role, SessionId, UserId};

/// Tolerated difference between the clocks of those who sign tokens and those who check them.
pub(crate) const LEEWAY_SECONDS: u64 = 5;

/// What a route requires of its caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Permission {
    /// Health and documents: tokens are ignored.
    Open,
    /// Catalogue, time: anyone, but a token that is sent must be valid.
    PublicRead,
    /// Sign-up, login and what comes before them: tokens are ignored.
    AuthPublic,
    /// The caller's own rows.
    Own,
    /// Staff: all orders, without addresses.
    OrdersRead,
    /// Staff: cancel, ship and deliver orders, receive returns, record external payments.
    OrdersAct,
    /// Staff: products.
    ProductsWrite,
    /// Staff: sales.
    SalesWrite,
    /// Staff: stock and its ledger.
    StockAdjust,
    /// Staff: numbered events.
    EventsRead,
    /// Staff: status and members of the cluster, state hashes, and which node answered.
    ClusterRead,
    /// Admins: replicated settings.
    SettingsWrite,
    /// Admins: membership, leadership, snapshots.
    ClusterAdmin,
    /// Admins: which version of the master key is used.
    KeysRotate,
    /// Admins: roles, and blocking users.
    UsersManage,
    /// Admins: tokens for a shop's own customers.
    TokensIssue,
    /// Staff: personal data, one object at a time and with a reason.
    PiiReveal,
    /// Admins: what staff did.
    AuditRead,
}

impl Permission {
    /// Every permission.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 18] = [
        Self::Open,
        Self::PublicRead,
        Self::AuthPublic,
        Self::Own,
        Self::OrdersRead,
        Self::OrdersAct,
        Self::ProductsWrite,
        Self::SalesWrite,
        Self::StockAdjust,
        Self::EventsRead,
        Self::ClusterRead,
        Self::SettingsWrite,
        Self::ClusterAdmin,
        Self::KeysRotate,
        Self::UsersManage,
        Self::TokensIssue,
        Self::PiiReveal,
        Self::AuditRead,
    ];

    /// The name in documents and problems.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "public",
            Self::PublicRead => "public:read",
            Self::AuthPublic => "auth:public",
            Self::Own => "self:*",
            Self::OrdersRead => "orders:read",
            Self::OrdersAct => "orders:act",
            Self::ProductsWrite => "products:write",
            Self::SalesWrite => "sales:write",
            Self::StockAdjust => "stock:adjust",
            Self::EventsRead => "events:read",
            Self::ClusterRead => "cluster:read",
            Self::SettingsWrite => "settings:write",
            Self::ClusterAdmin => "cluster:admin",
            Self::KeysRotate => "keys:rotate",
            Self::UsersManage => "users:manage",
            Self::TokensIssue => "tokens:issue",
            Self::PiiReveal => "pii:reveal",
            Self::AuditRead => "audit:read",
        }
    }

    /// Whether no token is needed.
    pub(crate) const fn is_public(self) -> bool {
        matches!(self, Self::Open | Self::PublicRead | Self::AuthPublic)
    }

    /// Whether tokens are ignored.
    pub(crate) const fn ignores_tokens(self) -> bool {
        matches!(self, Self::Open | Self::AuthPublic)
    }

    /// Whether a role has it. Whatever is not listed is refused.
    pub(crate) const fn allows(self, role: Role) -> bool {
        match self {
            Self::Open | Self::PublicRead | Self::AuthPublic | Self::Own => true,
            Self::OrdersRead | Self::OrdersAct | Self::PiiReveal => {
                matches!(role, Role::Support | Role::Operator | Role::Admin)
            }
            Self::ProductsWrite
            | Self::SalesWrite
            | Self::StockAdjust
            | Self::EventsRead
            | Self::ClusterRead => {
                matches!(role, Role::Operator | Role::Admin)
            }
            Self::SettingsWrite
            | Self::ClusterAdmin
            | Self::KeysRotate
            | Self::UsersManage
            | Self::TokensIssue
            | Self::AuditRead => {
                matches!(role, Role::Admin)
            }
        }
    }
}

/// The caller, as the token and the rows name them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Caller {
    /// The user.
    pub(crate) id: UserId,
    /// The role that they have now.
    pub(crate) role: Role,
    /// The session that they logged in with.
    pub(crate) session: Option<SessionId>,
}

impl Caller {
    /// The actor, with at most the role `most`.
    pub(crate) fn actor(self, most: Role) -> Actor {
        let role = self.role.min(most);
        match self.session {
            Some(session) => Actor::Session { user: self.id, session, role },
            None => Actor::User { id: self.id, role },
        }
    }

    /// Whether they see exact stock.
    pub(crate) const fn is_staff(self) -> bool {
        !matches!(self.role, Role::Customer)
    }
}

/// The word for a role in tokens.
pub(crate) const fn role_word(role: Role) -> &'static str {
    match role {
        Role::Customer => "customer",
        Role::Support => "support",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

const ROLES: [Role; 4] = [Role::Customer, Role::Support, Role::Operator, Role::Admin];

/// Reads the word for a role.
pub(crate) fn role_of(word: &str) -> Option<Role> {
    ROLES.into_iter().find(|role| role_word(*role) == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_matrix_matches_document() {
        let roles = ROLES.map(role_word).join(" | ");
        let (_, table) = include_str!("../../docs/permissions.md")
            .split_once(&format!("| permission | {roles} |\n"))
            .expect("a table with every role");
        let rows = table.lines().skip(1).take_while(|line| !line.is_empty()).map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            let allows = cells[1..].iter().map(|cell| match *cell {
                "yes" => true,
                "no" => false,
                other => panic!("{other} is neither yes nor no"),
            });
            (cells[0].trim_matches('`'), allows.collect::<Vec<_>>())
        });
        let documented: Vec<_> = rows.collect();
        let coded = Permission::ALL.map(|permission| {
            let allows = ROLES.map(|role| permission.allows(role));
            (permission.as_str(), allows.to_vec())
        });
        assert_eq!(documented, coded);
    }

    #[test]
    fn roles_survive_their_words() {
        for role in ROLES {
            assert_eq!(role_of(role_word(role)), Some(role));
        }
        assert_eq!(role_of("root"), None);
    }
}
