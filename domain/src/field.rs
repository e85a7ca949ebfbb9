//! Fields: the limits of a command's fields, checked once more because `decide` trusts no sender.
//!
//! The edge checked the same limits to answer early; a command that fails here was built by a
//! broken or a hostile node. The pointer is the JSON pointer into the client's request.

use crate::kernel::value::{Millis, Money, RowStamp, is_text};
use crate::outcome::Refusal;

/// `invalid_field` at `pointer`.
pub(crate) fn invalid(pointer: impl Into<String>, code: &str) -> Refusal {
    Refusal::InvalidField { pointer: pointer.into(), code: code.into() }
}

/// Refuses with `code` unless `ok`.
pub(crate) fn require(ok: bool, pointer: &str, code: &str) -> Result<(), Refusal> {
    if ok { Ok(()) } else { Err(invalid(pointer, code)) }
}

/// One line of 1 to `chars_max` characters, without spaces around it. The edge also brings it to
/// NFC; see [`clean_text`](crate::value::clean_text) why rules do not ask for that.
pub(crate) fn text(pointer: &str, text: &str, chars_max: usize) -> Result<(), Refusal> {
    checked(pointer, text, chars_max, false)
}

/// Several lines of 1 to `chars_max` characters: line feeds and tabs are allowed.
pub(crate) fn long_text(pointer: &str, text: &str, chars_max: usize) -> Result<(), Refusal> {
    checked(pointer, text, chars_max, true)
}

/// A text that may be absent.
pub(crate) fn text_if_any(
    pointer: &str,
    value: Option<&String>,
    chars_max: usize,
) -> Result<(), Refusal> {
    value.map_or(Ok(()), |value| text(pointer, value, chars_max))
}

fn checked(pointer: &str, text: &str, chars_max: usize, multiline: bool) -> Result<(), Refusal> {
    let code = if is_text(text, chars_max, multiline) {
        return Ok(());
    } else if text.is_empty() {
        "required"
    } else if text.chars().count() > chars_max {
        "too_long"
    } else {
        "invalid"
    };
    Err(invalid(pointer, code))
}

/// The price of one unit.
pub(crate) fn price(pointer: &str, price: Money) -> Result<(), Refusal> {
    require(price.is_unit_price(), pointer, "out_of_range")
}

/// An instant that rows may carry.
pub(crate) fn instant(pointer: &str, at: Millis) -> Result<(), Refusal> {
    require(at.is_valid(), pointer, "out_of_range")
}

/// `version_mismatch` unless the row is as the editor saw it.
pub(crate) fn version(row: RowStamp, if_version: Option<u64>) -> Result<(), Refusal> {
    let current = row.version;
    if if_version.is_some_and(|seen| seen != current) {
        return Err(Refusal::VersionMismatch { current });
    }
    Ok(())
}
