//! The words and ids that responses use for the values of the domain.

use firstcome_domain::Actor;
use firstcome_domain::order::{EndReason, PaymentStatus, Source};
use firstcome_domain::sale::{Disclosure, Phase};
use firstcome_domain::stock::{Account, PoolId};

/// The id of a pool: that of its product or sale.
pub(crate) fn pool_text(pool: PoolId) -> String {
    match pool {
        PoolId::Product(id) => id.to_string(),
        PoolId::Sale(id) => id.to_string(),
    }
}

/// Reads the id of a pool.
pub(crate) fn pool_of(text: &str) -> Option<PoolId> {
    let sale = text.parse().map(PoolId::Sale).ok();
    sale.or_else(|| text.parse().map(PoolId::Product).ok())
}

pub(crate) fn actor_text(actor: Actor) -> String {
    match actor {
        Actor::Node => "node".to_owned(),
        Actor::Anyone => "anyone".to_owned(),
        Actor::User { id, .. } | Actor::Session { user: id, .. } => id.to_string(),
    }
}

pub(crate) const fn account_word(account: Account) -> &'static str {
    match account {
        Account::Outside => "outside",
        Account::Available => "available",
        Account::Held => "held",
        Account::Sold => "sold",
        Account::Scrapped => "scrapped",
    }
}

pub(crate) const fn payment_word(status: PaymentStatus) -> &'static str {
    match status {
        PaymentStatus::Pending => "pending",
        PaymentStatus::Paid => "paid",
        PaymentStatus::Failed => "failed",
        PaymentStatus::Canceled => "canceled",
        PaymentStatus::RefundPending => "refund_pending",
        PaymentStatus::Refunded => "refunded",
    }
}

/// The word for a source.
pub(crate) const fn source_word(source: Source) -> &'static str {
    match source {
        Source::Direct => "direct",
        Source::Wishlist => "wishlist",
    }
}

pub(crate) const fn end_reason_word(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Unpaid => "unpaid",
        EndReason::ByCustomer => "by_customer",
        EndReason::ByStaff => "by_staff",
        EndReason::PaymentRefused => "payment_refused",
    }
}

/// The word for a phase.
pub(crate) const fn phase_word(phase: Phase) -> &'static str {
    match phase {
        Phase::Closed => "closed",
        Phase::Discontinued => "discontinued",
        Phase::Paused => "paused",
        Phase::Scheduled => "scheduled",
        Phase::SoldOut => "sold_out",
        Phase::Open => "open",
    }
}

/// Every phase with its word, for filters.
pub(crate) const PHASES: [(&str, Phase); 6] = [
    ("scheduled", Phase::Scheduled),
    ("open", Phase::Open),
    ("closed", Phase::Closed),
    ("sold_out", Phase::SoldOut),
    ("paused", Phase::Paused),
    ("discontinued", Phase::Discontinued),
];

/// The word for a disclosure.
pub(crate) const fn disclosure_word(disclosure: Disclosure) -> &'static str {
    match disclosure {
        Disclosure::Exact => "exact",
        Disclosure::Bucketed => "bucketed",
        Disclosure::Hidden => "hidden",
    }
}
