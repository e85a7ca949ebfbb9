//! Lists, one page at a time.

use serde_json::Value;

/// Path and query of one page of a list.
pub(crate) fn page(
    path: &str,
    limit: u32,
    cursor: Option<&str>,
    filters: &[(&str, &str)],
) -> String {
    let mut path = format!("{path}?limit={limit}");
    let cursor = cursor.map(|cursor| ("cursor", cursor));
    for (name, value) in filters.iter().copied().chain(cursor) {
        path.push_str(&format!("&{name}={}", escape(value)));
    }
    path
}

/// Percent-encodes a query value.
fn escape(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    let one = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(one).collect()
}

/// The rows of a page.
pub(crate) fn rows(list: &Value) -> impl Iterator<Item = &Value> {
    list.get("data").and_then(Value::as_array).into_iter().flatten()
}

/// How to get the next page, if there is one.
pub(crate) fn more(answer: &Value) -> String {
    let cursor = answer.get("next_cursor").and_then(Value::as_str);
    cursor.map(|cursor| format!("next page: --cursor {cursor}\n")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_are_escaped() {
        let path = page("/v1/x", 5, Some("a+b="), &[("q", "two words")]);
        assert_eq!(path, "/v1/x?limit=5&q=two%20words&cursor=a%2Bb%3D");
    }
}
