//! An entry of `auth.issuers`: parsed, checked, and shown as it was written.

use std::path::PathBuf;

use firstcome_api::{IssuerAlgorithm, IssuerOptions, JwksUrl, KeySource};
use toml::de::{DeTable, DeValue};

use super::keys;
use super::value::{one_of, quote};

/// Every key of an entry.
const KEYS: [&str; 8] = [
    "issuer",
    "audience",
    "algorithms",
    "jwks_file",
    "jwks_url",
    "secret_file",
    "subject_claim",
    "jwks_private",
];
/// Each is looked at for a token of an issuer.
const ISSUERS_MAX: usize = 16;
/// Names longer than this are a mistake.
const TEXT_BYTES_MAX: usize = 255;
/// The issuer of this cluster's own tokens, and a word that stands for none.
const OWN_ISSUERS: [&str; 2] = ["firstcome", "self"];
/// Claims with a meaning of their own.
const CLAIMS: [&str; 6] = ["iss", "aud", "exp", "nbf", "iat", "jti"];

/// What is wrong with an entry, and where.
pub(super) struct Wrong {
    /// Byte offset in the file; `None` for the entry as a whole.
    pub(super) at: Option<usize>,
    pub(super) what: String,
}

impl Wrong {
    fn entry(what: impl Into<String>) -> Self {
        Self { at: None, what: what.into() }
    }
}

/// An entry as it is written, before it is known to make sense.
#[derive(Default)]
struct Entry {
    issuer: Option<String>,
    audience: Option<String>,
    algorithms: Option<Vec<IssuerAlgorithm>>,
    jwks_file: Option<String>,
    jwks_url: Option<JwksUrl>,
    secret_file: Option<String>,
    subject_claim: Option<String>,
    jwks_private: Option<bool>,
}

/// Parses an entry.
pub(super) fn parse(fields: &DeTable<'_>) -> Result<IssuerOptions, Wrong> {
    let mut entry = Entry::default();
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in fields {
        let name = key.get_ref().as_ref();
        entry.put(name, value.get_ref()).map_err(|what| Wrong {
            at: Some(key.span().start),
            what: format!("auth.issuers: {name}: {what}"),
        })?;
    }
    entry.finish().map_err(|what| Wrong::entry(format!("auth.issuers: {what}")))
}

/// What keeps an issuer from standing beside others, if anything does.
pub(super) fn conflict(others: &[IssuerOptions], new: &IssuerOptions) -> Option<String> {
    if others.iter().any(|other| other.issuer == new.issuer) {
        return Some(format!("auth.issuers: two entries have the issuer {:?}", new.issuer));
    }
    (others.len() >= ISSUERS_MAX).then(|| format!("auth.issuers: at most {ISSUERS_MAX} entries"))
}

impl Entry {
    /// Sets one key.
    fn put(&mut self, name: &str, value: &DeValue<'_>) -> Result<(), String> {
        match name {
            "issuer" => self.issuer = Some(name_of_issuer(text(value)?)?),
            "audience" => self.audience = Some(text(value)?.to_owned()),
            "algorithms" => self.algorithms = Some(algorithms(value)?),
            "jwks_file" => self.jwks_file = Some(text(value)?.to_owned()),
            "jwks_url" => self.jwks_url = Some(url(text(value)?)?),
            "secret_file" => self.secret_file = Some(text(value)?.to_owned()),
            "subject_claim" => self.subject_claim = Some(claim(text(value)?)?),
            "jwks_private" => {
                let DeValue::Boolean(flag) = value else {
                    return Err("expected true or false without quotes".to_owned());
                };
                self.jwks_private = Some(*flag);
            }
            _ => return Err(format!("unknown key{}", keys::nearest(name, KEYS.into_iter()))),
        }
        Ok(())
    }

    fn finish(self) -> Result<IssuerOptions, String> {
        let missing = |key: &str, example: &str| format!("{key} is missing, for example {example}");
        let issuer =
            self.issuer.ok_or_else(|| missing("issuer", "issuer = \"https://shop.example\""))?;
        let audience =
            self.audience.ok_or_else(|| missing("audience", "audience = \"firstcome\""))?;
        let algorithms =
            self.algorithms.ok_or_else(|| missing("algorithms", "algorithms = [\"RS256\"]"))?;
        let keys = match (self.jwks_file, self.jwks_url, self.secret_file) {
            (Some(file), None, None) => KeySource::JwksFile(PathBuf::from(file)),
            (None, Some(url), None) => {
                let private = self.jwks_private == Some(true);
                if url.is_private_address() && !private {
                    return Err(format!(
                        "jwks_url: {url} is in a private network; if that is meant, set \
                         jwks_private = true"
                    ));
                }
                KeySource::JwksUrl { url, private }
            }
            (None, None, Some(file)) => KeySource::SecretFile(PathBuf::from(file)),
            _ => return Err("use exactly one of jwks_file, jwks_url and secret_file".to_owned()),
        };
        if self.jwks_private.is_some() && !matches!(keys, KeySource::JwksUrl { .. }) {
            return Err("jwks_private has no effect without jwks_url; remove it".to_owned());
        }
        let is_secret = matches!(keys, KeySource::SecretFile(_));
        if algorithms.contains(&IssuerAlgorithm::Hs256) != is_secret
            || (is_secret && algorithms.len() > 1)
        {
            return Err(
                "algorithms: HS256 goes with secret_file alone, and RS256, ES256 and EdDSA \
                        with jwks_file or jwks_url"
                    .to_owned(),
            );
        }
        let subject_claim = self.subject_claim.unwrap_or_else(|| "sub".to_owned());
        Ok(IssuerOptions { issuer, audience, algorithms, keys, subject_claim })
    }
}

fn text<'v>(value: &'v DeValue<'_>) -> Result<&'v str, String> {
    let text = value.as_str().ok_or("expected a string in quotes")?;
    if (1..=TEXT_BYTES_MAX).contains(&text.len()) {
        Ok(text)
    } else {
        Err(format!("use 1 to {TEXT_BYTES_MAX} bytes"))
    }
}

fn name_of_issuer(text: &str) -> Result<String, String> {
    if OWN_ISSUERS.contains(&text) {
        return Err(format!("{text:?} stands for this cluster itself; use another name"));
    }
    Ok(text.to_owned())
}

fn claim(text: &str) -> Result<String, String> {
    if CLAIMS.contains(&text) {
        return Err(format!("{text:?} has a meaning of its own; use the claim with the user's id"));
    }
    Ok(text.to_owned())
}

fn url(text: &str) -> Result<JwksUrl, String> {
    JwksUrl::parse(text)
        .ok_or_else(|| format!("invalid URL {text:?}: use https://HOST/PATH, without a password"))
}

fn algorithms(value: &DeValue<'_>) -> Result<Vec<IssuerAlgorithm>, String> {
    let words = IssuerAlgorithm::ALL.map(IssuerAlgorithm::as_str);
    let expected = || format!("expected a list of {}", one_of(&words));
    let DeValue::Array(values) = value else { return Err(expected()) };
    let mut found = Vec::new();
    for value in values {
        let word = value.get_ref().as_str().ok_or_else(expected)?;
        let algorithm = IssuerAlgorithm::of(word)
            .ok_or_else(|| format!("unknown algorithm {word:?}: use {}", one_of(&words)))?;
        if found.contains(&algorithm) {
            return Err(format!("{word} appears twice"));
        }
        found.push(algorithm);
    }
    if found.is_empty() { Err(expected()) } else { Ok(found) }
}

/// An entry as written in `cluster.toml`.
pub(super) fn show(issuer: &IssuerOptions) -> String {
    let algorithms: Vec<_> =
        issuer.algorithms.iter().map(|algorithm| quote(algorithm.as_str())).collect();
    let keys = match &issuer.keys {
        KeySource::JwksFile(file) => format!("jwks_file = {}", quote(&file.to_string_lossy())),
        KeySource::JwksUrl { url, private } => {
            format!("jwks_url = {}, jwks_private = {private}", quote(&url.to_string()))
        }
        KeySource::SecretFile(file) => format!("secret_file = {}", quote(&file.to_string_lossy())),
    };
    format!(
        "{{ issuer = {}, audience = {}, algorithms = [{}], {keys}, subject_claim = {} }}",
        quote(&issuer.issuer),
        quote(&issuer.audience),
        algorithms.join(", "),
        quote(&issuer.subject_claim)
    )
}
