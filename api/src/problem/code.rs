//! The table of codes: the word on the wire, its status, whether a retry can help, and its text.
//!
//! The code and its status are the contract; title and detail may change and follow
//! `Accept-Language`.

use std::collections::HashMap;
use std::sync::OnceLock;

use http::StatusCode;

macro_rules! codes {
    ($($name:ident $code:literal $status:literal $retry:ident $title:literal, $detail:literal;)*) => {
        /// A stable word for what went wrong.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Code { $(
            #[doc = $title]
            $name,
        )* }

        /// Every code that this build can respond with, and its status.
        pub const CODES: &[(&str, u16)] = &[$(($code, $status)),*];

        impl Code {
            /// Every code, in the order of the table.
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            const fn row(self) -> Row {
                match self { $(
                    Self::$name => Row {
                        code: $code,
                        status: $status,
                        retryable: codes!(@ $retry),
                        title: $title,
                        detail: $detail,
                    },
                )* }
            }
        }
    };
    (@ retry) => { true };
    (@ final) => { false };
}

/// One line of the table.
struct Row {
    code: &'static str,
    status: u16,
    retryable: bool,
    title: &'static str,
    detail: &'static str,
}

codes! {
    MalformedJson "malformed_json" 400 final "Malformed JSON", "The body is not a single JSON value.";
    UnknownParameter "unknown_parameter" 400 final "Unknown query parameter", "This route does not accept one of the query parameters.";
    CursorInvalid "cursor_invalid" 400 final "Invalid cursor", "The cursor does not belong to this list with these filters. Start again without it.";
    IdempotencyKeyRequired "idempotency_key_required" 400 final "Idempotency-Key required", "Send an Idempotency-Key header, and send the same key when you retry.";
    IdempotencyKeyInvalid "idempotency_key_invalid" 400 final "Invalid Idempotency-Key", "Send one Idempotency-Key of 1 to 255 visible ASCII characters.";
    EmailCodeInvalid "code_invalid" 400 final "Invalid code", "The code is wrong, used up or expired. Ask for a new one.";
    TokenMissing "token_missing" 401 final "Missing token", "Send an access token: Authorization: Bearer TOKEN.";
    TokenInvalid "token_invalid" 401 final "Invalid token", "This is not a valid access token of this cluster. Get a new one.";
    TokenExpired "token_expired" 401 final "Expired token", "The access token has expired. Get a new one.";
    TokenRevoked "token_revoked" 401 final "Session over", "The session of this token is over. Log in again.";
    LoginRefused "login_refused" 401 final "Login refused", "There is no such account, or the password is wrong.";
    SessionReuse "session_reuse" 401 final "Refresh token used twice", "This refresh token was used before, so it may be in other hands. The session has ended: log in again.";
    PermissionDenied "permission_denied" 403 final "Permission denied", "The role of this token does not allow this.";
    EmailUnverified "email_unverified" 403 final "E-mail address not verified", "Verify the e-mail address first. A verification lasts 30 minutes and is used once.";
    UserBlocked "user_blocked" 403 final "User blocked", "Staff have blocked this user. Contact the shop.";
    NotFound "not_found" 404 final "Not found", "It does not exist, or it is not yours.";
    MethodNotAllowed "method_not_allowed" 405 final "Method not allowed", "The Allow header lists the methods that this path supports.";
    RequestTimeout "request_timeout" 408 retry "Request timeout", "The request body did not arrive within 10 seconds.";
    SoldOut "sold_out" 409 final "Sold out", "Not enough units are left.";
    SaleNotOpen "sale_not_open" 409 final "Sale not open yet", "The sale opens at opens_at, in log time.";
    SaleClosed "sale_closed" 409 final "Sale closed", "The sale has ended.";
    SalePaused "sale_paused" 409 final "Sale paused", "Staff have paused the sale.";
    SaleOpen "sale_open" 409 final "Sale already open", "This field cannot be changed once the sale is open.";
    ProductDiscontinued "product_discontinued" 409 final "Product discontinued", "The product no longer accepts orders.";
    AlreadyHolding "already_holding" 409 final "Already holding units", "You have an unpaid order for this sale: order_id. Pay or cancel it first.";
    LimitReached "limit_reached" 409 final "Purchase limit reached", "The order exceeds the number of units one customer may have: see limit and used.";
    TooManyPendingOrders "too_many_pending_orders" 409 final "Too many unpaid orders", "Pay or cancel an existing order first.";
    PriceChanged "price_changed" 409 final "Price changed", "The total differs from expected_total. Check total and order again.";
    CurrencyMixed "currency_mixed" 409 final "Mixed currencies", "All lines of an order must have the same currency.";
    CurrencyFixed "currency_fixed" 409 final "Currency cannot change", "A product keeps the currency it was created with.";
    AmountOverflow "amount_overflow" 409 final "Amount too large", "The total of the order is too large.";
    NotCancelable "not_cancelable" 409 final "Not cancelable", "Only unpaid and paid orders can be canceled.";
    NotReturnable "not_returnable" 409 final "Not returnable", "Only a delivered order within its return window can be returned.";
    WrongStatus "wrong_status" 409 final "Wrong status", "This step is not allowed in the current status of the order.";
    OrderNotPayable "order_not_payable" 409 final "Order not payable", "The order is not awaiting payment.";
    WishlistFull "wishlist_full" 409 final "Wishlist full", "A wishlist holds at most 100 items. Remove one first.";
    WishlistEmpty "wishlist_empty" 409 final "Wishlist empty", "There is nothing on the wishlist to order.";
    AddressLimit "address_limit" 409 final "Too many addresses", "A customer has at most 20 saved addresses. Remove one first.";
    EmailTaken "email_taken" 409 final "E-mail address taken", "There is already an account with this e-mail address. Log in, or reset the password.";
    AdminExists "admin_exists" 409 final "Admin exists", "There is already an admin, who can give others the role.";
    LastAdmin "last_admin" 409 final "Last admin", "After this, nobody could log in as an admin. Make someone else an admin first.";
    OrdersOpen "orders_open" 409 final "Orders not finished", "The customer has orders that are not finished yet. Wait for them, or cancel them.";
    NotEnoughUnits "not_enough_units" 409 final "Not enough units", "Fewer units are available than the change would remove.";
    KeyVersionMissing "key_version_missing" 409 final "Key version missing", "Not every node has this version of the master key: see node_ids.";
    KeyVersionInUse "key_version_in_use" 409 final "Key version in use", "This version of the master key is still needed.";
    KeyVersionRetired "key_version_retired" 409 final "Key version retired", "A retired version of the master key is not used again. Add a new one.";
    IdInUse "id_in_use" 409 retry "ID in use", "Two requests drew the same ID. Retry with a new key.";
    FeatureUnavailable "feature_unavailable" 409 retry "Feature unavailable", "The cluster must be upgraded before it can do this.";
    ClusterChangeRejected "cluster_change_rejected" 409 final "Cluster change rejected", "The cluster cannot make this change now.";
    CursorExpired "cursor_expired" 410 final "Cursor expired", "Events this old have been removed. Read the current state, then follow the newest events.";
    VersionMismatch "version_mismatch" 412 final "Version mismatch", "The object has changed since you read it. Read it again.";
    BodyTooLarge "body_too_large" 413 final "Body too large", "A body may have at most 64 KiB.";
    UriTooLong "uri_too_long" 414 final "URI too long", "A URI, with its query, may have at most 8 KiB.";
    UnsupportedMediaType "unsupported_media_type" 415 final "Unsupported media type", "Send Content-Type: application/json.";
    ValidationFailed "validation_failed" 422 final "Validation failed", "See errors for each invalid field.";
    IdempotencyKeyReused "idempotency_key_reused" 422 final "Idempotency-Key reused", "This key was used for a different request. Use a new key for a new request.";
    PreconditionRequired "precondition_required" 428 final "If-Match required", "Send If-Match with the ETag of the object you read.";
    RateLimited "rate_limited" 429 retry "Too many requests", "You sent too many requests of this kind. Retry after the time in Retry-After.";
    LoginThrottled "login_throttled" 429 retry "Too many wrong passwords", "Too many wrong passwords were tried. Retry after the time in Retry-After.";
    EmailCodeTooSoon "code_too_soon" 429 retry "Code sent just now", "A code was sent to this address less than a minute ago. Retry after the time in Retry-After.";
    EmailCodeTooMany "code_too_many" 429 retry "Too many codes", "Too many codes were sent to this address. Retry after the time in Retry-After.";
    Internal "internal" 500 final "Internal error", "This node failed unexpectedly. Report the request_id to its operators.";
    Overloaded "overloaded" 503 retry "Overloaded", "The node is handling too many requests. Retry after the time in Retry-After.";
    AuthBusy "auth_busy" 503 retry "Too many logins", "The node is checking as many passwords as it can. Retry after the time in Retry-After.";
    NoQuorum "no_quorum" 503 retry "No quorum", "A majority of nodes cannot be reached. Retry after the time in Retry-After.";
    RevisionNotReached "revision_not_reached" 503 retry "Revision not reached", "This node has not applied the requested revision yet.";
    StaleNode "stale_node" 503 retry "Node cut off", "This node has not heard from a leader for 10 seconds, so it cannot tell whether a session is still open. Use another node.";
    NodeDraining "node_draining" 503 retry "Node draining", "This node is shutting down. Use another node.";
    NotReady "not_ready" 503 retry "Not ready", "See failing for what this node is waiting for.";
    OutcomeUnknown "outcome_unknown" 504 retry "Outcome unknown", "The request may have taken effect. Retry with the same Idempotency-Key to find out.";
}

impl Code {
    /// The word on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        self.row().code
    }

    /// The HTTP status.
    pub(crate) fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Whether repeating the request can help.
    pub(crate) const fn is_retryable(self) -> bool {
        self.row().retryable
    }

    /// Title and detail in English.
    pub(crate) const fn english(self) -> (&'static str, &'static str) {
        (self.row().title, self.row().detail)
    }

    /// Title and detail in Korean.
    pub(crate) fn korean(self) -> (&'static str, &'static str) {
        static TEXTS: OnceLock<HashMap<&str, (&str, &str)>> = OnceLock::new();
        let texts = TEXTS.get_or_init(|| {
            let rows = KOREAN.lines().filter_map(|line| {
                let (code, texts) = line.split_once(" = ")?;
                Some((code, texts.split_once(" | ")?))
            });
            rows.collect()
        });
        texts.get(self.as_str()).copied().unwrap_or(self.english())
    }

    /// Its place in the table.
    pub(crate) const fn slot(self) -> usize {
        self as usize
    }
}

/// `code = title | detail` of each code in Korean; the source stays ASCII.
const KOREAN: &str = include_str!("../../text/ko.txt");

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The headings of `docs/errors.md`: `## STATUS`, and below it a `` ### `code` `` for each.
    fn documented() -> BTreeMap<&'static str, u16> {
        let mut status = 0;
        let mut codes = BTreeMap::new();
        for line in include_str!("../../../docs/errors.md").lines() {
            if let Some(code) = line.strip_prefix("### ") {
                let code = code.trim().trim_matches('`');
                assert_eq!(codes.insert(code, status), None, "{code} has two paragraphs");
            } else if let Some(heading) = line.strip_prefix("## ") {
                status = heading.trim().parse().expect("a status");
            }
        }
        codes
    }

    #[test]
    fn errors_md_has_every_code_under_its_status_and_no_other() {
        let table: BTreeMap<&str, u16> = CODES.iter().copied().collect();
        assert_eq!(table.len(), CODES.len(), "a code is listed twice");
        assert_eq!(documented(), table);
    }

    #[test]
    fn ko_txt_has_every_code_and_no_other() {
        let mut translated: Vec<_> =
            KOREAN.lines().map(|line| line.split_once(" = ").expect("code = text").0).collect();
        let mut codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        translated.sort_unstable();
        codes.sort_unstable();
        assert_eq!(translated, codes);
        for code in Code::ALL {
            let (title, detail) = code.korean();
            assert!(!title.is_ascii() && !detail.is_ascii(), "{}", code.as_str());
        }
    }
}
