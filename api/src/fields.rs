//! Limits of request fields, checked early so that one response lists every invalid field.
//! `decide` checks them again.

use firstcome_domain::Millis;
use firstcome_domain::value::{Currency, Money, STOCK_QUANTITY_MAX, clean_text};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::problem::{FieldError, Problem};
use crate::rfc3339;

/// Collects the invalid fields of a request.
#[derive(Default)]
pub(crate) struct Fields {
    errors: Vec<FieldError>,
}

impl Fields {
    /// Records an invalid field.
    pub(crate) fn wrong(&mut self, pointer: impl Into<String>, code: &'static str, detail: &str) {
        let error =
            FieldError { pointer: pointer.into(), code: code.into(), detail: detail.to_owned() };
        self.errors.push(error);
    }

    /// Records a field as invalid unless `right`.
    pub(crate) fn check(&mut self, right: bool, pointer: &str, code: &'static str, detail: &str) {
        if !right {
            self.wrong(pointer, code, detail);
        }
    }

    /// A text, trimmed and checked as rows store it.
    pub(crate) fn text(
        &mut self,
        pointer: impl Into<String>,
        text: &str,
        chars_max: usize,
        multiline: bool,
    ) -> String {
        if let Some(clean) = clean_text(text, chars_max, multiline) {
            return clean;
        }
        let (code, detail) = if text.trim().is_empty() {
            ("required", "must not be empty".to_owned())
        } else if text.trim().chars().count() > chars_max {
            ("too_long", format!("must have at most {chars_max} characters"))
        } else {
            ("invalid", "must not contain control characters".to_owned())
        };
        self.wrong(pointer, code, &detail);
        String::new()
    }

    /// An optional text.
    pub(crate) fn optional_text(
        &mut self,
        pointer: impl Into<String>,
        text: Option<String>,
        chars_max: usize,
        multiline: bool,
    ) -> Option<String> {
        text.map(|text| self.text(pointer, &text, chars_max, multiline))
    }

    /// A time.
    pub(crate) fn instant(&mut self, pointer: &str, text: &str) -> Millis {
        rfc3339::parse(text).unwrap_or_else(|| {
            self.wrong(pointer, "invalid", "must be an RFC 3339 time such as 2026-11-22T01:00:00Z");
            Millis::default()
        })
    }

    /// The price of one unit.
    pub(crate) fn unit_price(&mut self, pointer: &str, price: &MoneyBody) -> Option<Money> {
        let currency = self.currency(pointer, &price.currency);
        if !(1..=Money::UNIT_PRICE_MAX).contains(&price.amount) {
            self.wrong(format!("{pointer}/amount"), "out_of_range", "must be 1 to 1000000000000");
        }
        currency.map(|currency| Money { amount: price.amount, currency })
    }

    /// The total the buyer saw. Any amount is valid: one that is wrong is a changed price.
    pub(crate) fn total(&mut self, pointer: &str, total: &MoneyBody) -> Option<Money> {
        let currency = self.currency(pointer, &total.currency);
        currency.map(|currency| Money { amount: total.amount, currency })
    }

    fn currency(&mut self, pointer: &str, text: &str) -> Option<Currency> {
        let currency = Currency::new(text);
        let pointer = format!("{pointer}/currency");
        self.check(currency.is_some(), &pointer, "invalid", "must be three capital letters");
        currency
    }

    /// The units of a stock command.
    pub(crate) fn units(&mut self, pointer: &str, units: u64, least: u64) {
        self.check(
            (least..=STOCK_QUANTITY_MAX).contains(&units),
            pointer,
            "out_of_range",
            &format!("must be {least} to {STOCK_QUANTITY_MAX} units"),
        );
    }

    /// Nothing if all fields are valid, else one problem that lists the invalid ones.
    pub(crate) fn finish(self) -> Result<(), Problem> {
        if self.errors.is_empty() { Ok(()) } else { Err(Problem::validation(self.errors)) }
    }
}

/// An amount in whole minor units.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Money)]
pub(crate) struct MoneyBody {
    /// Whole minor units.
    #[schema(example = 15000)]
    pub(crate) amount: i64,
    /// Three capital letters of ISO 4217.
    #[schema(example = "KRW", pattern = "^[A-Z]{3}$")]
    pub(crate) currency: String,
}

impl MoneyBody {
    /// As responses show it.
    pub(crate) fn of(amount: i64, currency: Currency) -> Self {
        Self { amount, currency: currency.as_str().to_owned() }
    }
}

/// Distinguishes `null` (remove) from an absent field (keep) in a PATCH.
#[expect(clippy::option_option, reason = "absent, null and a value are three things in a PATCH")]
pub(crate) fn nullable<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}
/// A phone number: 8 to 20 digits, `+` and `-`.
pub(crate) fn phone(pointer: impl Into<String>, phone: &str, fields: &mut Fields) -> String {
    let phone = phone.trim();
    let dialled = |c: char| c.is_ascii_digit() || c == '+' || c == '-';
    if !(8..=20).contains(&phone.len()) || !phone.chars().all(dialled) {
        let detail = "must be 8 to 20 characters: digits, `+` or `-`";
        fields.wrong(pointer, "invalid", detail);
    }
    phone.to_owned()
}
