//! Query parameters: only those that the route declares, and each at most once.

use std::str::FromStr;

use firstcome_domain::Millis;
use firstcome_storage::query::Direction;

use crate::options::Consistency;
use crate::problem::{Code, Problem};
use crate::rfc3339;
use crate::spec::Spec;

/// The query parameters of one request.
#[derive(Default)]
pub(crate) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads a query string. A parameter that the route does not declare is refused.
    pub(crate) fn parse(text: Option<&str>, route: &Spec) -> Result<Self, Problem> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(Self::default()) };
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            if !route.parameters().any(|parameter| parameter.name == name) {
                let known: Vec<&str> = route.parameters().map(|parameter| parameter.name).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Problem::new(Code::UnknownParameter)
                    .detail(format!("This route accepts these query parameters: {known}."))
                    .member("parameter", name.into_owned()));
            }
            if pairs.iter().any(|(seen, _)| *seen == name) {
                return Err(wrong(&name, "duplicate_field", "this parameter is sent twice"));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self { pairs })
    }

    /// The text of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter, parsed; `wanted` completes the sentence "must be ...".
    pub(crate) fn typed<T: FromStr>(&self, name: &str, wanted: &str) -> Result<Option<T>, Problem> {
        let typed = self.get(name).map(|text| {
            text.parse().map_err(|_| wrong(name, "invalid", &format!("must be {wanted}")))
        });
        typed.transpose()
    }

    /// A parameter that must be one of some words.
    pub(crate) fn word<T>(&self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Problem>
    where
        T: Copy,
    {
        let Some(text) = self.get(name) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        found.map(Some).ok_or_else(|| {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            wrong(name, "invalid", &format!("must be one of {}", words.join(", ")))
        })
    }

    /// Page size.
    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        let limit = self.typed::<usize>("limit", "a number from 1 to 100")?.unwrap_or(20);
        if (1..=100).contains(&limit) {
            Ok(limit)
        } else {
            Err(wrong("limit", "out_of_range", "must be a number from 1 to 100"))
        }
    }

    /// The direction of the list. Only sortable routes let `order` through [`Query::parse`].
    pub(crate) fn direction(&self) -> Result<Direction, Problem> {
        let words = [("asc", Direction::Up), ("desc", Direction::Down)];
        Ok(self.word("order", &words)?.unwrap_or_default())
    }

    /// An instant.
    pub(crate) fn instant(&self, name: &str) -> Result<Option<Millis>, Problem> {
        let parsed = self.get(name).map(|text| {
            let wanted = "must be an RFC 3339 instant, such as 2026-11-22T01:00:00.000Z";
            rfc3339::parse(text).ok_or_else(|| wrong(name, "invalid", wanted))
        });
        parsed.transpose()
    }

    /// The consistency of the read, if the request says.
    pub(crate) fn consistency(&self) -> Result<Option<Consistency>, Problem> {
        let words = [("linearizable", Consistency::Linearizable), ("local", Consistency::Local)];
        self.word("consistency", &words)
    }
}

/// A parameter with an invalid value.
pub(crate) fn wrong(name: &str, code: &'static str, detail: &str) -> Problem {
    Problem::field(format!("/query/{name}"), code, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_asc_or_desc_on_sortable_lists_only() {
        let sortable = Spec { sortable: true, ..Spec::GET };
        let read = |text| Query::parse(Some(text), &sortable).and_then(|query| query.direction());
        assert_eq!(read("").unwrap(), Direction::Down);
        assert_eq!(read("order=desc").unwrap(), Direction::Down);
        assert_eq!(read("order=asc").unwrap(), Direction::Up);
        for bad in ["order=", "order=up", "order=ASC", "order=asc&order=asc"] {
            assert_eq!(read(bad).unwrap_err().code(), Code::ValidationFailed, "{bad}");
        }
        let refused = Query::parse(Some("order=asc"), &Spec::GET).err().unwrap();
        assert_eq!(refused.code(), Code::UnknownParameter);
    }
}
