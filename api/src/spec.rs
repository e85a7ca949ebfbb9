//! What a route promises: one constant per route, which serves it and documents it.
//!
//! A route can be registered only with its [`Spec`], so every route declares its permission and
//! appears in the OpenAPI document.

use std::borrow::Cow;
use std::time::Duration;

use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;

use crate::access::Permission;
use crate::budget::Budget;
use crate::problem::Code;

/// An HTTP method.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verb {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Verb {
    /// The method on the wire.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// What a route does with an `Idempotency-Key`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeyRule {
    /// Not a POST that changes rows.
    Unused,
    /// Optional. A retry with the same key gets the same response.
    Accepted,
    /// Required, because the route moves stock or money.
    Required,
}

/// What a route does with `If-Match`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum IfMatch {
    /// Nothing.
    Unused,
    /// Optional: the change is refused if the object has another version.
    Accepted,
    /// Required, because people edit what others edit too.
    Required,
}

/// The default consistency of a route.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reads {
    /// It writes, or reads no rows.
    None,
    /// What this node has applied.
    Local,
    /// As `ApiOptions::default_consistency` says.
    Default,
}

/// One query parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
}

/// Makes a parameter.
pub(crate) const fn parameter(name: &'static str, text: &'static str) -> Parameter {
    Parameter { name, text }
}

const PAGING: [Parameter; 2] = [
    parameter("limit", "Maximum number of rows, 1 to 100; default 20."),
    parameter("cursor", "`next_cursor` of the previous page, with the same filters."),
];
const ORDER: Parameter = parameter("order", "`desc` (newest first, the default) or `asc`.");
const CONSISTENCY: Parameter = parameter(
    "consistency",
    "`linearizable` sees every acknowledged write; `local` may be behind.",
);

/// The schema of a type, and its name.
#[derive(Clone, Copy)]
pub(crate) struct SchemaOf {
    pub(crate) name: fn() -> Cow<'static, str>,
    pub(crate) schema: fn() -> RefOr<Schema>,
    pub(crate) nested: fn(&mut Vec<(String, RefOr<Schema>)>),
}

/// The schema of a type.
pub(crate) const fn schema_of<T: ToSchema>() -> SchemaOf {
    SchemaOf { name: T::name, schema: <T as utoipa::PartialSchema>::schema, nested: T::schemas }
}

/// What a success carries.
#[derive(Clone, Copy)]
pub(crate) enum Success {
    /// Nothing.
    Empty,
    /// One object.
    One(SchemaOf),
    /// A page of objects.
    List(SchemaOf),
    /// A document of another media type.
    Media(&'static str),
}

/// One route.
#[derive(Clone, Copy)]
pub(crate) struct Spec {
    pub(crate) verb: Verb,
    pub(crate) path: &'static str,
    /// Unique name; also the scope of idempotency keys.
    pub(crate) operation: &'static str,
    /// Section of the OpenAPI document.
    pub(crate) tag: &'static str,
    pub(crate) summary: &'static str,
    pub(crate) permission: Permission,
    pub(crate) budget: Budget,
    pub(crate) key: KeyRule,
    pub(crate) if_match: IfMatch,
    pub(crate) reads: Reads,
    pub(crate) query: &'static [Parameter],
    /// Whether the list takes `order=asc|desc`.
    pub(crate) sortable: bool,
    pub(crate) body: Option<SchemaOf>,
    /// Whether an empty body counts as `{}`.
    pub(crate) body_optional: bool,
    pub(crate) status: u16,
    pub(crate) success: Success,
    /// Codes beyond those that the other fields imply.
    pub(crate) codes: &'static [Code],
    /// Left out of the OpenAPI document.
    pub(crate) hidden: bool,
    /// Each wait inside a handler has its own, shorter limit. This one bounds their sum.
    pub(crate) time_max: Duration,
}

impl Spec {
    /// A linearizable read of one object.
    pub(crate) const GET: Self = Self {
        verb: Verb::Get,
        path: "",
        operation: "",
        tag: "",
        summary: "",
        permission: Permission::Own,
        budget: Budget::Customer,
        key: KeyRule::Unused,
        if_match: IfMatch::Unused,
        reads: Reads::Default,
        query: &[],
        sortable: false,
        body: None,
        body_optional: false,
        status: 200,
        success: Success::Empty,
        codes: &[],
        hidden: false,
        time_max: Duration::from_secs(15),
    };
    /// A write that responds with 201.
    pub(crate) const POST: Self = Self {
        verb: Verb::Post,
        key: KeyRule::Accepted,
        reads: Reads::None,
        status: 201,
        ..Self::GET
    };
    /// A replacement that responds with 200.
    pub(crate) const PUT: Self = Self { verb: Verb::Put, reads: Reads::None, ..Self::GET };
    /// A conditional change that responds with 200.
    pub(crate) const PATCH: Self =
        Self { verb: Verb::Patch, if_match: IfMatch::Required, reads: Reads::None, ..Self::GET };
    /// A conditional removal that responds with 204.
    pub(crate) const DELETE: Self = Self { verb: Verb::Delete, status: 204, ..Self::PATCH };

    /// The name of the id in the path.
    pub(crate) fn path_parameter(&self) -> Option<&'static str> {
        let (_, rest) = self.path.split_once('{')?;
        rest.split_once('}').map(|(name, _)| name)
    }

    /// Every query parameter of the route.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = Parameter> {
        let paging = match self.success {
            Success::List(_) => PAGING.as_slice(),
            _ => &[],
        };
        let consistency = (self.reads != Reads::None).then_some(CONSISTENCY);
        let order = self.sortable.then_some(ORDER);
        self.query.iter().chain(paging).copied().chain(order).chain(consistency)
    }

    /// Every code that the route can respond with.
    pub(crate) fn all_codes(&self) -> Vec<Code> {
        let mut codes = vec![Code::UnknownParameter, Code::ValidationFailed, Code::UriTooLong];
        codes.push(Code::Internal);
        if self.permission != Permission::Open {
            codes.extend([Code::TokenInvalid, Code::TokenExpired, Code::RevisionNotReached]);
        }
        if !self.permission.is_public() {
            codes.extend([Code::TokenMissing, Code::PermissionDenied]);
        }
        if self.path_parameter().is_some() {
            codes.push(Code::NotFound);
        }
        if matches!(self.success, Success::List(_)) {
            codes.push(Code::CursorInvalid);
        }
        if self.budget != Budget::Unbounded {
            codes.extend([Code::Overloaded, Code::NoQuorum, Code::NodeDraining]);
            codes.push(Code::RateLimited);
        }
        if self.verb != Verb::Get {
            codes.extend([Code::OutcomeUnknown, Code::BodyTooLarge, Code::RequestTimeout]);
        }
        if self.body.is_some() {
            codes.extend([Code::MalformedJson, Code::UnsupportedMediaType]);
        }
        match self.key {
            KeyRule::Unused => {}
            KeyRule::Accepted => {
                codes.extend([Code::IdempotencyKeyInvalid, Code::IdempotencyKeyReused]);
            }
            KeyRule::Required => codes.extend([
                Code::IdempotencyKeyRequired,
                Code::IdempotencyKeyInvalid,
                Code::IdempotencyKeyReused,
            ]),
        }
        match self.if_match {
            IfMatch::Unused => {}
            IfMatch::Accepted => codes.push(Code::VersionMismatch),
            IfMatch::Required => {
                codes.extend([Code::PreconditionRequired, Code::VersionMismatch]);
            }
        }
        codes.extend(self.codes);
        codes
    }
}
