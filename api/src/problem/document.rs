//! The problem document, and the response headers that go with it.

use std::borrow::Cow;

use firstcome_domain::{Millis, Revision};
use firstcome_raft::Executed;
use http::StatusCode;
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use serde_json::Value;

use super::code::Code;

/// One invalid field.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct FieldError {
    /// JSON pointer into the body; `/query/NAME` or `/header/NAME` for the rest of a request.
    pub(crate) pointer: String,
    /// A stable word: `required`, `out_of_range`, `too_long`, ...
    pub(crate) code: Cow<'static, str>,
    /// A sentence for people.
    pub(crate) detail: String,
}

/// Anything that is not a success. Boxed, because it is rare and large.
#[derive(Debug)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Debug)]
struct Inner {
    code: Code,
    detail: Option<String>,
    executed: Executed,
    errors: Vec<FieldError>,
    members: Vec<(&'static str, Value)>,
    revision: Option<Revision>,
    retry_after_seconds: Option<u32>,
    replayed: bool,
    request_seed: Option<u128>,
}

impl Problem {
    /// A request that was refused before anything ran.
    pub(crate) fn new(code: Code) -> Self {
        Self(Box::new(Inner {
            code,
            detail: None,
            executed: Executed::No,
            errors: Vec::new(),
            members: Vec::new(),
            revision: None,
            retry_after_seconds: (code.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(1),
            replayed: false,
            request_seed: None,
        }))
    }

    /// Replaces the English detail of the table.
    #[must_use]
    pub(crate) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Adds an extension member to the document.
    #[must_use]
    pub(crate) fn member(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.0.members.push((name, value.into()));
        self
    }

    /// The revision that was read or written.
    #[must_use]
    pub(crate) fn at(mut self, revision: Revision) -> Self {
        self.0.revision = Some(revision);
        self
    }

    /// Invalid fields.
    pub(crate) fn validation(errors: Vec<FieldError>) -> Self {
        let mut problem = Self::new(Code::ValidationFailed);
        problem.0.errors = errors;
        problem
    }

    /// One invalid field.
    pub(crate) fn field(
        pointer: impl Into<String>,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        let error =
            FieldError { pointer: pointer.into(), code: code.into(), detail: detail.into() };
        Self::validation(vec![error])
    }

    /// Whether the request may have taken effect.
    #[must_use]
    pub(crate) fn executed(mut self, executed: Executed) -> Self {
        self.0.executed = executed;
        self
    }

    /// The response comes from a receipt.
    #[must_use]
    pub(crate) fn replay(mut self, replayed: bool) -> Self {
        self.0.replayed = replayed;
        self
    }

    /// Gives every repeat of a keyed request the same request id, so that their documents are
    /// equal byte for byte.
    #[must_use]
    pub(crate) fn seeded(mut self, seed: Option<u128>) -> Self {
        self.0.request_seed = seed;
        self
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

    /// When a retry can help, in seconds from now.
    #[must_use]
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after_seconds = Some(seconds);
        self
    }

    /// The same, as an instant of log time, which was `now` when it was decided.
    #[must_use]
    pub(crate) fn retry_from(self, at: Millis, now: Millis) -> Self {
        let wait_ms = at.get().saturating_sub(now.get()).max(0).unsigned_abs();
        self.retry_after(u32::try_from(wait_ms.div_ceil(1_000)).unwrap_or(u32::MAX))
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
        let code = inner.code.as_str();
        let (title, detail) = if self.in_korean {
            inner.code.korean()
        } else {
            let (title, detail) = inner.code.english();
            (title, inner.detail.as_deref().unwrap_or(detail))
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", &format_args!("/docs/errors#{code}"))?;
        map.serialize_entry("title", title)?;
        map.serialize_entry("status", &inner.code.status().as_u16())?;
        map.serialize_entry("code", code)?;
        map.serialize_entry("detail", detail)?;
        map.serialize_entry("instance", self.instance)?;
        map.serialize_entry("request_id", self.request_id)?;
        let executed = match inner.executed {
            Executed::No => "no",
            Executed::Maybe => "maybe",
        };
        map.serialize_entry("executed", executed)?;
        map.serialize_entry("retryable", &inner.code.is_retryable())?;
        if !inner.errors.is_empty() {
            map.serialize_entry("errors", &inner.errors)?;
        }
        for (name, value) in &inner.members {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn language_changes_title_and_detail_only() {
        let read = |in_korean| -> Value {
            let problem = Problem::new(Code::SoldOut).member("sale_id", "sal_1");
            serde_json::from_slice(&problem.to_json("/v1/orders", "r-1", in_korean)).unwrap()
        };
        let (mut english, korean) = (read(false), read(true));
        assert_eq!(english["title"], "Sold out");
        for member in ["title", "detail"] {
            assert_ne!(english[member], korean[member]);
            english[member] = korean[member].clone();
        }
        assert_eq!(english, korean);
    }
}
