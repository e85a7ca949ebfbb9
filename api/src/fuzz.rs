//! Entry points for fuzz targets: the idempotency header and the identity of a request. Not part
//! of the API.

use firstcome_domain::UserId;
use firstcome_domain::receipt::ReceiptKey;
use http::{HeaderMap, HeaderValue};

use crate::idempotency;
use crate::json::Json;
use crate::keys::Keys;
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
pub fn receipt_key(keys: &Keys, caller: u128, key: &str, body: &[u8]) -> ReceiptKey {
    let body = serde_json::from_slice(body).unwrap_or(Json::Null);
    ReceiptKey {
        scope: idempotency::scope(UserId::new(caller), &CREATE, key),
        fingerprint: idempotency::fingerprint(keys, &CREATE, "", &body),
    }
}
