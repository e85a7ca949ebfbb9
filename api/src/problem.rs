//! What went wrong, as RFC 9457 documents: one place for every code this build can answer.
//!
//! Refusals (a rule said no) and failures (the world broke) come from the node, the rest is
//! refused at the edge before any command exists. `code` is the contract; `executed` says
//! whether the request may have taken effect. `docs/errors.md` has a paragraph for each code, and
//! a test keeps the two lists equal.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::OnceLock;

use firstcome_domain::order::Status;
use firstcome_domain::outcome::Kind;
use firstcome_domain::stock::PoolId;
use firstcome_domain::{Refusal, Revision, Stamp};
use firstcome_raft::{Executed, Failure, FailureReason};
use http::StatusCode;
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use serde_json::{Value, json};

use crate::rfc3339;

macro_rules! codes {
    ($($name:ident $code:literal $status:literal $retry:ident $title:literal, $detail:literal;)*) => {
        /// A stable word for what went wrong.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub(crate) enum Code { $(
            #[doc = $title]
            $name,
        )* }

        /// Every code this build can answer, with its status.
        pub const CODES: &[(&str, u16)] = &[$(($code, $status)),*];

        impl Code {
            /// Every code, in the order of the table.
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            const fn row(self) -> (&'static str, u16, bool, &'static str, &'static str) {
                match self { $(
                    Self::$name => ($code, $status, codes!(@ $retry), $title, $detail),
                )* }
            }
        }
    };
    (@ retry) => { true };
    (@ final) => { false };
}

codes! {
    MalformedJson "malformed_json" 400 final "Malformed JSON", "The body is not one JSON value.";
    UnknownParameter "unknown_parameter" 400 final "Unknown query parameter", "The address has a query parameter that this route does not know.";
    CursorInvalid "cursor_invalid" 400 final "Invalid cursor", "The cursor is not one of this list and these filters. Start again without it.";
    IdempotencyKeyRequired "idempotency_key_required" 400 final "Idempotency-Key required", "Send an Idempotency-Key header, and the same key when you repeat the request.";
    IdempotencyKeyInvalid "idempotency_key_invalid" 400 final "Invalid Idempotency-Key", "An Idempotency-Key is sent once and has 1 to 255 visible ASCII characters.";
    TokenMissing "token_missing" 401 final "Token missing", "Send an access token: Authorization: Bearer TOKEN.";
    TokenInvalid "token_invalid" 401 final "Token invalid", "The access token is not one of this cluster. Get a new one.";
    TokenExpired "token_expired" 401 final "Token expired", "The access token has expired. Get a new one.";
    PermissionDenied "permission_denied" 403 final "Permission denied", "The role of this token does not reach.";
    NotFound "not_found" 404 final "Not found", "There is nothing here, or it is not yours.";
    MethodNotAllowed "method_not_allowed" 405 final "Method not allowed", "The Allow header lists the methods of this address.";
    RequestTimeout "request_timeout" 408 retry "Body too slow", "The body did not arrive within 10 seconds.";
    SoldOut "sold_out" 409 final "Sold out", "Not enough units are left.";
    SaleNotOpen "sale_not_open" 409 final "Sale not open yet", "The sale opens at opens_at, in log time.";
    SaleClosed "sale_closed" 409 final "Sale closed", "The sale is over.";
    SalePaused "sale_paused" 409 final "Sale paused", "Staff stopped the sale for now.";
    SaleOpen "sale_open" 409 final "Sale already open", "This field cannot change once the sale is open.";
    ProductDiscontinued "product_discontinued" 409 final "Product discontinued", "The product takes no new orders.";
    AlreadyHolding "already_holding" 409 final "Already holding units", "You have an unpaid order on this sale: order_id. Pay or cancel it first.";
    LimitReached "limit_reached" 409 final "Limit reached", "Each customer may have limit units of this sale; you have used.";
    TooManyPendingOrders "too_many_pending_orders" 409 final "Too many unpaid orders", "Pay or cancel an order first.";
    PriceChanged "price_changed" 409 final "Price changed", "The total is no longer the expected one; look at total and order again.";
    CurrencyMixed "currency_mixed" 409 final "Currencies mixed", "All lines of an order have one currency.";
    CurrencyFixed "currency_fixed" 409 final "Currency fixed", "A product keeps the currency it was created with.";
    AmountOverflow "amount_overflow" 409 final "Amount too large", "The total of the order does not fit.";
    NotCancelable "not_cancelable" 409 final "Not cancelable", "Only unpaid and paid orders can be canceled.";
    NotReturnable "not_returnable" 409 final "Not returnable", "Only a delivered order within its return window can be returned.";
    WrongStatus "wrong_status" 409 final "Wrong status", "This is not the step that comes next for the order.";
    OrderNotPayable "order_not_payable" 409 final "Order not payable", "The order does not wait for money.";
    PaymentInProgress "payment_in_progress" 409 retry "Payment in progress", "A payment is being confirmed; wait for its outcome.";
    NotEnoughUnits "not_enough_units" 409 final "Not enough units", "Fewer units are available than the change takes away.";
    IdInUse "id_in_use" 409 retry "Id in use", "Two requests drew the same id; send it again with a new key.";
    ClusterChangeRejected "cluster_change_rejected" 409 final "Cluster change rejected", "The members or the leader cannot be changed this way now.";
    CursorExpired "cursor_expired" 410 final "Cursor expired", "Events this old are no longer kept. Read the current state, then follow again.";
    VersionMismatch "version_mismatch" 412 final "Changed meanwhile", "The object was changed since you read it. Read it again.";
    BodyTooLarge "body_too_large" 413 final "Body too large", "A body has 64 KiB at most.";
    UriTooLong "uri_too_long" 414 final "Address too long", "An address has 8 KiB at most.";
    UnsupportedMediaType "unsupported_media_type" 415 final "Unsupported media type", "Send Content-Type: application/json.";
    ValidationFailed "validation_failed" 422 final "Validation failed", "errors names each field that is wrong.";
    IdempotencyKeyReused "idempotency_key_reused" 422 final "Idempotency-Key reused", "This key was sent with another request. Use a new key for a new request.";
    PreconditionRequired "precondition_required" 428 final "If-Match required", "Send If-Match with the ETag of the object you read.";
    Internal "internal" 500 final "Internal error", "The node has a defect. Tell its operators the request_id.";
    Overloaded "overloaded" 503 retry "Overloaded", "Too much is in work. Wait as Retry-After says.";
    NoQuorum "no_quorum" 503 retry "No majority", "No majority of nodes can be reached. Wait as Retry-After says.";
    RevisionNotReached "revision_not_reached" 503 retry "Revision not reached", "This node has not applied the wanted revision yet.";
    NodeDraining "node_draining" 503 retry "Node draining", "This node is shutting down. Use another one.";
    NotReady "not_ready" 503 retry "Not ready", "failing lists what this node waits for.";
    OutcomeUnknown "outcome_unknown" 504 retry "Outcome unknown", "The request may have taken effect. Repeat it with the same Idempotency-Key to learn.";
}

impl Code {
    /// The word on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The HTTP status.
    pub(crate) fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().1).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Its place in the table.
    pub(crate) const fn slot(self) -> usize {
        self as usize
    }
}

/// `title | detail` of each code in Korean; the source stays ASCII.
const KOREAN: &str = include_str!("../text/ko.txt");

fn korean(code: Code) -> (&'static str, &'static str) {
    static TEXTS: OnceLock<HashMap<&str, (&str, &str)>> = OnceLock::new();
    let texts = TEXTS.get_or_init(|| {
        let rows = KOREAN.lines().filter_map(|line| {
            let (code, texts) = line.split_once(" = ")?;
            Some((code, texts.split_once(" | ")?))
        });
        rows.collect()
    });
    texts.get(code.as_str()).copied().unwrap_or((code.row().3, code.row().4))
}

/// One wrong field.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct FieldError {
    /// JSON pointer into the body; `/query/NAME` or `/header/NAME` for the rest of a request.
    pub(crate) pointer: String,
    /// A stable word: `required`, `out_of_range`, `too_long`, ...
    pub(crate) code: Cow<'static, str>,
    /// A sentence for people.
    pub(crate) detail: String,
}

/// Anything that is not a success. Boxed: it is rare and large.
#[derive(Debug)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    detail: Option<String>,
    executed: Executed,
    errors: Vec<FieldError>,
    facts: Vec<(&'static str, Value)>,
    revision: Option<Revision>,
    retry_after_seconds: Option<u32>,
    replayed: bool,
    request_seed: Option<u128>,
}

impl Problem {
    /// A problem that is refused before anything ran.
    pub(crate) fn new(code: Code) -> Self {
        Self(Box::new(Inner {
            code,
            detail: None,
            executed: Executed::No,
            errors: Vec::new(),
            facts: Vec::new(),
            revision: None,
            retry_after_seconds: (code.row().1 == 503).then_some(1),
            replayed: false,
            request_seed: None,
        }))
    }

    /// A write that did not answer in time.
    pub(crate) fn outcome_unknown() -> Self {
        let failure = Failure { reason: FailureReason::OutcomeUnknown, executed: Executed::Maybe };
        Self::from(failure)
    }

    /// Says more than the table does.
    #[must_use]
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds a member to the document.
    #[must_use]
    pub(crate) fn fact(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.facts.push((name, value.into()));
        self
    }

    /// The revision that was read or written.
    #[must_use]
    pub(crate) fn at(mut self, revision: Revision) -> Self {
        self.0.revision = Some(revision);
        self
    }

    /// Fields that are wrong.
    pub(crate) fn validation(errors: Vec<FieldError>) -> Self {
        let mut problem = Self::new(Code::ValidationFailed);
        problem.0.errors = errors;
        problem
    }

    /// One field that is wrong.
    pub(crate) fn field(
        pointer: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        let error =
            FieldError { pointer: pointer.into(), code: code.into(), detail: detail.into() };
        Self::validation(vec![error])
    }

    /// A refusal, as it was decided. `request_seed` gives repeats of a keyed request the same
    /// request id, so that their documents are equal byte for byte.
    pub(crate) fn refused(
        refusal: &Refusal,
        decided: Stamp,
        early: bool,
        replayed: bool,
        request_seed: Option<u128>,
    ) -> Self {
        let mut problem = refusal_document(refusal).at(decided.revision);
        problem.0.replayed = replayed;
        problem.0.request_seed = request_seed;
        if early {
            problem.fact("early", true).fact("revision", decided.revision.get())
        } else {
            problem.fact("ticket", decided.revision.get())
        }
    }

    pub(crate) fn code(&self) -> Code {
        self.0.code
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.0.code.status()
    }

    pub(crate) fn revision(&self) -> Option<Revision> {
        self.0.revision
    }

    pub(crate) fn retry_after_seconds(&self) -> Option<u32> {
        self.0.retry_after_seconds
    }

    pub(crate) fn replayed(&self) -> bool {
        self.0.replayed
    }

    pub(crate) fn request_seed(&self) -> Option<u128> {
        self.0.request_seed
    }

    /// The document.
    pub(crate) fn to_json(&self, instance: &str, request_id: &str, in_korean: bool) -> Vec<u8> {
        let document = Document { inner: &self.0, instance, request_id, in_korean };
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

struct Document<'a> {
    inner: &'a Inner,
    instance: &'a str,
    request_id: &'a str,
    in_korean: bool,
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let inner = self.inner;
        let (code, status, retryable, title, detail) = inner.code.row();
        let (title, detail) = if self.in_korean {
            korean(inner.code)
        } else {
            (title, inner.detail.as_deref().unwrap_or(detail))
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", &format_args!("/docs/errors#{code}"))?;
        map.serialize_entry("title", title)?;
        map.serialize_entry("status", &status)?;
        map.serialize_entry("code", code)?;
        map.serialize_entry("detail", detail)?;
        map.serialize_entry("instance", self.instance)?;
        map.serialize_entry("request_id", self.request_id)?;
        let executed = match inner.executed {
            Executed::No => "no",
            Executed::Maybe => "maybe",
        };
        map.serialize_entry("executed", executed)?;
        map.serialize_entry("retryable", &retryable)?;
        if !inner.errors.is_empty() {
            map.serialize_entry("errors", &inner.errors)?;
        }
        for (name, value) in &inner.facts {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

fn refusal_document(refusal: &Refusal) -> Problem {
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
        }),
        Refusal::VersionMismatch { current } => {
            new(C::VersionMismatch).fact("current_version", *current)
        }
        Refusal::IdInUse => new(C::IdInUse),
        Refusal::CurrencyFixed => new(C::CurrencyFixed),
        Refusal::NotEnoughUnits { available } => {
            new(C::NotEnoughUnits).fact("available", *available)
        }
        Refusal::SaleOpen => new(C::SaleOpen),
        Refusal::ProductDiscontinued { product } => {
            new(C::ProductDiscontinued).fact("product_id", product.to_string())
        }
        Refusal::SalePaused => new(C::SalePaused),
        Refusal::SaleNotOpen { opens_at } => {
            new(C::SaleNotOpen).fact("opens_at", rfc3339::format(*opens_at))
        }
        Refusal::SaleClosed { closes_at } => match closes_at {
            Some(at) => new(C::SaleClosed).fact("closes_at", rfc3339::format(*at)),
            None => new(C::SaleClosed),
        },
        Refusal::CurrencyMixed => new(C::CurrencyMixed),
        Refusal::AmountOverflow => new(C::AmountOverflow),
        Refusal::PriceChanged { total } => {
            let total = json!({ "amount": total.amount, "currency": total.currency.as_str() });
            new(C::PriceChanged).fact("total", total)
        }
        Refusal::AlreadyHolding { order, pay_by } => new(C::AlreadyHolding)
            .fact("order_id", order.to_string())
            .fact("pay_by", rfc3339::format(*pay_by)),
        Refusal::TooManyPendingOrders { limit } => {
            new(C::TooManyPendingOrders).fact("limit", *limit)
        }
        Refusal::LimitReached { limit, used } => {
            new(C::LimitReached).fact("limit", *limit).fact("used", *used)
        }
        Refusal::SoldOut { pool, waitlist, available } => sold_out(*pool, *waitlist, *available),
        Refusal::NotCancelable { status } => of_status(C::NotCancelable, *status),
        Refusal::PaymentInProgress => new(C::PaymentInProgress),
        Refusal::WrongStatus { status } => of_status(C::WrongStatus, *status),
        Refusal::NotReturnable { status } => of_status(C::NotReturnable, *status),
        Refusal::OrderNotPayable { status } => of_status(C::OrderNotPayable, *status),
    }
}

/// Says where the order is: in words, and as a fact for programs.
fn of_status(code: Code, status: Status) -> Problem {
    let (status, (.., detail)) = (status.as_str(), code.row());
    Problem::new(code)
        .detail(format!("The order is {status}. {detail}"))
        .fact("order_status", status)
}

/// Where the line behind the pool is joined; `null` while its waitlist is off.
fn sold_out(pool: PoolId, waitlist: bool, available: Option<u64>) -> Problem {
    let problem = Problem::new(Code::SoldOut);
    let (name, id, list) = match pool {
        PoolId::Product(id) => ("product_id", id.to_string(), "products"),
        PoolId::Sale(id) => ("sale_id", id.to_string(), "sales"),
    };
    let url = waitlist.then(|| format!("/v1/{list}/{id}/waitlist-entries"));
    let problem = problem.fact(name, id).fact("waitlist_url", json!(url));
    match available {
        Some(available) => problem.fact("available", json!(available)),
        None => problem,
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let mut problem = match failure.reason {
            FailureReason::NoQuorum => Self::new(Code::NoQuorum),
            FailureReason::Overloaded => Self::new(Code::Overloaded),
            FailureReason::Draining => Self::new(Code::NodeDraining),
            FailureReason::RevisionNotReached => Self::new(Code::RevisionNotReached),
            FailureReason::OutcomeUnknown => Self::new(Code::OutcomeUnknown),
            FailureReason::Rejected(why) => Self::new(Code::ClusterChangeRejected).detail(why),
        };
        problem.0.executed = failure.executed;
        // Whatever the reason: a client in doubt must be told to ask again with the same key.
        if failure.executed == Executed::Maybe {
            problem.0.code = Code::OutcomeUnknown;
            problem.0.retry_after_seconds = None;
        }
        problem
    }
}

#[cfg(test)]
mod tests {
    use firstcome_domain::{Millis, OrderId};

    use super::*;

    fn document(problem: &Problem) -> Value {
        serde_json::from_slice(&problem.to_json("/v1/orders", "r-1", false)).unwrap()
    }

    #[test]
    fn every_code_has_its_paragraph_in_errors_md() {
        let documented: Vec<&str> = include_str!("../../docs/errors.md")
            .lines()
            .filter_map(|line| line.strip_prefix("### "))
            .map(|heading| heading.trim().trim_matches('`'))
            .collect();
        let mut answered: Vec<&str> = CODES.iter().map(|(code, _)| *code).collect();
        let mut sorted = documented.clone();
        answered.sort_unstable();
        sorted.sort_unstable();
        assert_eq!(sorted, answered);
    }

    #[test]
    fn every_code_speaks_korean() {
        for code in Code::ALL {
            assert_ne!(korean(*code).0, code.row().3, "{}", code.as_str());
            assert!(!korean(*code).0.is_ascii(), "{}", code.as_str());
        }
        let problem = Problem::new(Code::SoldOut);
        let korean = problem.to_json("/", "r", true);
        let korean: Value = serde_json::from_slice(&korean).unwrap();
        assert_eq!(korean["code"], "sold_out");
        assert_ne!(korean["title"], document(&problem)["title"]);
    }

    #[test]
    fn d04_every_refusal_has_code_and_ticket() {
        let refusal = Refusal::AlreadyHolding { order: OrderId::new(7), pay_by: Millis::new(0) };
        let stamp = Stamp { revision: Revision::new(12), now: Millis::new(5) };
        let problem = Problem::refused(&refusal, stamp, false, false, None);
        let json = document(&problem);
        assert_eq!(json["code"], "already_holding");
        assert_eq!(json["ticket"], 12);
        assert_eq!(json["executed"], "no");
        assert_eq!(json["order_id"], OrderId::new(7).to_string());
        assert_eq!(problem.revision(), Some(Revision::new(12)));
        let early = Problem::refused(&Refusal::SalePaused, stamp, true, false, None);
        let json = document(&early);
        assert_eq!(json["early"], true);
        assert_eq!(json["revision"], 12);
        assert!(json.get("ticket").is_none());
    }

    #[test]
    fn refusals_keep_the_codes_of_the_rules() {
        for refusal in [
            Refusal::CurrencyFixed,
            Refusal::SaleOpen,
            Refusal::PermissionDenied,
            Refusal::IdempotencyKeyReused,
            Refusal::AmountOverflow,
            Refusal::VersionMismatch { current: 3 },
            Refusal::LimitReached { limit: 1, used: 1 },
        ] {
            assert_eq!(refusal_document(&refusal).code().as_str(), refusal.code());
        }
    }

    #[test]
    fn a_request_that_may_have_run_is_never_called_safe_to_forget() {
        for reason in [FailureReason::NoQuorum, FailureReason::OutcomeUnknown] {
            let failure = Failure { reason, executed: Executed::Maybe };
            let problem = Problem::from(failure);
            assert_eq!(problem.code(), Code::OutcomeUnknown);
            assert_eq!(document(&problem)["executed"], "maybe");
        }
        let failure = Failure { reason: FailureReason::NoQuorum, executed: Executed::No };
        let problem = Problem::from(failure);
        assert_eq!(problem.code(), Code::NoQuorum);
        assert_eq!(problem.retry_after_seconds(), Some(1));
    }
}
