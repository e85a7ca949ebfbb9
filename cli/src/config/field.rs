//! One setting as a place for a value: how it is parsed, bounded and shown.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use firstcome_api::{Country, Rate};
use ipnet::IpNet;

use super::value::{
    format_duration, format_rate, format_size, one_of, parse_duration, parse_networks, parse_rate,
    parse_size, quote,
};

/// Where a setting is kept, with its type and its smallest value.
pub(super) enum Field<'a> {
    Text(&'a mut String),
    Word(&'a mut String, &'static [&'static str]),
    Span(&'a mut Duration, Duration),
    Bytes(&'a mut u64, u64),
    Count(&'a mut u64, u64),
    Flag(&'a mut bool),
    Rate(&'a mut Option<Rate>),
    Networks(&'a mut Vec<IpNet>),
    Country(&'a mut Country),
    Parsed(&'a mut dyn Parsed),
}

/// A value that knows its text, and says what is wrong with another one.
pub(super) trait Parsed {
    fn set(&mut self, text: &str) -> Result<(), String>;
    fn text(&self) -> String;
}

impl<T: FromStr<Err: Display> + Display> Parsed for T {
    fn set(&mut self, text: &str) -> Result<(), String> {
        *self = text.parse().map_err(|error: T::Err| error.to_string())?;
        Ok(())
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

/// A value as it was written, before it is parsed for its setting.
pub(super) enum Raw<'a> {
    /// A string of the file.
    Text(&'a str),
    /// An integer of the file.
    Integer(&'a str),
    /// A boolean of the file.
    Boolean(bool),
    /// Text from the environment or the command line.
    Bare(&'a str),
}

impl Field<'_> {
    /// Sets a new value, or says what is wrong with it.
    pub(super) fn put(self, raw: &Raw<'_>) -> Result<(), String> {
        match (self, raw) {
            (Self::Text(place), Raw::Text(text) | Raw::Bare(text)) => {
                (*text).clone_into(place);
            }
            (Self::Word(place, words), Raw::Text(text) | Raw::Bare(text)) => {
                if !words.contains(text) {
                    return Err(format!("invalid value {text:?}: use {}", one_of(words)));
                }
                (*text).clone_into(place);
            }
            (Self::Span(place, least), Raw::Text(text) | Raw::Bare(text)) => {
                let span = parse_duration(text)?;
                if span < least {
                    return Err(format!(
                        "{text} is too small: the minimum is {}",
                        format_duration(least)
                    ));
                }
                *place = span;
            }
            (Self::Bytes(place, least), Raw::Text(text) | Raw::Bare(text)) => {
                let size = parse_size(text)?;
                if size < least {
                    return Err(format!(
                        "{text} is too small: the minimum is {}",
                        format_size(least)
                    ));
                }
                *place = size;
            }
            (Self::Count(place, least), Raw::Integer(text) | Raw::Bare(text)) => {
                let number = text.replace('_', "").parse::<u64>();
                let number = number
                    .map_err(|_| format!("invalid number {text}: use a whole number, 0 or more"))?;
                if number < least {
                    return Err(format!("{text} is too small: the minimum is {least}"));
                }
                *place = number;
            }
            (Self::Flag(place), Raw::Boolean(flag)) => *place = *flag,
            (Self::Flag(place), Raw::Bare(text)) => {
                *place = text
                    .parse()
                    .map_err(|_| format!("invalid value {text:?}: use true or false"))?;
            }
            (Self::Rate(place), Raw::Text(text) | Raw::Bare(text)) => *place = parse_rate(text)?,
            (Self::Networks(place), Raw::Text(text) | Raw::Bare(text)) => {
                *place = parse_networks(text)?;
            }
            (Self::Country(place), Raw::Text(text) | Raw::Bare(text)) => {
                *place = text.parse().map_err(|error| format!("{text:?} is {error}"))?;
            }
            (Self::Parsed(place), Raw::Text(text) | Raw::Bare(text)) => place.set(text)?,
            (field, _) => return Err(format!("expected {}", field.shape())),
        }
        Ok(())
    }

    /// The value as written in `cluster.toml`.
    pub(super) fn show(&self) -> String {
        match self {
            Self::Text(text) | Self::Word(text, _) => quote(text),
            Self::Span(span, _) => format!("\"{}\"", format_duration(**span)),
            Self::Bytes(size, _) => format!("\"{}\"", format_size(**size)),
            Self::Count(number, _) => number.to_string(),
            Self::Flag(flag) => flag.to_string(),
            Self::Rate(rate) => quote(&format_rate(**rate)),
            Self::Networks(networks) => {
                let networks: Vec<String> = networks.iter().map(IpNet::to_string).collect();
                quote(&networks.join(", "))
            }
            Self::Country(country) => quote(country.code()),
            Self::Parsed(value) => quote(&value.text()),
        }
    }

    const fn shape(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Word(..) | Self::Parsed(_) => "a string in quotes",
            Self::Span(..) => "a duration in quotes, such as \"100ms\"",
            Self::Bytes(..) => "a size in quotes, such as \"16MiB\"",
            Self::Count(..) => "a whole number without quotes",
            Self::Flag(_) => "true or false without quotes",
            Self::Rate(_) => "a rate in quotes, such as \"5/10s\", or \"off\"",
            Self::Country(_) => "a country in quotes, such as \"KR\"",
            Self::Networks(_) => "networks in quotes, such as \"10.0.0.0/8, 192.0.2.7\"",
        }
    }
}
