//! The error codes of the REST contract, by status. A response with any other code breaks it.

/// The codes of `docs/errors.md`, and those of features to come.
const CODES: &[(u16, &[&str])] = &[
    (
        400,
        &[
            "code_invalid",
            "cursor_invalid",
            "idempotency_key_invalid",
            "idempotency_key_required",
            "malformed_json",
            "unknown_parameter",
        ],
    ),
    (
        401,
        &[
            "login_refused",
            "session_reuse",
            "token_expired",
            "token_invalid",
            "token_missing",
            "token_revoked",
        ],
    ),
    (402, &["payment_declined"]),
    (403, &["email_unverified", "permission_denied", "user_blocked"]),
    (404, &["not_found"]),
    (
        409,
        &[
            "address_limit",
            "admin_exists",
            "already_holding",
            "amount_overflow",
            "cluster_change_rejected",
            "currency_fixed",
            "currency_mixed",
            "email_taken",
            "feature_unavailable",
            "id_in_use",
            "key_version_in_use",
            "key_version_missing",
            "key_version_retired",
            "last_admin",
            "limit_reached",
            "not_cancelable",
            "not_enough_units",
            "not_returnable",
            "order_not_payable",
            "orders_open",
            "price_changed",
            "product_discontinued",
            "sale_closed",
            "sale_not_open",
            "sale_open",
            "sale_paused",
            "sold_out",
            "too_many_pending_orders",
            "wishlist_empty",
            "wishlist_full",
            "wrong_status",
        ],
    ),
    (412, &["version_mismatch"]),
    (422, &["idempotency_key_reused", "validation_failed"]),
    (429, &["code_too_many", "code_too_soon", "login_throttled", "rate_limited"]),
    (500, &["internal"]),
    (
        503,
        &[
            "auth_busy",
            "node_draining",
            "no_quorum",
            "not_ready",
            "overloaded",
            "revision_not_reached",
            "stale_node",
        ],
    ),
    (504, &["outcome_unknown"]),
];

/// Whether this code belongs to this status.
pub(crate) fn belongs(status: u16, code: &str) -> bool {
    CODES.iter().any(|(of, codes)| *of == status && codes.contains(&code))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Codes of the contract that are not documented yet, because their features do not exist.
    const UNDOCUMENTED: &[(u16, &str)] = &[(402, "payment_declined"), (429, "rate_limited")];

    #[test]
    fn the_codes_are_the_documented_ones_of_these_statuses() {
        let page = include_str!("../../../docs/errors.md");
        let mut status = 0;
        let mut documented = BTreeSet::new();
        for line in page.lines() {
            if let Some(text) = line.strip_prefix("## ") {
                status = text.parse().unwrap_or(0);
            } else if let Some(code) = line.strip_prefix("### ")
                && CODES.iter().any(|(of, _)| *of == status)
            {
                documented.insert((status, code.trim_matches('`')));
            }
        }
        documented.extend(UNDOCUMENTED);
        let known: BTreeSet<(u16, &str)> = CODES
            .iter()
            .flat_map(|(status, codes)| codes.iter().map(move |code| (*status, *code)))
            .collect();
        assert_eq!(known, documented);
    }
}
