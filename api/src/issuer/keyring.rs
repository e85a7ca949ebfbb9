//! The keys of one issuer: a JSON Web Key Set, or a shared secret.
//!
//! The type of a key alone says which algorithm it verifies, and a set never holds a secret, so a
//! public key cannot be used as one. Keys that are of no use here (other types, other curves, for
//! encryption) are skipped; a set without any usable key is refused as a whole.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{DecodingKey, DecodingKeyKind};
use serde_json::{Map, Value};

use super::options::IssuerAlgorithm;

/// Largest key set. Real ones have a few KiB.
pub(super) const JWKS_BYTES_MAX: usize = 256 << 10;
/// Most entries of a key set.
pub(super) const JWKS_KEYS_MAX: usize = 100;
/// Shortest secret for HS256 (RFC 7518, section 3.2).
const SECRET_BYTES_MIN: usize = 32;
/// 2048 to 8192 bits.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
/// More than 32 bits only cost time.
const RSA_EXPONENT_BYTES_MAX: usize = 4;
/// 0x04 and two coordinates.
const P256_POINT_BYTES: usize = 65;
const ED25519_BYTES: usize = 32;

/// Why keys are not taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyRingError {
    #[error("it is larger than {} KiB", JWKS_BYTES_MAX >> 10)]
    TooLarge,
    #[error("it is not a JSON Web Key Set: {{\"keys\": [...]}}")]
    NotASet,
    #[error("it has {0} keys; {JWKS_KEYS_MAX} are the most")]
    TooManyKeys(usize),
    #[error("none of its {0} keys can verify {1}")]
    NoUsableKey(usize, String),
    #[error("it is not base64")]
    NotBase64,
    #[error("the secret has {0} bytes; HS256 needs at least {SECRET_BYTES_MIN}")]
    ShortSecret(usize),
}

/// Why there is no key for a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NoKey {
    /// The set does not have it.
    Unknown,
    /// The token has no `kid`, and there are several that it could mean.
    Unnamed,
}

/// The keys of one issuer.
#[derive(Debug, Default)]
pub(crate) struct KeyRing {
    keys: Vec<Key>,
}

#[derive(Debug)]
pub(super) struct Key {
    kid: Option<String>,
    algorithm: IssuerAlgorithm,
    pub(super) decoding: DecodingKey,
}

impl KeyRing {
    /// Reads a JSON Web Key Set, and keeps what verifies one of `algorithms`.
    pub(crate) fn parse_jwks(
        bytes: &[u8],
        algorithms: &[IssuerAlgorithm],
    ) -> Result<Self, KeyRingError> {
        if bytes.len() > JWKS_BYTES_MAX {
            return Err(KeyRingError::TooLarge);
        }
        let mut set: Map<String, Value> =
            serde_json::from_slice(bytes).map_err(|_| KeyRingError::NotASet)?;
        let Some(Value::Array(found)) = set.remove("keys") else {
            return Err(KeyRingError::NotASet);
        };
        let count = found.len();
        if count > JWKS_KEYS_MAX {
            return Err(KeyRingError::TooManyKeys(count));
        }
        // Each is parsed alone, so that one key of a new type does not cost the others.
        let keys: Vec<Key> = found
            .into_iter()
            .filter_map(|key| usable(&serde_json::from_value(key).ok()?))
            .filter(|key| algorithms.contains(&key.algorithm))
            .collect();
        if keys.is_empty() {
            let names: Vec<_> = algorithms.iter().map(|algorithm| algorithm.as_str()).collect();
            return Err(KeyRingError::NoUsableKey(count, names.join(" or ")));
        }
        Ok(Self { keys })
    }

    /// Reads a secret in base64.
    pub(super) fn parse_secret(text: &str) -> Result<Self, KeyRingError> {
        let secret = STANDARD.decode(text.trim()).map_err(|_| KeyRingError::NotBase64)?;
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyRingError::ShortSecret(secret.len()));
        }
        let decoding = DecodingKey::from_secret(&secret);
        Ok(Self { keys: vec![Key { kid: None, algorithm: IssuerAlgorithm::Hs256, decoding }] })
    }

    /// The key that a token names. A key without a `kid` is meant if no other has its algorithm.
    pub(super) fn find(
        &self,
        algorithm: IssuerAlgorithm,
        kid: Option<&str>,
    ) -> Result<&Key, NoKey> {
        let mut fitting = self.keys.iter().filter(|key| key.algorithm == algorithm);
        let named = fitting.clone().find(|key| kid.is_some() && key.kid.as_deref() == kid);
        if let Some(key) = named {
            return Ok(key);
        }
        match (fitting.next(), fitting.next()) {
            (Some(only), None) if kid.is_none() || only.kid.is_none() => Ok(only),
            (Some(_), Some(_)) if kid.is_none() => Err(NoKey::Unnamed),
            _ => Err(NoKey::Unknown),
        }
    }

    /// How many keys it has.
    pub(crate) const fn len(&self) -> usize {
        self.keys.len()
    }
}

fn usable(jwk: &Jwk) -> Option<Key> {
    let (algorithm, name) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (IssuerAlgorithm::Rs256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
            (IssuerAlgorithm::Es256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            (IssuerAlgorithm::EdDsa, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let common = &jwk.common;
    let verifies = common.key_algorithm.is_none_or(|named| named == name)
        && common.public_key_use.as_ref().is_none_or(|named| *named == PublicKeyUse::Signature)
        && common.key_operations.as_ref().is_none_or(|ops| ops.contains(&KeyOperations::Verify));
    let decoding = DecodingKey::from_jwk(jwk).ok()?;
    (verifies && has_right_size(algorithm, &decoding)).then(|| Key {
        kid: common.key_id.clone(),
        algorithm,
        decoding,
    })
}

fn has_right_size(algorithm: IssuerAlgorithm, key: &DecodingKey) -> bool {
    match (algorithm, key.kind()) {
        (IssuerAlgorithm::Rs256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            RSA_MODULUS_BYTES.contains(&n.len()) && (1..=RSA_EXPONENT_BYTES_MAX).contains(&e.len())
        }
        (IssuerAlgorithm::Es256, DecodingKeyKind::SecretOrDer(point)) => {
            point.len() == P256_POINT_BYTES
        }
        (IssuerAlgorithm::EdDsa, DecodingKeyKind::SecretOrDer(point)) => {
            point.len() == ED25519_BYTES
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::{ed25519_jwk, es256_jwk, rs256_jwk};
    use super::*;

    const ALL: [IssuerAlgorithm; 3] =
        [IssuerAlgorithm::Rs256, IssuerAlgorithm::Es256, IssuerAlgorithm::EdDsa];

    fn parse(keys: &Value) -> Result<KeyRing, KeyRingError> {
        KeyRing::parse_jwks(json!({ "keys": keys }).to_string().as_bytes(), &ALL)
    }

    fn with(mut key: Value, changes: &Value) -> Value {
        for (name, value) in changes.as_object().unwrap() {
            key[name] = value.clone();
        }
        key
    }

    #[test]
    fn a_key_verifies_the_algorithm_of_its_type_and_no_other() {
        let ring = parse(&json!([rs256_jwk("r"), es256_jwk("e"), ed25519_jwk("d")])).unwrap();
        for (kid, own) in [
            ("r", IssuerAlgorithm::Rs256),
            ("e", IssuerAlgorithm::Es256),
            ("d", IssuerAlgorithm::EdDsa),
        ] {
            for algorithm in IssuerAlgorithm::ALL {
                assert_eq!(ring.find(algorithm, Some(kid)).is_ok(), algorithm == own, "{kid}");
            }
        }
    }

    #[test]
    fn a_token_without_a_kid_means_the_only_key() {
        let es256 = IssuerAlgorithm::Es256;
        let one = parse(&json!([es256_jwk("e"), rs256_jwk("r")])).unwrap();
        assert!(one.find(es256, None).is_ok());
        assert_eq!(one.find(es256, Some("other")).err(), Some(NoKey::Unknown));
        let two = parse(&json!([es256_jwk("e"), es256_jwk("f")])).unwrap();
        assert_eq!(two.find(es256, None).err(), Some(NoKey::Unnamed));
        assert!(two.find(es256, Some("f")).is_ok());

        let mut unnamed = es256_jwk("e");
        unnamed.as_object_mut().unwrap().remove("kid");
        let unnamed = parse(&json!([unnamed])).unwrap();
        assert!(unnamed.find(es256, None).is_ok());
        assert!(unnamed.find(es256, Some("any")).is_ok());
    }

    #[test]
    fn unusable_keys_are_skipped_and_a_set_of_them_is_refused() {
        let long = "A".repeat(2000);
        for unusable in [
            json!(null),
            json!("key"),
            json!({}),
            json!({ "kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA" }),
            json!({ "kty": "oct", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "alg": "HS256" }),
            with(es256_jwk("e"), &json!({ "use": "enc" })),
            with(es256_jwk("e"), &json!({ "use": 1 })),
            with(es256_jwk("e"), &json!({ "key_ops": ["sign"] })),
            with(es256_jwk("e"), &json!({ "alg": "ES384" })),
            with(es256_jwk("e"), &json!({ "alg": "none" })),
            with(es256_jwk("e"), &json!({ "crv": "P-384" })),
            with(es256_jwk("e"), &json!({ "crv": "secp256k1" })),
            with(es256_jwk("e"), &json!({ "x": "AAAA" })),
            with(es256_jwk("e"), &json!({ "y": "not base64!" })),
            with(es256_jwk("e"), &json!({ "kid": 7 })),
            with(ed25519_jwk("d"), &json!({ "crv": "X25519" })),
            with(ed25519_jwk("d"), &json!({ "x": "AAAA" })),
            with(ed25519_jwk("d"), &json!({ "kty": "EC" })),
            with(rs256_jwk("r"), &json!({ "alg": "RSA-OAEP" })),
            with(rs256_jwk("r"), &json!({ "alg": "HS256" })),
            with(rs256_jwk("r"), &json!({ "n": "AQAB" })),
            with(rs256_jwk("r"), &json!({ "n": long })),
            with(rs256_jwk("r"), &json!({ "e": "" })),
            with(rs256_jwk("r"), &json!({ "e": "AQABAQAB" })),
        ] {
            let alone = parse(&json!([unusable])).unwrap_err();
            assert!(matches!(alone, KeyRingError::NoUsableKey(1, _)), "{unusable}: {alone}");
            let beside = parse(&json!([unusable, ed25519_jwk("good")])).unwrap();
            assert_eq!(beside.len(), 1, "{unusable}");
        }
        let usable = json!({ "use": "sig", "key_ops": ["verify"], "x5t": "AA", "note": [1] });
        assert_eq!(parse(&json!([with(es256_jwk("e"), &usable)])).unwrap().len(), 1);
    }

    #[test]
    fn a_key_of_an_algorithm_that_is_not_configured_is_not_kept() {
        let set = json!({ "keys": [rs256_jwk("r"), es256_jwk("e")] }).to_string();
        let ring = KeyRing::parse_jwks(set.as_bytes(), &[IssuerAlgorithm::Rs256]).unwrap();
        assert_eq!(ring.len(), 1);
        assert!(ring.find(IssuerAlgorithm::Es256, Some("e")).is_err());
    }

    #[test]
    fn a_set_that_is_empty_huge_or_of_the_wrong_type_is_refused() {
        for wrong in [
            "",
            "null",
            "[]",
            "{}",
            "{\"keys\": {}}",
            "{\"keys\": null}",
            "<html>",
            "1",
            "[[]]",
            "[[{}]]",
        ] {
            let error = KeyRing::parse_jwks(wrong.as_bytes(), &ALL).unwrap_err();
            assert_eq!(error, KeyRingError::NotASet, "{wrong}");
        }
        assert_eq!(parse(&json!([])).unwrap_err(), KeyRingError::NoUsableKey(0, names()));
        let mut many: Vec<_> = (0..100).map(|n| ed25519_jwk(&n.to_string())).collect();
        assert_eq!(parse(&json!(many)).unwrap().len(), 100);
        many.push(ed25519_jwk("100"));
        assert_eq!(parse(&json!(many)).unwrap_err(), KeyRingError::TooManyKeys(101));
        let blank = vec![b' '; JWKS_BYTES_MAX + 1];
        assert_eq!(KeyRing::parse_jwks(&blank, &ALL).unwrap_err(), KeyRingError::TooLarge);
    }

    fn names() -> String {
        "RS256 or ES256 or EdDSA".to_owned()
    }

    #[test]
    fn a_secret_is_base64_of_at_least_32_bytes() {
        let secret = STANDARD.encode([7; 32]);
        let ring = KeyRing::parse_secret(&format!("{secret}\n")).unwrap();
        assert!(ring.find(IssuerAlgorithm::Hs256, None).is_ok());
        assert!(ring.find(IssuerAlgorithm::Hs256, Some("any")).is_ok());
        assert!(ring.find(IssuerAlgorithm::Rs256, None).is_err());
        let short = KeyRing::parse_secret(&STANDARD.encode([7; 31])).unwrap_err();
        assert_eq!(short, KeyRingError::ShortSecret(31));
        assert_eq!(KeyRing::parse_secret("").unwrap_err(), KeyRingError::ShortSecret(0));
        assert_eq!(KeyRing::parse_secret("not base64!").unwrap_err(), KeyRingError::NotBase64);
    }
}
