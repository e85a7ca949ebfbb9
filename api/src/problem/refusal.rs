//! Refusals (a rule said no) and failures (there is no outcome) of the node, as problems.

use firstcome_domain::order::Status;
use firstcome_domain::outcome::Kind;
use firstcome_domain::stock::PoolId;
use firstcome_domain::{Millis, Refusal, Stamp};
use firstcome_raft::{Executed, Failure, FailureReason};
use serde_json::{Value, json};

use super::code::Code;
use super::document::Problem;
use crate::rfc3339;

impl Problem {
    /// A refusal, as it was decided. An `early` one was read from applied state, without a log
    /// entry, so it has no ticket.
    pub(crate) fn refused(refusal: &Refusal, decided: Stamp, early: bool) -> Self {
        let problem = of_refusal(refusal, decided.now).at(decided.revision);
        if early {
            problem.member("early", true).member("revision", decided.revision.get())
        } else {
            problem.member("ticket", decided.revision.get())
        }
    }

    /// A write whose outcome did not arrive in time.
    pub(crate) fn outcome_unknown() -> Self {
        let failure = Failure { reason: FailureReason::OutcomeUnknown, executed: Executed::Maybe };
        Self::from(failure)
    }
}

fn of_refusal(refusal: &Refusal, decided: Millis) -> Problem {
    use Code as C;
    let new = Problem::new;
    match refusal {
        Refusal::PermissionDenied => new(C::PermissionDenied),
        Refusal::IdempotencyKeyReused => new(C::IdempotencyKeyReused),
        Refusal::InvalidField { pointer, code } => {
            let detail = format!("{code}: see the limits of this field in /openapi.json");
            Problem::field(pointer.clone(), code.clone(), detail)
        }
        Refusal::NotFound(kind) => new(C::NotFound).detail(match kind {
            Kind::Product => "There is no such product.",
            Kind::Sale => "There is no such sale.",
            Kind::Order => "There is no such order, or it is not yours.",
            Kind::WishlistItem => "It is not on your wishlist.",
            Kind::Address => "There is no such address, or it is not yours.",
            Kind::MasterVersion => "No node has reported such a version of the master key.",
            Kind::User => "There is no such account.",
            Kind::Session => "There is no such session, or it is not yours.",
        }),
        Refusal::VersionMismatch { current } => {
            new(C::VersionMismatch).member("current_version", *current)
        }
        Refusal::FeatureUnavailable { level } => new(C::FeatureUnavailable).member("level", *level),
        Refusal::IdInUse => new(C::IdInUse),
        Refusal::CurrencyFixed => new(C::CurrencyFixed),
        Refusal::NotEnoughUnits { available } => {
            new(C::NotEnoughUnits).member("available", *available)
        }
        Refusal::SaleOpen => new(C::SaleOpen),
        Refusal::ProductDiscontinued { product } => {
            new(C::ProductDiscontinued).member("product_id", product.to_string())
        }
        Refusal::SalePaused => new(C::SalePaused),
        Refusal::SaleNotOpen { opens_at } => {
            new(C::SaleNotOpen).member("opens_at", rfc3339::format(*opens_at))
        }
        Refusal::SaleClosed { closes_at } => match closes_at {
            Some(at) => new(C::SaleClosed).member("closes_at", rfc3339::format(*at)),
            None => new(C::SaleClosed),
        },
        Refusal::CurrencyMixed => new(C::CurrencyMixed),
        Refusal::AmountOverflow => new(C::AmountOverflow),
        Refusal::PriceChanged { total } => {
            let total = json!({ "amount": total.amount, "currency": total.currency.as_str() });
            new(C::PriceChanged).member("total", total)
        }
        Refusal::AlreadyHolding { order, pay_by } => new(C::AlreadyHolding)
            .member("order_id", order.to_string())
            .member("pay_by", rfc3339::format(*pay_by)),
        Refusal::TooManyPendingOrders { limit } => {
            new(C::TooManyPendingOrders).member("limit", *limit)
        }
        Refusal::LimitReached { limit, used } => {
            new(C::LimitReached).member("limit", *limit).member("used", *used)
        }
        Refusal::SoldOut { pool, available } => sold_out(*pool, *available),
        Refusal::NotCancelable { status } => in_status(C::NotCancelable, *status),
        Refusal::WrongStatus { status } => in_status(C::WrongStatus, *status),
        Refusal::NotReturnable { status } => in_status(C::NotReturnable, *status),
        Refusal::OrderNotPayable { status } => in_status(C::OrderNotPayable, *status),
        Refusal::WishlistFull => new(C::WishlistFull),
        Refusal::WishlistEmpty => new(C::WishlistEmpty),
        Refusal::AddressLimit => new(C::AddressLimit),
        Refusal::KeyVersionMissing { nodes } => {
            new(C::KeyVersionMissing).member("node_ids", nodes.clone())
        }
        Refusal::KeyVersionInUse { active, wrapped_keys, not_before } => {
            let problem = new(C::KeyVersionInUse)
                .member("active", *active)
                .member("wrapped_keys", *wrapped_keys);
            match not_before {
                Some(at) => problem.member("not_before", rfc3339::format(*at)),
                None => problem,
            }
        }
        Refusal::KeyVersionRetired => new(C::KeyVersionRetired),
        Refusal::SessionClosed => new(C::TokenRevoked),
        Refusal::UserBlocked => new(C::UserBlocked),
        Refusal::SessionReuse => new(C::SessionReuse),
        Refusal::LoginRefused => new(C::LoginRefused),
        Refusal::LoginThrottled { until } => new(C::LoginThrottled).retry_from(*until, decided),
        Refusal::CodeInvalid => new(C::EmailCodeInvalid),
        Refusal::CodeTooSoon { until } => new(C::EmailCodeTooSoon).retry_from(*until, decided),
        Refusal::CodeTooMany { until } => new(C::EmailCodeTooMany).retry_from(*until, decided),
        Refusal::EmailUnverified => new(C::EmailUnverified),
        Refusal::EmailTaken => new(C::EmailTaken),
        Refusal::AdminExists => new(C::AdminExists),
        Refusal::LastAdmin => new(C::LastAdmin),
        Refusal::OrdersOpen => new(C::OrdersOpen),
    }
}

/// Names the status of the order: in words, and as a member for programs.
fn in_status(code: Code, status: Status) -> Problem {
    let (status, (_, detail)) = (status.as_str(), code.english());
    Problem::new(code)
        .detail(format!("The order is {status}. {detail}"))
        .member("order_status", status)
}

/// Names the pool. There is no waitlist to join yet.
fn sold_out(pool: PoolId, available: Option<u64>) -> Problem {
    let problem = Problem::new(Code::SoldOut);
    let (name, id) = match pool {
        PoolId::Product(id) => ("product_id", id.to_string()),
        PoolId::Sale(id) => ("sale_id", id.to_string()),
    };
    let problem = problem.member(name, id).member("waitlist_url", Value::Null);
    match available {
        Some(available) => problem.member("available", json!(available)),
        None => problem,
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        // Whatever the reason, a client in doubt must be told to retry with the same key.
        if failure.executed == Executed::Maybe {
            let problem = Self::new(Code::OutcomeUnknown).executed(Executed::Maybe);
            return match failure.reason {
                FailureReason::Rejected(why) => problem.detail(why),
                _ => problem,
            };
        }
        match failure.reason {
            FailureReason::NoQuorum => Self::new(Code::NoQuorum),
            FailureReason::Overloaded => Self::new(Code::Overloaded),
            FailureReason::Draining => Self::new(Code::NodeDraining),
            FailureReason::RevisionNotReached => Self::new(Code::RevisionNotReached),
            FailureReason::OutcomeUnknown => Self::new(Code::OutcomeUnknown),
            FailureReason::Rejected(why) => Self::new(Code::ClusterChangeRejected).detail(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use firstcome_domain::value::{Currency, Money};
    use firstcome_domain::{Millis, OrderId, ProductId, Revision, SaleId};
    use serde_json::Value;

    use super::*;

    fn document(problem: &Problem) -> Value {
        serde_json::from_slice(&problem.to_json("/v1/orders", "r-1", false)).unwrap()
    }

    /// One of each refusal. The match has no wildcard, so a new variant does not compile until it is
    /// listed here, and so tested.
    macro_rules! one_of_each {
        ($($variant:pat => $example:expr, $code:literal, $status:literal, $members:expr;)*) => {
            fn one_of_each() -> Vec<(Refusal, &'static str, u16, &'static [&'static str])> {
                let all = vec![$(($example, $code, $status, $members as &[&str])),*];
                for (refusal, code, ..) in &all {
                    let listed = match refusal { $($variant => $code),* };
                    assert_eq!(listed, *code, "the example is of another variant");
                }
                all
            }
        };
    }

    const AT: Millis = Millis::new(5);
    const PAID: Status = Status::Paid;

    one_of_each! {
        Refusal::PermissionDenied => Refusal::PermissionDenied, "permission_denied", 403, &[];
        Refusal::IdempotencyKeyReused => Refusal::IdempotencyKeyReused,
            "idempotency_key_reused", 422, &[];
        Refusal::InvalidField { .. } =>
            Refusal::InvalidField { pointer: "/lines".to_owned(), code: "too_long".to_owned() },
            "validation_failed", 422, &["errors"];
        Refusal::NotFound(_) => Refusal::NotFound(Kind::Sale), "not_found", 404, &[];
        Refusal::VersionMismatch { .. } => Refusal::VersionMismatch { current: 3 },
            "version_mismatch", 412, &["current_version"];
        Refusal::FeatureUnavailable { .. } => Refusal::FeatureUnavailable { level: 2 },
            "feature_unavailable", 409, &["level"];
        Refusal::IdInUse => Refusal::IdInUse, "id_in_use", 409, &[];
        Refusal::CurrencyFixed => Refusal::CurrencyFixed, "currency_fixed", 409, &[];
        Refusal::NotEnoughUnits { .. } => Refusal::NotEnoughUnits { available: 1 },
            "not_enough_units", 409, &["available"];
        Refusal::SaleOpen => Refusal::SaleOpen, "sale_open", 409, &[];
        Refusal::ProductDiscontinued { .. } =>
            Refusal::ProductDiscontinued { product: ProductId::new(1) },
            "product_discontinued", 409, &["product_id"];
        Refusal::SalePaused => Refusal::SalePaused, "sale_paused", 409, &[];
        Refusal::SaleNotOpen { .. } => Refusal::SaleNotOpen { opens_at: AT },
            "sale_not_open", 409, &["opens_at"];
        Refusal::SaleClosed { .. } => Refusal::SaleClosed { closes_at: Some(AT) },
            "sale_closed", 409, &["closes_at"];
        Refusal::CurrencyMixed => Refusal::CurrencyMixed, "currency_mixed", 409, &[];
        Refusal::AmountOverflow => Refusal::AmountOverflow, "amount_overflow", 409, &[];
        Refusal::PriceChanged { .. } => Refusal::PriceChanged {
                total: Money { amount: 1, currency: Currency::new("KRW").unwrap() },
            },
            "price_changed", 409, &["total"];
        Refusal::AlreadyHolding { .. } =>
            Refusal::AlreadyHolding { order: OrderId::new(1), pay_by: AT },
            "already_holding", 409, &["order_id", "pay_by"];
        Refusal::TooManyPendingOrders { .. } => Refusal::TooManyPendingOrders { limit: 1 },
            "too_many_pending_orders", 409, &["limit"];
        Refusal::LimitReached { .. } => Refusal::LimitReached { limit: 1, used: 1 },
            "limit_reached", 409, &["limit", "used"];
        Refusal::SoldOut { .. } => Refusal::SoldOut {
                pool: PoolId::Sale(SaleId::new(1)),
                available: Some(0),
            },
            "sold_out", 409, &["sale_id", "waitlist_url", "available"];
        Refusal::NotCancelable { .. } => Refusal::NotCancelable { status: PAID },
            "not_cancelable", 409, &["order_status"];
        Refusal::WrongStatus { .. } => Refusal::WrongStatus { status: PAID },
            "wrong_status", 409, &["order_status"];
        Refusal::NotReturnable { .. } => Refusal::NotReturnable { status: PAID },
            "not_returnable", 409, &["order_status"];
        Refusal::OrderNotPayable { .. } => Refusal::OrderNotPayable { status: PAID },
            "order_not_payable", 409, &["order_status"];
        Refusal::WishlistFull => Refusal::WishlistFull, "wishlist_full", 409, &[];
        Refusal::WishlistEmpty => Refusal::WishlistEmpty, "wishlist_empty", 409, &[];
        Refusal::AddressLimit => Refusal::AddressLimit, "address_limit", 409, &[];
        Refusal::KeyVersionMissing { .. } => Refusal::KeyVersionMissing { nodes: vec![2] },
            "key_version_missing", 409, &["node_ids"];
        Refusal::KeyVersionInUse { .. } => Refusal::KeyVersionInUse {
                active: true,
                wrapped_keys: 1,
                not_before: Some(AT),
            },
            "key_version_in_use", 409, &["active", "wrapped_keys", "not_before"];
        Refusal::KeyVersionRetired => Refusal::KeyVersionRetired,
            "key_version_retired", 409, &[];
        Refusal::SessionClosed => Refusal::SessionClosed, "token_revoked", 401, &[];
        Refusal::UserBlocked => Refusal::UserBlocked, "user_blocked", 403, &[];
        Refusal::SessionReuse => Refusal::SessionReuse, "session_reuse", 401, &[];
        Refusal::LoginRefused => Refusal::LoginRefused, "login_refused", 401, &[];
        Refusal::LoginThrottled { .. } => Refusal::LoginThrottled { until: AT },
            "login_throttled", 429, &[];
        Refusal::CodeInvalid => Refusal::CodeInvalid, "code_invalid", 400, &[];
        Refusal::CodeTooSoon { .. } => Refusal::CodeTooSoon { until: AT },
            "code_too_soon", 429, &[];
        Refusal::CodeTooMany { .. } => Refusal::CodeTooMany { until: AT },
            "code_too_many", 429, &[];
        Refusal::EmailUnverified => Refusal::EmailUnverified, "email_unverified", 403, &[];
        Refusal::EmailTaken => Refusal::EmailTaken, "email_taken", 409, &[];
        Refusal::AdminExists => Refusal::AdminExists, "admin_exists", 409, &[];
        Refusal::LastAdmin => Refusal::LastAdmin, "last_admin", 409, &[];
        Refusal::OrdersOpen => Refusal::OrdersOpen, "orders_open", 409, &[];
    }

    #[test]
    fn every_refusal_keeps_its_code_and_has_its_status_and_members() {
        for (refusal, code, status, members) in one_of_each() {
            let problem = of_refusal(&refusal, AT);
            let json = document(&problem);
            let wire = match refusal.code() {
                // One code on the wire, whether the edge or the domain found it.
                "invalid_field" => "validation_failed",
                "session_closed" => "token_revoked",
                code => code,
            };
            assert_eq!((wire, problem.status().as_u16()), (code, status));
            assert_eq!((&json["code"], &json["status"]), (&json!(code), &json!(status)));
            let standard = [
                "type",
                "title",
                "status",
                "code",
                "detail",
                "instance",
                "request_id",
                "executed",
                "retryable",
            ];
            let sent: BTreeSet<&str> =
                json.as_object().unwrap().keys().map(String::as_str).collect();
            let wanted: BTreeSet<&str> = standard.iter().chain(members).copied().collect();
            assert_eq!(sent, wanted, "{code}");
        }
    }

    #[test]
    fn every_code_is_a_refusal_of_the_domain_or_listed_here() {
        // What is refused before there is a command, and what fails without an outcome.
        let ours = [
            "malformed_json",
            "unknown_parameter",
            "cursor_invalid",
            "idempotency_key_required",
            "idempotency_key_invalid",
            "token_missing",
            "token_invalid",
            "token_expired",
            "method_not_allowed",
            "request_timeout",
            "cluster_change_rejected",
            "cursor_expired",
            "body_too_large",
            "uri_too_long",
            "unsupported_media_type",
            "precondition_required",
            "rate_limited",
            "internal",
            "overloaded",
            "auth_busy",
            "no_quorum",
            "revision_not_reached",
            "stale_node",
            "node_draining",
            "not_ready",
            "outcome_unknown",
        ];
        let all = one_of_each();
        let codes: Vec<&str> = all.iter().map(|(_, code, ..)| *code).chain(ours).collect();
        let unique: BTreeSet<&str> = codes.iter().copied().collect();
        assert_eq!(unique.len(), codes.len(), "a code is listed twice");
        let table: BTreeSet<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(unique, table);
    }

    #[test]
    fn a_refusal_has_a_ticket_unless_it_was_answered_early() {
        let refusal = Refusal::AlreadyHolding { order: OrderId::new(7), pay_by: Millis::new(0) };
        let stamp = Stamp { revision: Revision::new(12), now: AT };
        let problem = Problem::refused(&refusal, stamp, false);
        let json = document(&problem);
        assert_eq!(json["ticket"], 12);
        assert_eq!(json["executed"], "no");
        assert_eq!(json["order_id"], OrderId::new(7).to_string());
        assert_eq!(problem.revision(), Some(Revision::new(12)));
        let json = document(&Problem::refused(&Refusal::SalePaused, stamp, true));
        assert_eq!(json["early"], true);
        assert_eq!(json["revision"], 12);
        assert!(json.get("ticket").is_none());
    }

    #[test]
    fn a_request_that_may_have_run_is_always_outcome_unknown() {
        for reason in [FailureReason::NoQuorum, FailureReason::OutcomeUnknown] {
            let failure = Failure { reason, executed: Executed::Maybe };
            let problem = Problem::from(failure);
            assert_eq!(problem.code(), Code::OutcomeUnknown);
            assert_eq!(problem.retry_after_seconds(), None);
            assert_eq!(document(&problem)["executed"], "maybe");
        }
        let failure = Failure { reason: FailureReason::NoQuorum, executed: Executed::No };
        let problem = Problem::from(failure);
        assert_eq!(problem.code(), Code::NoQuorum);
        assert_eq!(problem.retry_after_seconds(), Some(1));
    }
}
