//! The register model: products with a price and a version. A change must name the current version.

use std::collections::BTreeMap;

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;

use super::Specification;

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// Create a product.
    Create {
        /// Its first price.
        price: u64,
    },
    /// Read price and version.
    Read,
    /// Change the price, given the version that was seen.
    Write {
        /// The version that was seen.
        version: u64,
        /// The new price.
        price: u64,
    },
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The new product.
    Created {
        /// Its id.
        product: String,
        /// Its first version.
        version: u64,
    },
    /// Price and version, as read or as written.
    Value {
        /// The price.
        price: u64,
        /// Its version.
        version: u64,
    },
    /// A rule said no.
    Refused(String),
}

/// All products at some point of the log: price and version.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Model {
    products: BTreeMap<String, (u64, u64)>,
}

impl Model {
    /// Price and version of a product.
    pub fn value(&self, product: &str) -> Option<(u64, u64)> {
        self.products.get(product).copied()
    }

    /// Every product with its price and version.
    pub fn products(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        self.products.iter().map(|(id, (price, version))| (id.as_str(), *price, *version))
    }
}

#[derive(Deserialize)]
struct Shown {
    price: u64,
    version: u64,
}

impl Specification for Model {
    type Call = Call;
    type Answer = Answer;

    fn call(f: &str, asked: &Value) -> anyhow::Result<Option<Call>> {
        let number = |name: &str| asked.get(name).and_then(Value::as_u64);
        Ok(Some(match f {
            "product" => match number("price") {
                Some(price) => Call::Create { price },
                None => return Ok(None),
            },
            "read" => Call::Read,
            "price" => Call::Write {
                version: number("version").context("a price without version")?,
                price: number("price").context("a price without price")?,
            },
            _ => return Ok(None),
        }))
    }

    fn answer(f: &str, given: &Value) -> anyhow::Result<Answer> {
        let text = |name: &str| given.get(name).and_then(Value::as_str).map(str::to_owned);
        if let Some(code) = text("refused") {
            return Ok(Answer::Refused(code));
        }
        if f == "product" {
            let version = given.get("version").and_then(Value::as_u64).context("no version")?;
            return Ok(Answer::Created { product: text("product").context("no id")?, version });
        }
        let Shown { price, version } = serde_json::from_value(given.clone())?;
        Ok(Answer::Value { price, version })
    }

    fn is_read(call: &Call) -> bool {
        *call == Call::Read
    }

    fn predict(&self, pool: &str, call: &Call, given: &Answer) -> Answer {
        self.clone().step(pool, None, call, given)
    }

    fn step(&mut self, pool: &str, _: Option<&str>, call: &Call, given: &Answer) -> Answer {
        let refused = |code: &str| Answer::Refused(code.into());
        match *call {
            Call::Create { price } => match given {
                Answer::Created { product, .. } if !self.products.contains_key(product) => {
                    self.products.insert(product.clone(), (price, 1));
                    Answer::Created { product: product.clone(), version: 1 }
                }
                _ => refused("a fresh product"),
            },
            Call::Read => match self.products.get(pool) {
                Some(&(price, version)) => Answer::Value { price, version },
                None => refused("not_found"),
            },
            Call::Write { version, price } => match self.products.get_mut(pool) {
                None => refused("not_found"),
                Some(held) if held.1 != version => refused("version_mismatch"),
                Some(held) => {
                    *held = (price, version + 1);
                    Answer::Value { price, version: version + 1 }
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_names_the_version_changes_the_price() {
        let mut model = Model::default();
        let created = Answer::Created { product: "p".into(), version: 1 };
        assert_eq!(model.step("", None, &Call::Create { price: 5 }, &created), created);
        let write = Call::Write { version: 1, price: 6 };
        let second = Answer::Value { price: 6, version: 2 };
        assert_eq!(model.step("p", None, &write, &second), second);
        let refused = Answer::Refused("version_mismatch".into());
        assert_eq!(model.step("p", None, &write, &refused), refused);
        assert_eq!(model.predict("p", &Call::Read, &refused), second);
        assert!(model.after("p", &Call::Read, &created).is_none());
    }
}
