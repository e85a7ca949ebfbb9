//! Tokens and key sets of a shop's own issuer.

use std::sync::OnceLock;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use firstcome_api::{IssuerAlgorithm, IssuerOptions, Issuers, KeySource, fuzz};
use serde_json::{Value, json};

use crate::Reached;

/// When the tokens are judged.
const NOW: u64 = 1_800_000_000;
const ISSUER: &str = "shop";
const AUDIENCE: &str = "firstcome";
const SECRET: &[u8] = b"thirty-two bytes that we all know";
const LEEWAY_SECONDS: u64 = 5;
const DAY_SECONDS: u64 = 86_400;
const TOKEN_BYTES_MAX: usize = 8192;

/// A token; or a header, a zero byte and claims, which are signed here, so that a fuzzer reaches
/// what comes after the signature. What is accepted keeps every rule of `docs/tokens.md`, and what
/// keeps them is accepted.
pub fn issuer_token(data: &[u8]) -> Reached {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (Some(header), Some(claims)) = (parts.next(), parts.next()) else {
        let Ok(token) = std::str::from_utf8(data) else { return Reached::Refused };
        let accepted = fuzz::issuer_token(issuers(), token, NOW).is_some();
        assert!(!accepted || written(token).is_some_and(|(head, body)| fits(&head, &body)));
        return reached(accepted);
    };
    let accepted = fuzz::issuer_token(issuers(), &fuzz::signed(SECRET, header, claims), NOW);
    let Ok(claims) = serde_json::from_slice::<Value>(claims) else {
        assert_eq!(accepted, None, "claims are JSON");
        return Reached::Refused;
    };
    // Fields of the header without a meaning are skipped, and numbers in them may be out of range.
    let Ok(header) = serde_json::from_slice::<Value>(header) else {
        return reached(accepted.is_some());
    };
    let fits = fits(&header, &claims);
    assert!(accepted.is_none() || fits, "{header} {claims}");
    // The same without doubled members and spaces.
    let token = fuzz::signed(SECRET, header.to_string().as_bytes(), claims.to_string().as_bytes());
    let again = fuzz::issuer_token(issuers(), &token, NOW);
    assert_eq!(again.is_some(), fits && token.len() <= TOKEN_BYTES_MAX, "{header} {claims}");
    if let (Some(user), Some(again)) = (accepted, again) {
        assert_eq!(user, again, "{claims}");
        let least = json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": claims["sub"], "exp": NOW });
        let least = fuzz::signed(SECRET, br#"{"alg":"HS256"}"#, least.to_string().as_bytes());
        let same = fuzz::issuer_token(issuers(), &least, NOW);
        assert_eq!(same, Some(user), "only issuer and subject make the user");
    }
    reached(accepted.is_some())
}

fn issuers() -> &'static Issuers {
    static ISSUERS: OnceLock<Issuers> = OnceLock::new();
    ISSUERS.get_or_init(|| {
        // A temporary file is readable by its owner alone.
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), STANDARD.encode(SECRET)).expect("the secret");
        let options = IssuerOptions {
            issuer: ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
            algorithms: vec![IssuerAlgorithm::Hs256],
            keys: KeySource::SecretFile(file.path().to_owned()),
            subject_claim: "sub".to_owned(),
        };
        Issuers::load(&[options]).expect("an issuer")
    })
}

const fn reached(accepted: bool) -> Reached {
    if accepted { Reached::Accepted } else { Reached::Refused }
}

/// Header and claims of a token.
fn written(token: &str) -> Option<(Value, Value)> {
    let mut parts = token
        .split('.')
        .map(|part| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).ok()?).ok());
    Some((parts.next()??, parts.next()??))
}

/// The rules of `docs/tokens.md`, for a token that is signed properly.
fn fits(header: &Value, claims: &Value) -> bool {
    let is_text_or_nothing = |name: &str| header[name].is_null() || header[name].is_string();
    let typ = header["typ"].as_str().unwrap_or("JWT").to_ascii_lowercase();
    let has_forbidden =
        ["jku", "jwk", "x5u", "x5c", "crit"].iter().any(|name| header.get(*name).is_some());
    let header_fits = header["alg"] == "HS256"
        && is_text_or_nothing("kid")
        && is_text_or_nothing("typ")
        && ["jwt", "at+jwt", "application/at+jwt"].contains(&typ.as_str())
        && !has_forbidden;
    let is_for_us = match &claims["aud"] {
        Value::Array(many) => many.iter().all(Value::is_string) && many.contains(&json!(AUDIENCE)),
        one => *one == AUDIENCE,
    };
    let started = |name: &str| {
        claims.get(name).is_none_or(|at| seconds(at).is_some_and(|at| at <= NOW + LEEWAY_SECONDS))
    };
    let lives = seconds(&claims["exp"]).is_some_and(|exp| {
        exp.saturating_add(LEEWAY_SECONDS) > NOW && exp <= NOW + DAY_SECONDS + LEEWAY_SECONDS
    });
    let names = claims["sub"].as_str().is_some_and(|sub| (1..=255).contains(&sub.len()));
    header_fits
        && claims["iss"] == ISSUER
        && is_for_us
        && lives
        && started("nbf")
        && started("iat")
        && names
}

fn seconds(value: &Value) -> Option<u64> {
    let fraction = |value: f64| Duration::try_from_secs_f64(value).ok().map(|at| at.as_secs());
    value.as_u64().or_else(|| fraction(value.as_f64()?))
}

/// A key set: never more keys than there are of the right kind, and never a secret.
pub fn jwks(data: &[u8]) -> Reached {
    let Some(count) = fuzz::jwks(data) else { return Reached::Refused };
    let set: Value = serde_json::from_slice(data).expect("what is accepted is JSON");
    let keys = set["keys"].as_array().expect("and has keys");
    let is_public = |key: &&Value| {
        (key["kty"] == "RSA" && key["n"].is_string())
            || (key["kty"] == "EC" && key["crv"] == "P-256")
            || (key["kty"] == "OKP" && key["crv"] == "Ed25519")
    };
    assert!((1..=keys.iter().filter(is_public).count()).contains(&count), "{count} of {set}");
    let again = json!({ "keys": keys }).to_string();
    assert_eq!(fuzz::jwks(again.as_bytes()), Some(count), "{set}");
    Reached::Accepted
}
