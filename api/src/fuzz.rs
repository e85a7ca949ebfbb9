//! Entry points for fuzz targets: the idempotency header, the identity of a request, refresh tokens,
//! tokens and key sets of issuers. Not part of the API.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use firstcome_domain::UserId;
use firstcome_domain::receipt::ReceiptKey;
use http::{HeaderMap, HeaderValue};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};

use crate::idempotency;
use crate::issuer::{IssuerAlgorithm, Issuers, KeyRing};
use crate::json::Json;
use crate::keys;
use crate::refresh::{self, RefreshToken};
use crate::route::order::CREATE;
use crate::spec::KeyRule;

/// How `POST /v1/orders` reads these `Idempotency-Key` headers: the key, or the code of the error.
/// `None` if HTTP cannot carry such a value.
pub fn idempotency_key(sent: &[&[u8]]) -> Option<Result<Option<String>, &'static str>> {
    let mut headers = HeaderMap::new();
    for value in sent {
        headers.append("idempotency-key", HeaderValue::from_bytes(value).ok()?);
    }
    Some(
        idempotency::header(&headers, KeyRule::Required).map_err(|problem| problem.code().as_str()),
    )
}

/// Scope and fingerprint of an order with this key and body.
pub fn receipt_key(caller: u128, key: &str, body: &[u8]) -> ReceiptKey {
    let body = serde_json::from_slice(body).unwrap_or(Json::Null);
    ReceiptKey {
        scope: idempotency::scope(UserId::new(caller).to_string().as_bytes(), &CREATE, key),
        fingerprint: idempotency::fingerprint(keys::mac(&[7; 32]), &CREATE, "", &body),
    }
}

/// A refresh token, of a key that everybody knows.
pub fn refresh_token(session: &str, generation: u32) -> String {
    refresh::refresh_token(keys::mac(&[7; 32]), session, generation)
}

/// The session and generation of a token of [`refresh_token`].
pub fn read_refresh_token(text: &str) -> Option<(String, u32)> {
    let token = RefreshToken::parse(text)?;
    token.verify(keys::mac(&[7; 32])).then(|| (token.session(), token.generation))
}

/// The customer that a token of an issuer names, `now` in seconds since 1970.
pub fn issuer_token(issuers: &Issuers, token: &str, now: u64) -> Option<UserId> {
    Some(issuers.verify(token, now).ok()?.id)
}

/// A token with any header and claims, signed with HS256.
pub fn signed(secret: &[u8], header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = EncodingKey::from_secret(secret);
    let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap_or_default();
    format!("{message}.{signature}")
}

/// How many keys of a JSON Web Key Set are used.
pub fn jwks(bytes: &[u8]) -> Option<usize> {
    let public = [IssuerAlgorithm::Rs256, IssuerAlgorithm::Es256, IssuerAlgorithm::EdDsa];
    KeyRing::parse_jwks(bytes, &public).ok().map(|ring| ring.len())
}
