//! Access tokens: minted for sessions and for tools, verified on each request. A token that is not
//! one of ours may be one of a shop's own users (`issuer`).
//!
//! The token of a session is signed with a key of the cluster (`kid` k1) and says nothing of roles:
//! those are in the user's row. The token of a tool is signed with a key that follows from the
//! master key (`kid` m1) and carries its role: anyone with the master key has full access anyway.
//!
//! Only HS256 with `typ` `at+jwt` and a `kid` from our keys is accepted. The header is compared
//! with those we write, and any other spelling is parsed strictly, so that `alg` none, other
//! algorithms, `jku`, `jwk`, `x5u` and `crit` are refused before the signature is checked. The JWT
//! crate does the cryptography; the claims are checked here.

use std::cell::LazyCell;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use firstcome_domain::{Revision, Role, SessionId, UserId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::access::{LEEWAY_SECONDS, role_of, role_word};
use crate::issuer::{External, Issuers, Refusal};
use crate::keys::{Keys, TOKEN_ALGORITHM, TOKEN_TYPE, TokenKey};

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

/// Whom a verified token stands for. What the rows say of them is looked up later (`identity`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bearer {
    /// A tool that holds the master key, acting as this user in this role.
    Tool { id: UserId, role: Role },
    /// A user of a shop's own issuer.
    External(External),
    /// A user who logged in.
    Session(SessionClaim),
}

/// What the token of a session says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SessionClaim {
    pub(crate) user: UserId,
    pub(crate) session: SessionId,
    /// The user's epoch when it was signed.
    pub(crate) epoch: u32,
    /// The log entry that opened the session.
    pub(crate) revision: Revision,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

/// The claims of our tokens: those of a tool have `role`, those of a session the last three.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    jti: String,
    iat: u64,
    nbf: u64,
    exp: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ep: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rev: Option<u64>,
}

impl Keys {
    /// Mints a token for a tool: a user with a role, valid from now for `ttl_seconds`.
    pub fn mint(&self, subject: UserId, role: Role, ttl_seconds: u64) -> String {
        mint_at(self, subject, role, now(), ttl_seconds)
    }

    /// Signs the token of a session; `None` before the keyring is known.
    pub(crate) fn mint_for(&self, claim: &SessionClaim, ttl_seconds: u64) -> Option<String> {
        let ring = self.ring()?;
        let claims = Claims {
            sid: Some(claim.session.to_string()),
            ep: Some(claim.epoch),
            rev: Some(claim.revision.get()),
            ..Claims::of(claim.user, now(), ttl_seconds)
        };
        Some(sign(&ring.own.tokens, &claims))
    }
}

fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn mint_at(keys: &Keys, subject: UserId, role: Role, now: u64, ttl_seconds: u64) -> String {
    let role = Some(role_word(role).to_owned());
    let claims = Claims { role, ..Claims::of(subject, now, ttl_seconds) };
    keys.signer().map_or_else(String::new, |version| sign(&version.tokens, &claims))
}

impl Claims {
    fn of(subject: UserId, now: u64, ttl_seconds: u64) -> Self {
        Self {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: subject.to_string(),
            jti: Uuid::now_v7().simple().to_string(),
            iat: now,
            nbf: now,
            exp: now.saturating_add(ttl_seconds),
            role: None,
            sid: None,
            ep: None,
            rev: None,
        }
    }
}

fn sign(key: &TokenKey, claims: &impl Serialize) -> String {
    let claims = serde_json::to_vec(claims).unwrap_or_default();
    let mut token = key.header.clone();
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    // HMAC cannot fail with a key of this size; an empty signature never verifies.
    let signature = jsonwebtoken::crypto::sign(token.as_bytes(), &key.encoding, TOKEN_ALGORITHM)
        .unwrap_or_default();
    token.push('.');
    token.push_str(&signature);
    token
}

/// Verifies a token, the cluster's own or one of an issuer.
pub(crate) fn verify(keys: &Keys, issuers: &Issuers, token: &str) -> Result<Bearer, TokenError> {
    let now = now();
    match verify_at(keys, token, now) {
        Err(TokenError::Invalid) if !issuers.is_empty() => {
            let verified = issuers.verify(token, now).map_err(|refused| match refused {
                Refusal::Expired => TokenError::Expired,
                Refusal::Invalid(reason) => TokenError::Refused(reason),
            });
            verified.map(Bearer::External)
        }
        own => own,
    }
}

fn verify_at(keys: &Keys, token: &str, now: u64) -> Result<Bearer, TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Invalid);
    }
    let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Invalid)?;
    let (header, claims) = message.split_once('.').ok_or(TokenError::Invalid)?;
    // Most headers are as we write them, and need not be parsed.
    let named = LazyCell::new(|| key_id(header));
    let is_named = |key: &TokenKey| key.header == header || named.as_ref() == Some(&key.id);
    let checked = |key: &TokenKey| {
        let signed = message.as_bytes();
        let signed =
            jsonwebtoken::crypto::verify(signature, signed, &key.decoding, TOKEN_ALGORITHM);
        if signed.unwrap_or(false) { check(claims, now) } else { Err(TokenError::Invalid) }
    };
    if let Some(ring) = keys.ring()
        && is_named(&ring.own.tokens)
    {
        let (user, claims) = checked(&ring.own.tokens)?;
        return session_of(user, &claims).map(Bearer::Session).ok_or(TokenError::Invalid);
    }
    let mut versions = keys.versions().filter(|version| !keys.is_retired(version.number));
    let version = versions.find(|version| is_named(&version.tokens)).ok_or(TokenError::Invalid)?;
    let (id, claims) = checked(&version.tokens)?;
    let role = claims.role.as_deref().and_then(role_of).ok_or(TokenError::Invalid)?;
    Ok(Bearer::Tool { id, role })
}

/// The key that a header names.
fn key_id(header: &str) -> Option<String> {
    let header = URL_SAFE_NO_PAD.decode(header).ok()?;
    let header: Header = serde_json::from_slice(&header).ok()?;
    (header.alg == "HS256" && header.typ == TOKEN_TYPE).then_some(header.kid)
}

fn session_of(user: UserId, claims: &Claims) -> Option<SessionClaim> {
    Some(SessionClaim {
        user,
        session: claims.sid.as_ref()?.parse().ok()?,
        epoch: claims.ep?,
        revision: Revision::new(claims.rev?),
    })
}

/// Checks what all our tokens have in common, once the signature was right.
fn check(claims: &str, now: u64) -> Result<(UserId, Claims), TokenError> {
    let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| TokenError::Invalid)?;
    let claims: Claims = serde_json::from_slice(&claims).map_err(|_| TokenError::Invalid)?;
    let id = claims.sub.parse().map_err(|_| TokenError::Invalid)?;
    if claims.iss != ISSUER || claims.aud != AUDIENCE {
        return Err(TokenError::Invalid);
    }
    if claims.nbf > now.saturating_add(LEEWAY_SECONDS) {
        return Err(TokenError::Invalid);
    }
    if claims.exp.saturating_add(LEEWAY_SECONDS) <= now {
        return Err(TokenError::Expired);
    }
    Ok((id, claims))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use firstcome_domain::value::RowStamp;

    use super::*;
    use crate::keys::{MasterKey, OwnKeys, Ring};

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
        let key = &keys.signer().unwrap().tokens.encoding;
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), key, TOKEN_ALGORITHM).unwrap();
        format!("{message}.{signature}")
    }

    #[test]
    fn a_minted_token_names_its_user_and_role() {
        let keys = keys();
        let token = mint_at(&keys, USER, Role::Support, NOW, 600);
        assert_eq!(
            verify_at(&keys, &token, NOW),
            Ok(Bearer::Tool { id: USER, role: Role::Support })
        );
    }

    #[test]
    fn the_token_of_a_session_says_which_and_no_role() {
        let keys = keys();
        let (user, session) = (USER, SessionId::new(9));
        let claim = SessionClaim { user, session, epoch: 3, revision: Revision::new(77) };
        assert_eq!(keys.mint_for(&claim, 600), None, "the keyring is not known yet");
        let ring = || {
            let (row, own) = (RowStamp::default(), OwnKeys::for_tests());
            Ring { row, active: 1, retired: Vec::new(), own }
        };
        keys.follow(ring());
        let token = keys.mint_for(&claim, 600).unwrap();
        assert_eq!(verify_at(&keys, &token, now()), Ok(Bearer::Session(claim)));
        let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        assert!(!String::from_utf8(payload).unwrap().contains("role"));
        // Neither kind of token passes for the other.
        let ring = ring();
        for (key, claims) in [
            (&ring.own.tokens, claims()),
            (
                &keys.signer().unwrap().tokens,
                json!({
                    "iss": "firstcome", "aud": "firstcome-api", "sub": USER.to_string(), "jti": "x",
                    "iat": NOW, "nbf": NOW, "exp": NOW + 600,
                    "sid": session.to_string(), "ep": 3, "rev": 77
                }),
            ),
        ] {
            assert_eq!(verify_at(&keys, &sign(key, &claims), NOW), Err(TokenError::Invalid));
        }
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
    fn ref_token_needs_iss_aud_typ_kid() {
        let keys = keys();
        for field in ["iss", "aud", "sub", "role", "exp", "nbf"] {
            let mut missing = claims();
            missing.as_object_mut().unwrap().remove(field);
            let token = sign(&keys.signer().unwrap().tokens, &missing);
            assert_eq!(verify_at(&keys, &token, NOW), Err(TokenError::Invalid), "no {field}");
            let mut other = claims();
            other[field] = json!("other");
            let token = sign(&keys.signer().unwrap().tokens, &other);
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
            let token = sign(&keys.signer().unwrap().tokens, &text);
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
        let follow = |active, retired: Vec<u32>| {
            let version = u64::try_from(retired.len()).unwrap() + 1;
            let row = RowStamp { version, ..RowStamp::default() };
            let own = OwnKeys::for_tests();
            both.follow(Ring { row, active, retired, own });
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
