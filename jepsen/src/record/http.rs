//! HTTP messages as a client sees them: the request, the response, and the lack of one.
//!
//! Only data. [`crate::drive::http_client`] sends requests to live nodes; the simulation hands them
//! to a router.

use std::collections::BTreeMap;

use serde_json::Value;

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST`, `PATCH`.
    pub method: &'static str,
    /// Path and query.
    pub path: String,
    /// Access token, if any.
    pub token: Option<String>,
    /// Idempotency key, if any.
    pub key: Option<String>,
    /// JSON body, if any.
    pub body: Option<Value>,
    /// Further headers: names in lower case, such as `if-match`.
    pub headers: Vec<(&'static str, String)>,
}

impl Request {
    /// A read.
    pub fn get(path: impl Into<String>, token: &str) -> Self {
        let token = (!token.is_empty()).then(|| token.to_owned());
        let headers = Vec::new();
        Self { method: "GET", path: path.into(), token, key: None, body: None, headers }
    }

    /// A write under a key.
    pub fn post(path: impl Into<String>, token: &str, key: &str, body: Value) -> Self {
        Self {
            method: "POST",
            path: path.into(),
            token: Some(token.to_owned()),
            key: Some(key.to_owned()),
            body: Some(body),
            headers: Vec::new(),
        }
    }

    /// A change of the version that was seen.
    pub fn patch(path: impl Into<String>, token: &str, version: u64, body: Value) -> Self {
        let post = Self::post(path, token, "", body);
        Self { method: "PATCH", key: None, ..post }.with("if-match", format!("\"{version}\""))
    }

    /// With one more header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A response.
#[derive(Clone, PartialEq, Debug)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Body as JSON; `None` when it is not JSON.
    pub body: Option<Value>,
}

/// Why there is no response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Lost {
    /// Nothing was sent.
    BeforeFirstByte(String),
    /// At least one byte was sent.
    AfterFirstByte(String),
}
