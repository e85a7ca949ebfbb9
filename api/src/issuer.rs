//! A shop's own users: tokens of the issuers that `auth.issuers` in `cluster.toml` lists.
//!
//! Such a token makes its bearer a customer, never staff, whatever it claims. Its user id is a hash
//! of issuer and subject, the same on every node, without a row. `docs/tokens.md` says what a token
//! must contain.
//!
//! The keys are in memory, parsed. `upkeep` replaces them in the background when their file changes
//! or their URL has others; a request never waits for that, and keys that cannot be replaced stay
//! in use.
//!
//! - `options`: what the settings say; `claims`: what a token must say
//! - `keyring`: the keys of an issuer; `address`, `fetch`, `upkeep`: how they get here
//!
//! Not here: the cluster's own tokens (`token`), and who may do what (`access`).

mod address;
mod claims;
mod fetch;
#[cfg(test)]
mod fixture;
mod keyring;
mod options;
mod upkeep;

use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use firstcome_domain::UserId;
use jsonwebtoken::crypto;
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;
use uuid::Builder;

use self::claims::{Claims, Header, SUBJECT_BYTES_MAX, part};
use self::fetch::HttpsClient;
use self::keyring::{JWKS_BYTES_MAX, NoKey};
use crate::keys::{KeyError, read_secret_file};

pub(crate) use self::claims::Refusal;
pub(crate) use self::keyring::KeyRing;
pub use self::options::{IssuerAlgorithm, IssuerOptions, JwksUrl, KeySource};

/// Longest token of an issuer. Some carry long lists of groups.
const TOKEN_BYTES_MAX: usize = 8192;
/// What the hash of a user id begins with.
const USER_ID_LABEL: &[u8] = b"firstcome.external.v1";

/// Why the keys of an issuer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// The key set cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The secret cannot be read, or others can read it as well.
    #[error(transparent)]
    Secret(#[from] KeyError),
    /// The file holds no usable keys.
    #[error("{path}: {reason}")]
    Keys {
        /// Which file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// There are no certificate authorities to check a server against.
    #[error(
        "no certificate authorities found, so no jwks_url can be fetched: install the package \
         ca-certificates, or set SSL_CERT_FILE"
    )]
    NoAuthorities,
}

/// The issuers of a node, with their keys.
#[derive(Default)]
pub struct Issuers {
    issuers: Vec<Arc<Issuer>>,
    /// There if a key set has a URL.
    client: Option<HttpsClient>,
}

/// The issuer of users whom a shop's own server names, where none is configured.
const OWN_ISSUER: &str = "self";

/// A user of a shop's own issuer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct External {
    /// Follows from issuer and subject.
    pub(crate) id: UserId,
    /// When the token was made, in seconds since 1970.
    pub(crate) issued_at: u64,
}

/// One issuer and its present keys.
struct Issuer {
    options: IssuerOptions,
    ring: RwLock<Arc<KeyRing>>,
    /// Told when a token names a key that is not there.
    unknown_key: Notify,
}

impl fmt::Debug for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.issuers.iter().map(|issuer| issuer.options.issuer.as_str());
        f.debug_list().entries(names).finish()
    }
}

impl Issuers {
    /// Reads the key files. Key sets with a URL are empty until [`Self::keep_current`] has them.
    pub fn load(options: &[IssuerOptions]) -> Result<Self, IssuerError> {
        let has_url = |options: &IssuerOptions| matches!(options.keys, KeySource::JwksUrl { .. });
        let client = options.iter().any(has_url).then(HttpsClient::new).transpose()?;
        let mut issuers = Vec::new();
        for options in options {
            let ring = match &options.keys {
                KeySource::JwksUrl { .. } => KeyRing::default(),
                KeySource::JwksFile(path) | KeySource::SecretFile(path) => {
                    read_keys(options, path)?
                }
            };
            issuers.push(Arc::new(Issuer::new(options.clone(), ring)));
        }
        Ok(Self { issuers, client })
    }

    /// Keeps the keys current in the background, until the runtime ends. Fetched key sets are kept
    /// in `data_dir`, and those of an earlier run are used at once.
    pub fn keep_current(&self, data_dir: &Path) {
        for issuer in &self.issuers {
            upkeep::start(issuer, self.client.as_ref(), data_dir);
        }
    }

    /// Whether there are none.
    pub(crate) const fn is_empty(&self) -> bool {
        self.issuers.is_empty()
    }

    /// Verifies a token of one of the issuers, at `now` in seconds since 1970.
    pub(crate) fn verify(&self, token: &str, now: u64) -> Result<External, Refusal> {
        const SHAPE: Refusal = Refusal::Invalid("This is not a JSON Web Token.");
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::Invalid("The token must have at most 8192 bytes."));
        }
        let (message, signature) = token.rsplit_once('.').ok_or(SHAPE)?;
        let (header, claims) = message.split_once('.').ok_or(SHAPE)?;
        let header: Header = part(header).ok_or(SHAPE)?;
        header.check()?;
        let claims = Claims(part(claims).ok_or(SHAPE)?);
        let issuer = claims.issuer().and_then(|name| self.named(name));
        let issuer = issuer.ok_or(Refusal::Invalid("The iss of the token is not configured."))?;
        issuer.check_signature(&header, message, signature)?;
        let (subject, issued_at) = claims.check(&issuer.options, now)?;
        Ok(External { id: user_id(&issuer.options.issuer, subject), issued_at })
    }

    /// The id of a shop's user by its subject. The error is the wrong field and a sentence.
    pub(crate) fn customer(
        &self,
        issuer: Option<&str>,
        subject: &str,
    ) -> Result<UserId, (&'static str, &'static str)> {
        if !(1..=SUBJECT_BYTES_MAX).contains(&subject.len()) {
            return Err(("external_subject", "must have 1 to 255 bytes"));
        }
        let issuer = match (issuer, self.issuers.as_slice()) {
            (Some(OWN_ISSUER) | None, []) => OWN_ISSUER,
            (None, [one]) => one.options.issuer.as_str(),
            (None, _) => return Err(("issuer", "several are configured: name one of them")),
            (Some(name), _) => match self.named(name) {
                Some(issuer) => issuer.options.issuer.as_str(),
                None => return Err(("issuer", "is not one of auth.issuers")),
            },
        };
        Ok(user_id(issuer, subject))
    }

    fn named(&self, name: &str) -> Option<&Issuer> {
        self.issuers.iter().find(|issuer| issuer.options.issuer == name).map(Arc::as_ref)
    }
}

impl Issuer {
    fn new(options: IssuerOptions, ring: KeyRing) -> Self {
        Self { options, ring: RwLock::new(Arc::new(ring)), unknown_key: Notify::new() }
    }

    /// The present keys.
    fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.ring.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Uses other keys from now on.
    fn replace(&self, ring: KeyRing) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }

    fn check_signature(
        &self,
        header: &Header,
        message: &str,
        signature: &str,
    ) -> Result<(), Refusal> {
        let algorithm = IssuerAlgorithm::of(&header.alg);
        let algorithm = algorithm.filter(|found| self.options.algorithms.contains(found)).ok_or(
            Refusal::Invalid("The alg of the token is not one that its issuer is configured with."),
        )?;
        let ring = self.ring();
        let key = ring.find(algorithm, header.kid.as_deref()).map_err(|missing| match missing {
            NoKey::Unnamed => Refusal::Invalid("The token needs a kid: its issuer has many keys."),
            NoKey::Unknown => {
                self.unknown_key.notify_one();
                Refusal::Invalid("The key of the token is not known yet.")
            }
        })?;
        let verified =
            crypto::verify(signature, message.as_bytes(), &key.decoding, algorithm.verifier());
        if verified.unwrap_or(false) {
            Ok(())
        } else {
            Err(Refusal::Invalid("The signature of the token does not fit its key."))
        }
    }
}

/// The id of a shop's user: SHA-256 over label, issuer and subject, each of the two after its
/// length in 8 bytes, big-endian; the first 16 bytes, with version 8 and variant of a UUID.
fn user_id(issuer: &str, subject: &str) -> UserId {
    let mut hash = Sha256::new_with_prefix(USER_ID_LABEL);
    for part in [issuer, subject] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let mut id = [0; 16];
    for (byte, hashed) in id.iter_mut().zip(hash.finalize()) {
        *byte = hashed;
    }
    UserId::new(Builder::from_custom_bytes(id).into_uuid().as_u128())
}

/// Reads the keys of an issuer from their file.
fn read_keys(options: &IssuerOptions, path: &Path) -> Result<KeyRing, IssuerError> {
    let ring = if matches!(options.keys, KeySource::SecretFile(_)) {
        KeyRing::parse_secret(&read_secret_file(path)?)
    } else {
        let bytes = read_key_set(path)
            .map_err(|source| IssuerError::Io { path: path.to_owned(), source })?;
        KeyRing::parse_jwks(&bytes, &options.algorithms)
    };
    ring.map_err(|error| IssuerError::Keys { path: path.to_owned(), reason: error.to_string() })
}

/// Reads no more of a file than shows that it is too large.
fn read_key_set(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::try_from(JWKS_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
