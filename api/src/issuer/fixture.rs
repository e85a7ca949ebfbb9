//! Keys of an issuer, for tests.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use serde_json::{Value, json};

use super::options::IssuerAlgorithm;

/// The shared secret.
pub(super) const SECRET: &str = "dGhpcnR5LXR3byBieXRlcyB0aGF0IHdlIGFsbCBrbm8=";

const RSA: &str = include_str!("fixture/rsa.pkcs1.b64");
const P256: &str = include_str!("fixture/p256.pkcs8.b64");
const ED25519: &str = include_str!("fixture/ed25519.pkcs8.b64");
const ED25519_PUBLIC: &str = include_str!("fixture/ed25519.public.b64url");

fn der(text: &str) -> Vec<u8> {
    STANDARD.decode(text.split_whitespace().collect::<String>()).unwrap()
}

fn key(algorithm: IssuerAlgorithm) -> EncodingKey {
    match algorithm {
        IssuerAlgorithm::Rs256 => EncodingKey::from_rsa_der(&der(RSA)),
        IssuerAlgorithm::Es256 => EncodingKey::from_ec_der(&der(P256)),
        IssuerAlgorithm::EdDsa => EncodingKey::from_ed_der(&der(ED25519)),
        IssuerAlgorithm::Hs256 => EncodingKey::from_base64_secret(SECRET).unwrap(),
    }
}

fn jwk(algorithm: IssuerAlgorithm, kid: &str) -> Value {
    let jwk = Jwk::from_encoding_key(&key(algorithm), algorithm.verifier()).unwrap();
    let mut jwk = serde_json::to_value(jwk).unwrap();
    jwk["kid"] = json!(kid);
    jwk
}

pub(super) fn rs256_jwk(kid: &str) -> Value {
    jwk(IssuerAlgorithm::Rs256, kid)
}

pub(super) fn es256_jwk(kid: &str) -> Value {
    jwk(IssuerAlgorithm::Es256, kid)
}

pub(super) fn ed25519_jwk(kid: &str) -> Value {
    json!({ "kty": "OKP", "crv": "Ed25519", "x": ED25519_PUBLIC.trim(), "kid": kid })
}

/// Signs whatever it is given, with the key of one algorithm.
pub(super) fn sign(algorithm: IssuerAlgorithm, header: &Value, claims: &Value) -> String {
    let message = unsigned(header, claims);
    let signature =
        crypto::sign(message.as_bytes(), &key(algorithm), algorithm.verifier()).unwrap();
    format!("{message}.{signature}")
}

/// Signs with HS256 and any bytes as the secret.
pub(super) fn sign_with_secret(secret: &[u8], header: &Value, claims: &Value) -> String {
    let message = unsigned(header, claims);
    let key = EncodingKey::from_secret(secret);
    let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// Header and claims.
pub(super) fn unsigned(header: &Value, claims: &Value) -> String {
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}", encode(header), encode(claims))
}
