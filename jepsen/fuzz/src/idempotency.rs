//! The `Idempotency-Key` header, and what makes two requests the same.
//!
//! Header values by line; after the first zero byte, a body.

use firstcome_api::fuzz::{idempotency_key, receipt_key};
use serde_json::Value;

use crate::Reached;

const KEY_BYTES_MAX: usize = 255;

/// Headers and a body: exactly one key of 1 to 255 visible characters is taken, as it is; the
/// spelling of a body does not matter, its content does.
pub fn idempotency_header(data: &[u8]) -> Reached {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let header = parts.next().unwrap_or_default();
    let body = parts.next().unwrap_or_default();
    let values: Vec<&[u8]> =
        if header.is_empty() { Vec::new() } else { header.split(|byte| *byte == b'\n').collect() };
    let Some(read) = idempotency_key(&values) else { return Reached::Refused };
    let expected = match values.as_slice() {
        [] => Err("idempotency_key_required"),
        [one] if is_key(one) => Ok(Some(String::from_utf8_lossy(one).into_owned())),
        _ => Err("idempotency_key_invalid"),
    };
    assert_eq!(read, expected);
    let Ok(Some(key)) = read else { return Reached::Refused };
    check_body(&key, body);
    Reached::Accepted
}

fn is_key(value: &[u8]) -> bool {
    (1..=KEY_BYTES_MAX).contains(&value.len())
        && value.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

fn check_body(key: &str, body: &[u8]) {
    let made = receipt_key(7, key, body);
    assert_ne!(receipt_key(8, key, body).scope, made.scope, "another's key");
    assert_ne!(receipt_key(7, &format!("{key}x"), body).scope, made.scope);
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return };
    let short = serde_json::to_vec(&value).expect("a value is JSON");
    let long = serde_json::to_vec_pretty(&value).expect("a value is JSON");
    let made_of = |body: &[u8]| receipt_key(7, key, body);
    assert_eq!(made_of(&short), made_of(&long), "spaces matter");
    let other = serde_json::json!([value, 1]).to_string();
    assert_ne!(made_of(other.as_bytes()).fingerprint, made.fingerprint, "content does not matter");
}
