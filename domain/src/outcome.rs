//! Outcomes: what was decided. Answers are built from the outcome alone, so a replay is equal
//! byte for byte.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::address::row::Address;
use crate::kernel::id::{OrderId, ProductId};
use crate::kernel::value::{Millis, Money};
use crate::keyring::row::Keyring;
use crate::order::row::{Order, Status};
use crate::product::row::Product;
use crate::sale::row::Sale;
use crate::session::row::Session;
use crate::settings::row::Settings;
use crate::stock::row::{Pool, PoolId};
use crate::user::row::User;
use crate::wishlist::row::Wish;

/// `Done` or `Refused`; a refusal is replicated like a success.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// It was done.
    Done(Done),
    /// A rule said no.
    Refused(Refusal),
}

#[cfg(not(feature = "next"))]
impl crate::kernel::version::Versioned for Outcome {}

/// What was done: the rows as the decision left them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Done {
    /// A product and its general stock.
    Product(Box<Product>, Pool),
    /// A sale, its stock, and whether its product is discontinued.
    Sale(Box<Sale>, Pool, bool),
    /// The accounts of one pool after an adjustment.
    Stock(Pool),
    /// An order, shared with the draft: the outcome of a purchase is encoded from the row.
    Order(Arc<Order>),
    /// The settings.
    Settings(Box<Settings>),
    /// The feature level.
    FeatureLevel(u16),
    /// A sweep.
    Ticked {
        /// More rows are due now.
        more: bool,
        /// When the next row is due.
        next_due: Option<Millis>,
    },
    /// An item of a wishlist.
    Wish(Box<Wish>),
    /// Items were taken off a wishlist.
    WishesRemoved,
    /// A saved address after the command.
    Address(Arc<Address>),
    /// A saved address was removed.
    AddressRemoved,
    /// The keyring.
    Keyring(Box<Keyring>),
    /// It was done, and there is nothing to show.
    Accepted,
    /// A user.
    User(Arc<User>),
    /// An open session.
    Session(Arc<Session>),
}

impl Done {
    /// The target of the command for the audit log: an id or a word; empty if there is none.
    pub(crate) fn target(&self) -> String {
        match self {
            Self::Product(product, _) => product.id.to_string(),
            Self::Sale(sale, _, _) => sale.id.to_string(),
            Self::Stock(pool) => match pool.id {
                PoolId::Product(id) => id.to_string(),
                PoolId::Sale(id) => id.to_string(),
            },
            Self::Order(order) => order.id.to_string(),
            Self::User(user) => user.id.to_string(),
            Self::Session(session) => session.user.to_string(),
            Self::Settings(_) => "settings".to_owned(),
            Self::Keyring(_) => "keyring".to_owned(),
            Self::FeatureLevel(_) => "feature_level".to_owned(),
            Self::Address(address) => address.id.to_string(),
            Self::Ticked { .. }
            | Self::Wish(_)
            | Self::WishesRemoved
            | Self::AddressRemoved
            | Self::Accepted => String::new(),
        }
    }
}

/// A named row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// A product.
    Product,
    /// A sale.
    Sale,
    /// An order.
    Order,
    /// An item of a wishlist.
    WishlistItem,
    /// A saved address.
    Address,
    /// A version of the master key.
    MasterVersion,
    /// A user.
    User,
    /// A session.
    Session,
}

/// A business "no". The code is the contract; facts say what would have to change.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Refusal {
    /// The actor's role does not reach.
    PermissionDenied,
    /// The command came with a later feature level than the cluster's.
    FeatureUnavailable {
        /// The level that has it.
        level: u16,
    },
    /// The same key came with another request.
    IdempotencyKeyReused,
    /// A field is out of range.
    InvalidField {
        /// JSON pointer into the request.
        pointer: String,
        /// A stable word: `required`, `out_of_range`, `too_long`, `invalid`, ...
        code: String,
    },
    /// No such row, or not the actor's.
    NotFound(Kind),
    /// The row was changed since the editor saw it.
    VersionMismatch {
        /// The version it has now.
        current: u64,
    },
    /// A row with the proposed id exists.
    IdInUse,
    /// A product keeps the currency it was created with.
    CurrencyFixed,
    /// Available (or scrapped) units do not cover it.
    NotEnoughUnits {
        /// Units in the source account.
        available: u64,
    },
    /// Not while the sale is open.
    SaleOpen,
    /// No new orders on this product.
    ProductDiscontinued {
        /// The product.
        product: ProductId,
    },
    /// Staff stopped the sale for now.
    SalePaused,
    /// The window is ahead.
    SaleNotOpen {
        /// When it opens.
        opens_at: Millis,
    },
    /// The window is over.
    SaleClosed {
        /// When it closed, if by time.
        closes_at: Option<Millis>,
    },
    /// One order, one currency.
    CurrencyMixed,
    /// The total does not fit.
    AmountOverflow,
    /// The buyer saw another total.
    PriceChanged {
        /// The total now.
        total: Money,
    },
    /// One unpaid order per customer and sale.
    AlreadyHolding {
        /// That order.
        order: OrderId,
        /// Until when it holds.
        pay_by: Millis,
    },
    /// Too many unpaid orders.
    TooManyPendingOrders {
        /// The most there may be.
        limit: u32,
    },
    /// The customer's share of the sale is used up.
    LimitReached {
        /// Units per customer.
        limit: u32,
        /// Units held or bought.
        used: u64,
    },
    /// Not enough units left.
    SoldOut {
        /// The short pool.
        pool: PoolId,
        /// Units left; only where the sale discloses them.
        available: Option<u64>,
    },
    /// Only unpaid and paid orders can be canceled.
    NotCancelable {
        /// Where it is.
        status: Status,
    },
    /// Not the step that comes next.
    WrongStatus {
        /// Where it is.
        status: Status,
    },
    /// Not delivered, or its return window is over.
    NotReturnable {
        /// Where it is.
        status: Status,
    },
    /// Not waiting for money.
    OrderNotPayable {
        /// Where it is.
        status: Status,
    },
    /// No room on the wishlist for another item.
    WishlistFull,
    /// Nothing on the wishlist to order.
    WishlistEmpty,
    /// The customer has as many addresses as one may have.
    AddressLimit,
    /// Nodes that do not have this version of the master key.
    KeyVersionMissing {
        /// Their ids.
        nodes: Vec<u64>,
    },
    /// A version of the master key that cannot be retired yet.
    KeyVersionInUse {
        /// It signs and seals.
        active: bool,
        /// Keys of the cluster that it wraps.
        wrapped_keys: u32,
        /// It was in use until lately: when it can be retired.
        not_before: Option<Millis>,
    },
    /// A version of the master key that was retired.
    KeyVersionRetired,
    /// The session is over.
    SessionClosed,
    /// Staff have blocked the user.
    UserBlocked,
    /// An old refresh token; its session is over now.
    SessionReuse,
    /// No such account, a wrong password, or a blocked user.
    LoginRefused,
    /// Too many wrong passwords.
    LoginThrottled {
        /// When the next one may be tried.
        until: Millis,
    },
    /// Wrong, used, or over.
    CodeInvalid,
    /// A code was sent to this address just now.
    CodeTooSoon {
        /// When the next one may be asked for.
        until: Millis,
    },
    /// Too many codes were sent to this address.
    CodeTooMany {
        /// When the next one may be asked for.
        until: Millis,
    },
    /// The e-mail address is not proven.
    EmailUnverified,
    /// The e-mail address has an account.
    EmailTaken,
    /// There is an admin already.
    AdminExists,
    /// No other admin could log in.
    LastAdmin,
    /// The customer has orders that are not over.
    OrdersOpen,
}

impl Refusal {
    /// Whether it may be told early only after a linearizable read: it becomes wrong as soon as a row
    /// exists, and the customer may have been told of that row already. Refusals for time or stock
    /// may be told from rows that are slightly older.
    pub const fn needs_current_rows(&self) -> bool {
        matches!(self, Self::NotFound(_) | Self::InvalidField { .. })
    }

    /// Whether a rule may write although it refuses: a wrong code counts, and a copied refresh token
    /// ends its session.
    pub(crate) const fn may_write(&self) -> bool {
        matches!(self, Self::CodeInvalid | Self::SessionReuse)
    }

    /// Whether a receipt may remember it. A retry may come from a valid
    /// session or after the wait.
    pub(crate) const fn is_lasting(&self) -> bool {
        !matches!(
            self,
            Self::SessionClosed
                | Self::UserBlocked
                | Self::SessionReuse
                | Self::LoginRefused
                | Self::LoginThrottled { .. }
                | Self::CodeInvalid
                | Self::CodeTooSoon { .. }
                | Self::CodeTooMany { .. }
                | Self::EmailUnverified
        )
    }

    /// The stable code on the wire.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::PermissionDenied => "permission_denied",
            Self::FeatureUnavailable { .. } => "feature_unavailable",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::InvalidField { .. } => "invalid_field",
            Self::NotFound(_) => "not_found",
            Self::VersionMismatch { .. } => "version_mismatch",
            Self::IdInUse => "id_in_use",
            Self::CurrencyFixed => "currency_fixed",
            Self::NotEnoughUnits { .. } => "not_enough_units",
            Self::SaleOpen => "sale_open",
            Self::ProductDiscontinued { .. } => "product_discontinued",
            Self::SalePaused => "sale_paused",
            Self::SaleNotOpen { .. } => "sale_not_open",
            Self::SaleClosed { .. } => "sale_closed",
            Self::CurrencyMixed => "currency_mixed",
            Self::AmountOverflow => "amount_overflow",
            Self::PriceChanged { .. } => "price_changed",
            Self::AlreadyHolding { .. } => "already_holding",
            Self::TooManyPendingOrders { .. } => "too_many_pending_orders",
            Self::LimitReached { .. } => "limit_reached",
            Self::SoldOut { .. } => "sold_out",
            Self::NotCancelable { .. } => "not_cancelable",
            Self::WrongStatus { .. } => "wrong_status",
            Self::NotReturnable { .. } => "not_returnable",
            Self::OrderNotPayable { .. } => "order_not_payable",
            Self::WishlistFull => "wishlist_full",
            Self::WishlistEmpty => "wishlist_empty",
            Self::AddressLimit => "address_limit",
            Self::KeyVersionMissing { .. } => "key_version_missing",
            Self::KeyVersionInUse { .. } => "key_version_in_use",
            Self::KeyVersionRetired => "key_version_retired",
            Self::SessionClosed => "session_closed",
            Self::UserBlocked => "user_blocked",
            Self::SessionReuse => "session_reuse",
            Self::LoginRefused => "login_refused",
            Self::LoginThrottled { .. } => "login_throttled",
            Self::CodeInvalid => "code_invalid",
            Self::CodeTooSoon { .. } => "code_too_soon",
            Self::CodeTooMany { .. } => "code_too_many",
            Self::EmailUnverified => "email_unverified",
            Self::EmailTaken => "email_taken",
            Self::AdminExists => "admin_exists",
            Self::LastAdmin => "last_admin",
            Self::OrdersOpen => "orders_open",
        }
    }
}
