//! Access tokens: minted for the CLI, verified on each request. A token that is not one of ours may
//! be one of a shop's own users (`issuer`).
//!
//! Only HS256 with `typ` `at+jwt` and a `kid` from our keys is accepted. The header is compared
//! with those we write, and any other spelling is parsed strictly, so that `alg` none, other
//! algorithms, `jku`, `jwk`, `x5u` and `crit` are refused before the signature is checked. The JWT
//! crate does the cryptography; the claims are checked here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use firstcome_domain::{Role, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::access::{Caller, LEEWAY_SECONDS, role_of, role_word};
use crate::issuer::{Issuers, Refusal};
use crate::keys::{Keys, TOKEN_ALGORITHM, TOKEN_TYPE, Version};

const ISSUER: &str = "firstcome";
const AUDIENCE: &str = "firstcome-api";
/// Our tokens are shorter.
const TOKEN_BYTES_MAX: usize = 4096;

/// Why a token is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TokenError {
    /// Not signed by this cluster, or changed.
    Invalid,
    /// It used to be valid.
    Expired,
    /// Not accepted from one of the configured issuers either; the sentence says why.
    Refused(&'static str),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    role: String,
    jti: String,
    iat: u64,
    nbf: u64,
    exp: u64,
}

impl Keys {
    /// Mints an access token for a user with a role, valid from now for `ttl_seconds`.
    pub fn mint(&self, subject: UserId, role: Role, ttl_seconds: u64) -> String {
        mint_at(self, subject, role, now(), ttl_seconds)
    }
}

fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn mint_at(keys: &Keys, subject: UserId, role: Role, now: u64, ttl_seconds: u64) -> String {
    let claims = Claims {
        iss: ISSUER.to_owned(),
        aud: AUDIENCE.to_owned(),
        sub: subject.to_string(),
        role: role_word(role).to_owned(),
        jti: Uuid::now_v7().simple().to_string(),
        iat: now,
        nbf: now,
        exp: now.saturating_add(ttl_seconds),
    };
    keys.signer().map_or_else(String::new, |version| sign(version, &claims))
}

fn sign(version: &Version, claims: &impl Serialize) -> String {
    let claims = serde_json::to_vec(claims).unwrap_or_default();
    let mut token = version.token_header.clone();
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    // HMAC cannot fail with a key of this size; an empty signature never verifies.
    let signature =
        jsonwebtoken::crypto::sign(token.as_bytes(), &version.encoding, TOKEN_ALGORITHM)
            .unwrap_or_default();
    token.push('.');
    token.push_str(&signature);
    token
}

/// Verifies a token, the cluster's own or one of an issuer, and returns the caller it names.
pub(crate) fn verify(keys: &Keys, issuers: &Issuers, token: &str) -> Result<Caller, TokenError> {
    let now = now();
    match verify_at(keys, token, now) {
        Err(TokenError::Invalid) if !issuers.is_empty() => {
            issuers.verify(token, now).map_err(|refused| match refused {
                Refusal::Expired => TokenError::Expired,
                Refusal::Invalid(reason) => TokenError::Refused(reason),
            })
        }
        own => own,
    }
}

fn verify_at(keys: &Keys, token: &str, now: u64) -> Result<Caller, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Invalid);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Invalid)?;
    let (header, claims) = message.split_once('.').ok_or(TokenError::Invalid)?;
    let version = signer(keys, header).ok_or(TokenError::Invalid)?;
    let signed = jsonwebtoken::crypto::verify(
        signature,
        message.as_bytes(),
        &version.decoding,
        TOKEN_ALGORITHM,
    );
    if !signed.unwrap_or(false) {
        return Err(TokenError::Invalid);
    }
    let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| TokenError::Invalid)?;
    let claims: Claims = serde_json::from_slice(&claims).map_err(|_| TokenError::Invalid)?;
    check(&claims, now)
}

fn signer<'k>(keys: &'k Keys, header: &str) -> Option<&'k Version> {
    let accepted = |version: &&Version| !keys.is_retired(version.number);
    if let Some(version) = keys.versions().find(|version| version.token_header == header) {
        return Some(version).filter(accepted);
    }
    let header = URL_SAFE_NO_PAD.decode(header).ok()?;
    let header: Header = serde_json::from_slice(&header).ok()?;
    let number = header.kid.strip_prefix('m')?.parse().ok()?;
    (header.alg == "HS256" && header.typ == TOKEN_TYPE)
        .then(|| keys.version(number))
        .flatten()
        .filter(accepted)
}

fn check(claims: &Claims, now: u64) -> Result<Caller, TokenError> {
    let caller = claims.sub.parse().ok().zip(role_of(&claims.role));
    let (id, role) = caller.ok_or(TokenError::Invalid)?;
    if claims.iss != ISSUER || claims.aud != AUDIENCE {
        return Err(TokenError::Invalid);
    }
    if claims.nbf > now.saturating_add(LEEWAY_SECONDS) {
        return Err(TokenError::Invalid);
    }
    if claims.exp.saturating_add(LEEWAY_SECONDS) <= now {
        return Err(TokenError::Expired);
    }
    Ok(Caller { id, role })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use firstcome_domain::value::RowStamp;

    use super::*;
    use crate::keys::{MasterKey, Ring, mac};

    const NOW: u64 = 1_800_000_000;
    const USER: UserId = UserId::new(42);

    fn keys() -> Keys {
        Keys::new(&MasterKey::parse("1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").unwrap())
            .unwrap()
    }

    fn claims() -> Value {
        json!({
            "iss": "firstcome", "aud": "firstcome-api", "sub": USER.to_string(),
            "role": "operator", "jti": "x", "iat": NOW, "nbf": NOW, "exp": NOW + 600
        })
    }

    fn with_header(keys: &Keys, header: &Value) -> String {
        let mut message = URL_SAFE_NO_PAD.encode(header.to_string());
        message.push('.');
        URL_SAFE_NO_PAD.encode_string(claims().to_string(), &mut message);
        let key = &keys.signer().unwrap().encoding;
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), key, TOKEN_ALGORITHM).unwrap();
        format!("{message}.{signature}")
    }

    #[test]
    fn a_minted_token_names_its_user_and_role() {
        let keys = keys();
        let token = mint_at(&keys, USER, Role::Support, NOW, 600);
        assert_eq!(verify_at(&keys, &token, NOW), Ok(Caller { id: USER, role: Role::Support }));
    }

    #[test]
    fn a_token_expires_after_its_lifetime_and_leeway() {
        let keys = keys();
        let token = mint_at(&keys, USER, Role::Customer, NOW, 600);
        assert!(verify_at(&keys, &token, NOW + 604).is_ok());
        assert_eq!(verify_at(&keys, &token, NOW + 605), Err(TokenError::Expired));
        assert!(verify_at(&keys, &token, NOW - 5).is_ok());
        assert_eq!(verify_at(&keys, &token, NOW - 6), Err(TokenError::Invalid));
    }

    #[test]
    fn token_needs_iss_aud_typ_kid() {
        let keys = keys();
        for field in ["iss", "aud", "sub", "role", "exp", "nbf"] {
            let mut missing = claims();
            missing.as_object_mut().unwrap().remove(field);
            let token = sign(keys.signer().unwrap(), &missing);
            assert_eq!(verify_at(&keys, &token, NOW), Err(TokenError::Invalid), "no {field}");
            let mut other = claims();
            other[field] = json!("other");
            let token = sign(keys.signer().unwrap(), &other);
            assert_eq!(verify_at(&keys, &token, NOW), Err(TokenError::Invalid), "other {field}");
        }
        for header in [
            json!({"alg": "HS256", "kid": "m1"}),
            json!({"alg": "HS256", "typ": "JWT", "kid": "m1"}),
            json!({"alg": "HS256", "typ": "at+jwt"}),
            json!({"alg": "HS256", "typ": "at+jwt", "kid": "m2"}),
            json!({"alg": "HS256", "typ": "at+jwt", "kid": "../m1"}),
        ] {
            let token = with_header(&keys, &header);
            assert_eq!(verify_at(&keys, &token, NOW), Err(TokenError::Invalid), "{header}");
        }
        let reordered = json!({"alg": "HS256", "kid": "m1", "typ": "at+jwt"});
        assert!(verify_at(&keys, &with_header(&keys, &reordered), NOW).is_ok());
    }

    #[test]
    fn alg_none_and_alg_swap_rejected() {
        let keys = keys();
        for alg in ["none", "None", "HS384", "HS512", "RS256", "ES256", "EdDSA"] {
            let header = json!({"alg": alg, "typ": "at+jwt", "kid": "m1"});
            let token = with_header(&keys, &header);
            assert_eq!(verify_at(&keys, &token, NOW), Err(TokenError::Invalid), "{alg}");
            let unsigned = format!("{}.", token.rsplit_once('.').unwrap().0);
            assert_eq!(
                verify_at(&keys, &unsigned, NOW),
                Err(TokenError::Invalid),
                "{alg} unsigned"
            );
        }
    }

    #[test]
    fn headers_that_bring_their_own_key_are_refused() {
        let keys = keys();
        for field in ["jku", "x5u", "jwk", "crit", "x5c"] {
            let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": "m1", field: "x"});
            let token = with_header(&keys, &header);
            assert_eq!(verify_at(&keys, &token, NOW), Err(TokenError::Invalid), "{field}");
        }
    }

    #[test]
    fn string_nbf_rejected() {
        let keys = keys();
        for field in ["nbf", "exp"] {
            let mut text = claims();
            text[field] = json!(NOW.to_string());
            let token = sign(keys.signer().unwrap(), &text);
            assert_eq!(verify_at(&keys, &token, NOW), Err(TokenError::Invalid), "{field}");
        }
    }

    #[test]
    fn a_changed_token_is_refused() {
        let keys = keys();
        let token = mint_at(&keys, USER, Role::Customer, NOW, 600);
        let parts: Vec<&str> = token.split('.').collect();
        let mut admin = claims();
        admin["role"] = json!("admin");
        let forged =
            format!("{}.{}.{}", parts[0], URL_SAFE_NO_PAD.encode(admin.to_string()), parts[2]);
        assert_eq!(verify_at(&keys, &forged, NOW), Err(TokenError::Invalid));
        for bad in ["", ".", "..", "a.b.c", "Bearer", &"x".repeat(5000)] {
            assert_eq!(verify_at(&keys, bad, NOW), Err(TokenError::Invalid));
        }
    }

    #[test]
    fn key_rotation_overlap_no_401() {
        const ONE: &str = "1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        const TWO: &str = "2:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
        let old = Keys::new(&MasterKey::parse(ONE).unwrap()).unwrap();
        let both = Keys::new(&MasterKey::parse(&format!("{ONE}\n{TWO}")).unwrap()).unwrap();
        let new = Keys::new(&MasterKey::parse(TWO).unwrap()).unwrap();
        let by_old = mint_at(&old, USER, Role::Customer, NOW, 600);
        // A node with both lines signs so that nodes with one accept it, until all have both.
        let by_both = mint_at(&both, USER, Role::Customer, NOW, 600);
        assert!(verify_at(&old, &by_both, NOW).is_ok());
        let follow = |active, retired| {
            let (row, fingerprint) = (RowStamp::default(), mac(&[3; 32]));
            both.follow(Ring { row, active, retired, fingerprint });
        };
        follow(2, Vec::new());
        let by_new = mint_at(&both, USER, Role::Customer, NOW, 600);
        assert!(verify_at(&new, &by_new, NOW).is_ok());
        for token in [&by_old, &by_both, &by_new] {
            assert!(verify_at(&both, token, NOW).is_ok());
        }
        follow(2, vec![1]);
        assert_eq!(verify_at(&both, &by_old, NOW), Err(TokenError::Invalid));
        assert!(verify_at(&both, &by_new, NOW).is_ok());
    }
}
