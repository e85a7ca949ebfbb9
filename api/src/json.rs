//! One JSON value, parsed once: typed for the handler, and hashed for the fingerprint.
//!
//! Only a request with an `Idempotency-Key` needs both. Its body becomes a tree that borrows from
//! the body; the typed reader and the hash then walk the tree instead of the text. A repeated
//! member stays in the tree, so that the typed reader refuses it as it would in the text.

use std::borrow::Cow;
use std::fmt;

use hmac::Mac as _;
use serde::de::value::{Error, MapAccessDeserializer, MapDeserializer, SeqDeserializer};
use serde::de::{Deserialize, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use crate::keys::{Mac, feed};

/// A value of the tree.
pub(crate) enum Json<'de> {
    Null,
    Bool(bool),
    /// From 0.
    Whole(u64),
    /// Below 0.
    Negative(i64),
    /// Has a decimal point or an exponent, or does not fit into 64 bits.
    Fraction(f64),
    Text(Cow<'de, str>),
    List(Vec<Self>),
    /// In the order of the text.
    Object(Vec<(Cow<'de, str>, Self)>),
}

impl Json<'_> {
    /// Feeds the value to a MAC so that white space and the order of members make no difference,
    /// and everything else does.
    pub(crate) fn hash(&self, mac: &mut Mac) {
        match self {
            Self::Null => mac.update(b"n"),
            Self::Bool(true) => mac.update(b"t"),
            Self::Bool(false) => mac.update(b"f"),
            Self::Whole(number) => {
                mac.update(b"u");
                mac.update(&number.to_be_bytes());
            }
            Self::Negative(number) => {
                mac.update(b"i");
                mac.update(&number.to_be_bytes());
            }
            Self::Fraction(number) => {
                mac.update(b"d");
                mac.update(&number.to_bits().to_be_bytes());
            }
            Self::Text(text) => {
                mac.update(b"\"");
                feed(mac, text.as_bytes());
            }
            Self::List(items) => {
                mac.update(b"[");
                for item in items {
                    item.hash(mac);
                }
                mac.update(b"]");
            }
            Self::Object(members) => {
                mac.update(b"{");
                let mut members: Vec<_> = members.iter().collect();
                members.sort_by(|(a, _), (b, _)| a.cmp(b));
                for (name, member) in members {
                    feed(mac, name.as_bytes());
                    member.hash(mac);
                }
                mac.update(b"}");
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tree)
    }
}

struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Json::Whole(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Json::Negative(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Json::Fraction(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Json::Text(Cow::Borrowed(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut object = Vec::new();
        while let Some(Name(name)) = members.next_key()? {
            object.push((name, members.next_value()?));
        }
        Ok(Json::Object(object))
    }
}

/// The name of a member, borrowed unless it has escapes. (`Cow` alone is always owned.)
struct Name<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_str(Tree)? {
            Json::Text(name) => Ok(Self(name)),
            _ => Err(serde::de::Error::custom("a name is a string")),
        }
    }
}

impl<'de> IntoDeserializer<'de, Error> for &'de Json<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

fn members<'de>(
    object: &'de [(Cow<'de, str>, Json<'de>)],
) -> MapDeserializer<'de, impl Iterator<Item = (&'de str, &'de Json<'de>)>, Error> {
    MapDeserializer::new(object.iter().map(|(name, member)| (name.as_ref(), member)))
}

impl<'de> Deserializer<'de> for &'de Json<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Json::Null => visitor.visit_unit(),
            Json::Bool(value) => visitor.visit_bool(*value),
            Json::Whole(value) => visitor.visit_u64(*value),
            Json::Negative(value) => visitor.visit_i64(*value),
            Json::Fraction(value) => visitor.visit_f64(*value),
            Json::Text(text) => visitor.visit_borrowed_str(text),
            Json::List(items) => SeqDeserializer::new(items.iter()).deserialize_any(visitor),
            Json::Object(object) => members(object).deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self {
            Json::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self {
            Json::Text(text) => visitor.visit_enum(text.as_ref().into_deserializer()),
            Json::Object(object) if object.len() == 1 => {
                visitor.visit_enum(MapAccessDeserializer::new(members(object)))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
