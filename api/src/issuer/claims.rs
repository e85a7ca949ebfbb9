//! Header and claims of a token of an issuer, and what must hold for them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::options::IssuerOptions;
use crate::access::LEEWAY_SECONDS;

/// The longest time for which a token may still be valid.
const LIFE_SECONDS_MAX: u64 = 24 * 60 * 60;
/// The longest id of a user.
pub(super) const SUBJECT_BYTES_MAX: usize = 255;

/// Why a token is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// It used to be valid.
    Expired,
    /// It never was; the sentence says why.
    Invalid(&'static str),
}

/// A part of a token that is base64url of a JSON object. An array would pass for a struct as well.
pub(super) fn part<T: DeserializeOwned>(text: &str) -> Option<T> {
    let json = URL_SAFE_NO_PAD.decode(text).ok()?;
    let is_object = json.trim_ascii_start().starts_with(b"{");
    is_object.then(|| serde_json::from_slice(&json).ok()).flatten()
}

/// The header. Fields that say nothing about keys are allowed and ignored.
#[derive(Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) kid: Option<String>,
    typ: Option<String>,
    #[serde(default)]
    jku: Present,
    #[serde(default)]
    jwk: Present,
    #[serde(default)]
    x5u: Present,
    #[serde(default)]
    x5c: Present,
    #[serde(default)]
    crit: Present,
}

/// Whether a field is there, whatever its value.
#[derive(Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

impl Header {
    /// Refuses a token that brings its own key, needs an extension, or is no token for an API.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if [&self.jku, &self.jwk, &self.x5u, &self.x5c].iter().any(|field| field.0) {
            return Err(Refusal::Invalid("The header must not have jku, jwk, x5u or x5c."));
        }
        if self.crit.0 {
            return Err(Refusal::Invalid("The header must not have crit."));
        }
        let known = ["JWT", "at+jwt", "application/at+jwt"];
        let fits = |typ: &String| known.iter().any(|known| typ.eq_ignore_ascii_case(known));
        if self.typ.as_ref().is_none_or(fits) {
            Ok(())
        } else {
            Err(Refusal::Invalid("The typ of the header must be JWT or at+jwt."))
        }
    }
}

/// The claims, unchecked.
pub(super) struct Claims(pub(super) Map<String, Value>);

impl Claims {
    /// The `iss`.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.0.get("iss")?.as_str()
    }

    /// Checks audience, times and subject; returns the subject, and when the token was made: a token
    /// that does not say so may be as old as one can be.
    pub(super) fn check(&self, options: &IssuerOptions, now: u64) -> Result<(&str, u64), Refusal> {
        if !self.is_for(&options.audience) {
            return Err(Refusal::Invalid("The aud of the token is not the configured audience."));
        }
        let exp = self.seconds("exp")?.ok_or(Refusal::Invalid("The token needs an exp."))?;
        if exp > now.saturating_add(LIFE_SECONDS_MAX + LEEWAY_SECONDS) {
            return Err(Refusal::Invalid("The exp of the token is more than 24 hours away."));
        }
        for claim in ["nbf", "iat"] {
            if self.seconds(claim)?.is_some_and(|at| at > now.saturating_add(LEEWAY_SECONDS)) {
                return Err(Refusal::Invalid("The nbf or iat of the token is in the future."));
            }
        }
        let subject = self.subject(&options.subject_claim)?;
        let issued_at = self.seconds("iat")?.unwrap_or(exp.saturating_sub(LIFE_SECONDS_MAX));
        if exp.saturating_add(LEEWAY_SECONDS) <= now {
            return Err(Refusal::Expired);
        }
        Ok((subject, issued_at))
    }

    fn is_for(&self, audience: &str) -> bool {
        match self.0.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(many)) => {
                many.iter().all(Value::is_string) && many.iter().any(|one| one == audience)
            }
            _ => false,
        }
    }

    /// A time in whole seconds. RFC 7519 allows fractions, but not text.
    fn seconds(&self, claim: &str) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.0.get(claim) else { return Ok(None) };
        let fraction = |value: f64| Duration::try_from_secs_f64(value).ok().map(|at| at.as_secs());
        let seconds = value.as_u64().or_else(|| fraction(value.as_f64()?));
        seconds
            .map(Some)
            .ok_or(Refusal::Invalid("exp, nbf and iat must be numbers: seconds since 1970."))
    }

    fn subject(&self, claim: &str) -> Result<&str, Refusal> {
        let subject = self.0.get(claim).and_then(Value::as_str);
        let subject = subject
            .ok_or(Refusal::Invalid("The token needs the claim that names the user, as text."))?;
        if (1..=SUBJECT_BYTES_MAX).contains(&subject.len()) {
            Ok(subject)
        } else {
            Err(Refusal::Invalid("The id of the user must have 1 to 255 bytes."))
        }
    }
}
