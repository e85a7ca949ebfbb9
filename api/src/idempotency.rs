//! The `Idempotency-Key` header, and the scope and fingerprint of a request.
//!
//! The scope says whose key it is and for which route. The fingerprint says whether a repeat is
//! the same request: it covers what the client sent (path parameter and JSON body), never the
//! command, whose ids and nonces differ on a retry through another node.

use firstcome_domain::receipt::Scope;
use hmac::Mac as _;
use http::HeaderMap;
use sha2::{Digest as _, Sha256};

use crate::json::Json;
use crate::keys::{Mac, feed};
use crate::problem::{Code, Problem};
use crate::spec::{KeyRule, Spec};

const KEY_BYTES_MAX: usize = 255;

/// Reads the header as the route requires it.
pub(crate) fn header(headers: &HeaderMap, rule: KeyRule) -> Result<Option<String>, Problem> {
    if rule == KeyRule::Unused {
        return Ok(None);
    }
    let mut sent = headers.get_all("idempotency-key").iter();
    let Some(first) = sent.next() else {
        return match rule {
            KeyRule::Required => Err(Problem::new(Code::IdempotencyKeyRequired)),
            KeyRule::Accepted | KeyRule::Unused => Ok(None),
        };
    };
    let key = first.as_bytes();
    let visible = key.iter().all(u8::is_ascii_graphic);
    if sent.next().is_some() || !visible || !(1..=KEY_BYTES_MAX).contains(&key.len()) {
        return Err(Problem::new(Code::IdempotencyKeyInvalid));
    }
    Ok(first.to_str().ok().map(str::to_owned))
}

/// The scope of a key: one principal, one route. The principal is the caller or, for a
/// sign-up, the hash of the e-mail address.
pub(crate) fn scope(principal: &[u8], route: &Spec, key: &str) -> Scope {
    let mut scope = Sha256::new();
    for part in [principal, route.operation.as_bytes(), key.as_bytes()] {
        scope.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        scope.update(part);
    }
    Scope(scope.finalize().into())
}

/// The fingerprint of a request, by the cluster's key for that. `Null` stands for no body.
pub(crate) fn fingerprint(mut mac: Mac, route: &Spec, path_id: &str, body: &Json<'_>) -> [u8; 32] {
    for part in [route.operation, path_id] {
        feed(&mut mac, part.as_bytes());
    }
    body.hash(&mut mac);
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::keys::mac;

    fn sent(value: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", HeaderValue::from_bytes(value).unwrap());
        headers
    }

    #[test]
    fn keys_have_1_to_255_visible_characters() {
        let code = |value: &[u8]| header(&sent(value), KeyRule::Required).unwrap_err().code();
        assert_eq!(code(b""), Code::IdempotencyKeyInvalid);
        assert_eq!(code(b"a b"), Code::IdempotencyKeyInvalid);
        assert_eq!(code("\u{e9}".as_bytes()), Code::IdempotencyKeyInvalid);
        assert_eq!(code(&[b'x'; 256]), Code::IdempotencyKeyInvalid);
        assert!(header(&sent(&[b'x'; 255]), KeyRule::Required).unwrap().is_some());
        let missing = header(&HeaderMap::new(), KeyRule::Required).unwrap_err();
        assert_eq!(missing.code(), Code::IdempotencyKeyRequired);
        assert_eq!(header(&HeaderMap::new(), KeyRule::Accepted).unwrap(), None);
        let mut twice = sent(b"one");
        twice.append("idempotency-key", HeaderValue::from_static("two"));
        let twice = header(&twice, KeyRule::Accepted).unwrap_err();
        assert_eq!(twice.code(), Code::IdempotencyKeyInvalid);
    }

    fn fingerprint_of(path_id: &str, body: &str) -> [u8; 32] {
        let route = &Spec { operation: "create_order", ..Spec::POST };
        fingerprint(mac(&[7; 32]), route, path_id, &serde_json::from_str(body).unwrap())
    }

    #[test]
    fn scope_is_caller_route_and_key() {
        let create = &Spec { operation: "create_order", ..Spec::POST };
        let cancel = &Spec { operation: "cancel_order", ..Spec::POST };
        let (one, two) = (b"one".as_slice(), b"two".as_slice());
        assert!(scope(one, create, "k") == scope(one, create, "k"));
        for other in [scope(two, create, "k"), scope(one, cancel, "k"), scope(one, create, "l")] {
            assert!(scope(one, create, "k") != other);
        }
    }

    #[test]
    fn fingerprint_ignores_white_space_and_member_order_and_nothing_else() {
        let body = r#"{"a":1,"b":{"c":[1,2],"d":null},"e":"x"}"#;
        let first = fingerprint_of("", body);
        for same in [
            " { \"e\" : \"x\",\r\n\t\"b\": {\"d\":null, \"c\":[1, 2]}, \"a\": 1 }",
            // Another spelling of the same string.
            r#"{"a":1,"b":{"c":[1,2],"d":null},"\u0065":"\u0078"}"#,
        ] {
            assert_eq!(first, fingerprint_of("", same), "{same}");
        }
        assert_ne!(first, fingerprint_of("ord_1", body));
        let bodies = [
            "null",
            "{}",
            "[]",
            "[null]",
            "[[]]",
            "[{}]",
            r#""""#,
            "true",
            "false",
            "0",
            "1",
            "-1",
            "1.0",
            r#""1""#,
            r#""null""#,
            r#""true""#,
            r#"{"a":{}}"#,
            r#"{"a":null}"#,
            r#"{"a":1}"#,
            r#"{"a":-1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":1.0}"#,
            r#"{"a":true}"#,
            r#"{"b":1}"#,
            r#"{"A":1}"#,
            r#"{"a":[1,2]}"#,
            r#"{"a":[2,1]}"#,
            r#"{"a":[12]}"#,
            r#"{"a":[[1],2]}"#,
            r#"{"a":[[1,2]]}"#,
            r#"{"a":{"b":1},"c":1}"#,
            r#"{"a":{"b":1,"c":1}}"#,
            r#"{"a":[1,[2]]}"#,
            r#"{"a":"x","b":"y"}"#,
            r#"{"a":"y","b":"x"}"#,
            r#"{"a":"xb","":"y"}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":{},"b":1}"#,
            r#"{"a":" x"}"#,
            r#"{"a":"x "}"#,
            r#"{"a ":"x"}"#,
            "18446744073709551615",
            "-9223372036854775808",
        ];
        let unique: std::collections::BTreeSet<_> =
            bodies.iter().map(|body| fingerprint_of("", body)).collect();
        assert_eq!(unique.len(), bodies.len());
    }
}
