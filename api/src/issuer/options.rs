//! What `auth.issuers` in `cluster.toml` says, once it is known to make sense.

use std::fmt;
use std::path::PathBuf;

use http::Uri;
use jsonwebtoken::Algorithm;

/// An issuer of tokens for the shop's own users.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IssuerOptions {
    /// The `iss` of its tokens.
    pub issuer: String,
    /// The `aud` of its tokens.
    pub audience: String,
    /// The algorithms it signs with; only HS256 if its key is a secret, never HS256 otherwise.
    pub algorithms: Vec<IssuerAlgorithm>,
    /// Where its keys are.
    pub keys: KeySource,
    /// The claim that names the user, usually `sub`.
    pub subject_claim: String,
}

/// Where the keys of an issuer are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum KeySource {
    /// A file with a JSON Web Key Set.
    JwksFile(PathBuf),
    /// A JSON Web Key Set behind HTTPS.
    JwksUrl {
        /// Where.
        url: JwksUrl,
        /// Whether its host may be in a private network.
        private: bool,
    },
    /// A file with a shared secret in base64.
    SecretFile(PathBuf),
}

/// An algorithm that signs tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IssuerAlgorithm {
    /// RSA with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
    /// HMAC with SHA-256.
    Hs256,
}

impl IssuerAlgorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rs256, Self::Es256, Self::EdDsa, Self::Hs256];

    /// The `alg` of a token.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
        }
    }

    /// The algorithm with this `alg`.
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == word)
    }

    pub(super) const fn verifier(self) -> Algorithm {
        match self {
            Self::Rs256 => Algorithm::RS256,
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
            Self::Hs256 => Algorithm::HS256,
        }
    }
}

/// An `https` URL, taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JwksUrl {
    text: String,
    /// Without the brackets of an IPv6 address.
    pub(super) host: String,
    pub(super) port: u16,
    /// Host and port, as the `Host` header carries them.
    pub(super) authority: String,
    pub(super) path: String,
}

impl JwksUrl {
    /// Parses a URL; `None` unless it is `https://HOST[:PORT]/PATH` without a password.
    pub fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
        let host = authority.host();
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let after_host = authority.as_str().get(authority.host().len()..)?;
        let port = match after_host.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port > 0)?,
            None => 443,
        };
        (uri.scheme_str() == Some("https") && !host.is_empty()).then(|| Self {
            text: text.to_owned(),
            host: host.to_owned(),
            port,
            authority: authority.as_str().to_owned(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }

    /// Whether the host is an address of a private network. A name can only be judged when it is
    /// resolved.
    pub fn is_private_address(&self) -> bool {
        self.host.parse().is_ok_and(|address| !super::address::is_public(address))
    }
}

impl fmt::Display for JwksUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_urls_without_a_password_are_taken() {
        let url = JwksUrl::parse("https://id.example.com/keys?v=1").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("id.example.com", 443));
        assert_eq!((url.authority.as_str(), url.path.as_str()), ("id.example.com", "/keys?v=1"));
        let url = JwksUrl::parse("https://[fd00::1]:8443").unwrap();
        assert_eq!((url.host.as_str(), url.port, url.path.as_str()), ("fd00::1", 8443, "/"));
        for bad in [
            "",
            "http://id.example.com/keys",
            "ftp://id.example.com/keys",
            "id.example.com/keys",
            "/keys",
            "https://",
            "https:///keys",
            "https://:443/keys",
            "https://user:secret@id.example.com/keys",
            "https://id.example.com:99999/keys",
            "https://id.example.com:0/keys",
            "https://id.example.com:x/keys",
            "https://id example.com/keys",
        ] {
            assert_eq!(JwksUrl::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses_in_a_url_are_judged_and_names_are_not() {
        let private = |url: &str| JwksUrl::parse(url).unwrap().is_private_address();
        assert!(private("https://10.0.0.1/keys"));
        assert!(private("https://[::1]/keys"));
        assert!(!private("https://8.8.8.8/keys"));
        assert!(!private("https://localhost/keys"));
    }
}
