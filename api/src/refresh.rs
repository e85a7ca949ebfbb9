//! Refresh tokens: `rft_SESSION.GENERATION.MAC`.
//!
//! A token is not stored anywhere: it is derived from session and generation, so that every node
//! returns the same successor of a token. This module checks the MAC; `decide` checks that the
//! session is open and the generation is current.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac as _;

use crate::keys::{Mac, feed};

const PREFIX: &str = "rft_";
/// What the id of a session begins with; a token has the rest of it.
const SESSION_PREFIX: &str = "ses_";
const SESSION_CHARS: usize = 26;

/// The refresh token of one generation of a session. `session` is its id, with or without `ses_`.
pub(crate) fn refresh_token(mac: Mac, session: &str, generation: u32) -> String {
    let session = session.strip_prefix(SESSION_PREFIX).unwrap_or(session);
    let tag = fed(mac, session, generation).finalize().into_bytes();
    format!("{PREFIX}{session}.{generation}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn fed(mut mac: Mac, session: &str, generation: u32) -> Mac {
    for part in [b"refresh token", session.as_bytes(), &generation.to_be_bytes()] {
        feed(&mut mac, part);
    }
    mac
}

/// A token that has the right shape; [`RefreshToken::verify`] says whether it is genuine.
pub(crate) struct RefreshToken<'t> {
    session: &'t str,
    /// How often the session was refreshed before.
    pub(crate) generation: u32,
    tag: [u8; 32],
}

impl fmt::Debug for RefreshToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl<'t> RefreshToken<'t> {
    /// Takes a token apart. There is one spelling of each.
    pub(crate) fn parse(text: &'t str) -> Option<Self> {
        let mut parts = text.strip_prefix(PREFIX)?.split('.');
        let (session, generation, tag) = (parts.next()?, parts.next()?, parts.next()?);
        let is_id = session.len() == SESSION_CHARS
            && session.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
        if !is_id || parts.next().is_some() {
            return None;
        }
        let number: u32 = generation.parse().ok()?;
        // No sign and no zeros in front.
        if number.to_string() != generation {
            return None;
        }
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?.try_into().ok()?;
        Some(Self { session, generation: number, tag })
    }

    /// The id of the session, with its `ses_`.
    pub(crate) fn session(&self) -> String {
        format!("{SESSION_PREFIX}{}", self.session)
    }

    /// Whether this key made the token. Takes the same time wherever they differ.
    pub(crate) fn verify(&self, mac: Mac) -> bool {
        fed(mac, self.session, self.generation).verify_slice(&self.tag).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::mac;

    fn is_genuine(key: u8, token: &str) -> bool {
        RefreshToken::parse(token).is_some_and(|token| token.verify(mac(&[key; 32])))
    }

    const SESSION: &str = "ses_01JDZ3M5QK7V8XABCDEFGHJKMN";

    #[test]
    fn a_token_names_its_session_and_generation() {
        let token = refresh_token(mac(&[1; 32]), SESSION, 7);
        assert!(token.starts_with("rft_01JDZ3M5QK7V8XABCDEFGHJKMN.7."), "{token}");
        assert_eq!(token, refresh_token(mac(&[1; 32]), &SESSION[4..], 7));
        let parsed = RefreshToken::parse(&token).unwrap();
        assert_eq!((parsed.session().as_str(), parsed.generation), (SESSION, 7));
        assert!(parsed.verify(mac(&[1; 32])));
        assert_eq!(format!("{parsed:?}"), "[redacted]");
    }

    #[test]
    fn another_spelling_is_no_token() {
        let token = refresh_token(mac(&[1; 32]), SESSION, 7);
        let (head, tag) = token.rsplit_once('.').unwrap();
        let (session, _) = head.rsplit_once('.').unwrap();
        let last = tag.chars().last().unwrap();
        // The last character has four bits of the tag, and two that must be zero.
        let sloppy = char::from(u8::try_from(last).unwrap() + 1);
        for other in [
            String::new(),
            "rft_..".to_owned(),
            format!(" {token}"),
            format!("{token}\n"),
            format!("{token}="),
            format!("{token}."),
            format!("{token}.x"),
            token.replacen("rft_", "RFT_", 1),
            token.replacen("rft_", "ses_", 1),
            token.replacen("01JD", "01jd", 1),
            token.replacen("01JD", "01J", 1),
            format!("{session}.07.{tag}"),
            format!("{session}.+7.{tag}"),
            format!("{session}.-7.{tag}"),
            format!("{session}.7 .{tag}"),
            format!("{session}.0x7.{tag}"),
            format!("{session}.4294967303.{tag}"),
            format!("{session}..{tag}"),
            format!("{head}.{}{sloppy}", &tag[..tag.len() - 1]),
            format!("{head}.{}", &tag[..40]),
            format!("{head}.{tag}AAAA"),
        ] {
            assert!(RefreshToken::parse(&other).is_none(), "{other:?}");
        }
    }

    proptest! {
        #[test]
        fn only_the_key_session_and_generation_it_was_made_for_verify(
            session in "[0-7][0-9A-HJKMNP-TV-Z]{25}",
            other_session in "[0-7][0-9A-HJKMNP-TV-Z]{25}",
            generation: u32,
            other_generation: u32,
            at: prop::sample::Index,
            replacement in "[ -~]",
        ) {
            let token = refresh_token(mac(&[1; 32]), &session, generation);
            prop_assert!(is_genuine(1, &token));
            prop_assert!(!is_genuine(2, &token), "foreign");
            let at = at.index(token.len());
            prop_assert!(!is_genuine(1, &token[..at]), "truncated");
            let mut changed = token.clone();
            changed.replace_range(at..=at, &replacement);
            prop_assert_eq!(is_genuine(1, &changed), changed == token);
            let tag = token.rsplit_once('.').unwrap().1;
            let moved = format!("rft_{session}.{other_generation}.{tag}");
            prop_assert_eq!(is_genuine(1, &moved), other_generation == generation);
            let moved = format!("rft_{other_session}.{generation}.{tag}");
            prop_assert_eq!(is_genuine(1, &moved), other_session == session);
        }

        #[test]
        fn any_text_is_parsed_or_refused(text in "(rft_)?\\PC{0,90}") {
            prop_assert!(!is_genuine(1, &text));
        }
    }
}
