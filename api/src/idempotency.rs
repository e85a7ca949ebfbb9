//! Idempotency keys: scope and fingerprint of a request.
//!
//! The scope says whose key it is and for which route; the fingerprint says whether a repeat is
//! the same request. It hashes what the client sent (path parameter and canonical JSON), never
//! the command, whose ids and nonces differ on a retry through another node.

use firstcome_domain::UserId;
use firstcome_domain::receipt::{ReceiptKey, Scope};
use hmac::Mac as _;
use http::HeaderMap;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::keys::{Keys, Mac};
use crate::problem::{Code, Problem};
use crate::spec::{KeyRule, Spec};

const KEY_BYTES_MAX: usize = 255;

/// Reads the header as the route wants it.
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

/// Makes the receipt key of a request.
pub(crate) fn receipt_key(
    keys: &Keys,
    caller: UserId,
    route: &Spec,
    key: &str,
    path_id: &str,
    body: &[u8],
) -> ReceiptKey {
    let mut scope = Sha256::new();
    for part in [caller.to_string().as_bytes(), route.operation.as_bytes(), key.as_bytes()] {
        scope.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        scope.update(part);
    }
    let mut fingerprint = keys.fingerprint();
    for part in [route.operation, path_id] {
        feed(&mut fingerprint, part.as_bytes());
    }
    // A body that is no JSON is refused before anything is proposed.
    let body = serde_json::from_slice(body).unwrap_or(Value::Null);
    canonical(&body, &mut fingerprint);
    ReceiptKey {
        scope: Scope(scope.finalize().into()),
        fingerprint: fingerprint.finalize().into_bytes().into(),
    }
}

fn feed(mac: &mut Mac, part: &[u8]) {
    mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
    mac.update(part);
}

/// Hashes a value so that spaces and the order of members do not matter; everything else does.
fn canonical(value: &Value, mac: &mut Mac) {
    match value {
        Value::Null => mac.update(b"n"),
        Value::Bool(true) => mac.update(b"t"),
        Value::Bool(false) => mac.update(b"f"),
        Value::Number(number) => {
            mac.update(b"#");
            feed(mac, number.to_string().as_bytes());
        }
        Value::String(text) => {
            mac.update(b"\"");
            feed(mac, text.as_bytes());
        }
        Value::Array(items) => {
            mac.update(b"[");
            for item in items {
                canonical(item, mac);
            }
            mac.update(b"]");
        }
        Value::Object(members) => {
            mac.update(b"{");
            let mut members: Vec<(&String, &Value)> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            for (name, member) in members {
                feed(mac, name.as_bytes());
                canonical(member, mac);
            }
            mac.update(b"}");
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::keys::MasterKey;

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

    #[test]
    fn spelling_does_not_matter_but_content_does() {
        let keys = Keys::new(&MasterKey::generate().unwrap()).unwrap();
        let route = &Spec { operation: "create_order", ..Spec::POST };
        let key = |caller, id, body: &str| {
            receipt_key(&keys, UserId::new(caller), route, "k", id, body.as_bytes())
        };
        let first = key(1, "", r#"{"a":1,"b":{"c":[1,2],"d":null}}"#);
        assert_eq!(first, key(1, "", r#" { "b": {"d":null, "c":[1, 2]}, "a": 1 }"#));
        for other in [
            key(1, "", r#"{"a":2,"b":{"c":[1,2],"d":null}}"#),
            key(1, "", r#"{"a":1,"b":{"c":[2,1],"d":null}}"#),
            key(1, "ord_1", r#"{"a":1,"b":{"c":[1,2],"d":null}}"#),
        ] {
            assert_eq!(first.scope, other.scope);
            assert_ne!(first.fingerprint, other.fingerprint);
        }
        assert_ne!(first.scope, key(2, "", "{}").scope);
    }
}
