//! The master key that all nodes share, and the keys derived from it.
//!
//! The key file has one line per version: `version:base64` of 32 bytes. The newest version signs
//! and seals, and every version verifies and opens, so a new line can be added node by node. Each
//! purpose has its own key, derived by HKDF-SHA256 with a label, so that what one key signs never
//! verifies under another. Keys are never printed, logged or replicated.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use rand::TryRngCore as _;
use sha2::Sha256;

/// The `typ` of access tokens.
pub(crate) const TOKEN_TYPE: &str = "at+jwt";
/// The only algorithm that signs access tokens.
pub(crate) const TOKEN_ALGORITHM: Algorithm = Algorithm::HS256;

/// HMAC-SHA256. Keyed once, then cloned for each use.
pub(crate) type Mac = Hmac<Sha256>;

/// Why there is no usable master key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Other users of the machine could read the key.
    #[error("{path} can be read by other users (mode {mode:o}); run: chmod 600 {path}")]
    ReadableByOthers {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A line is not `version:base64`.
    #[error(
        "line {line} of the master key is not `version:base64` of 32 bytes; \
         make a key with: firstcome keys init FILE"
    )]
    Line {
        /// Counted from 1.
        line: usize,
    },
    /// Two lines have the same version.
    #[error("version {version} appears twice in the master key; each version needs one line")]
    Repeated {
        /// The version.
        version: u32,
    },
    /// No line holds a key.
    #[error("the master key is empty; make one with: firstcome keys init FILE")]
    Empty,
    /// The operating system provided no random bytes.
    #[error("the operating system provided no random bytes")]
    Random,
    /// This build cannot verify what it signs.
    #[error("this build cannot sign and verify tokens")]
    Probe,
}

/// The 32-byte keys of all versions.
#[derive(Clone)]
pub struct MasterKey {
    versions: BTreeMap<u32, [u8; 32]>,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey(versions {:?})", self.versions.keys().collect::<Vec<_>>())
    }
}

impl MasterKey {
    /// Reads lines of `version:base64`. Empty lines and lines that begin with `#` are skipped.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut versions = BTreeMap::new();
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (version, key) = parse_line(line).ok_or(KeyError::Line { line: at + 1 })?;
            if versions.insert(version, key).is_some() {
                return Err(KeyError::Repeated { version });
            }
        }
        if versions.is_empty() { Err(KeyError::Empty) } else { Ok(Self { versions }) }
    }

    /// Reads a key file. Only its owner may have access to it.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        Self::parse(&read_secret_file(path)?)
    }

    /// Generates a new key as version 1.
    pub fn generate() -> Result<Self, KeyError> {
        let mut key = [0; 32];
        rand::rngs::OsRng.try_fill_bytes(&mut key).map_err(|_| KeyError::Random)?;
        Ok(Self { versions: BTreeMap::from([(1, key)]) })
    }

    /// The text of a key file, as [`MasterKey::parse`] reads it.
    pub fn to_file_text(&self) -> String {
        let mut text = String::from(
            "# Master key of firstcome: version:base64. The newest version signs, all verify.\n",
        );
        for (version, key) in &self.versions {
            text.push_str(&version.to_string());
            text.push(':');
            STANDARD.encode_string(key, &mut text);
            text.push('\n');
        }
        text
    }
}

/// Reads a file that only its owner may have access to.
pub(crate) fn read_secret_file(path: &Path) -> Result<String, KeyError> {
    let io = |source| KeyError::Io { path: path.to_owned(), source };
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path).map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::ReadableByOthers { path: path.to_owned(), mode });
        }
    }
    std::fs::read_to_string(path).map_err(io)
}

fn parse_line(line: &str) -> Option<(u32, [u8; 32])> {
    let (version, key) = line.split_once(':')?;
    let version = version.trim().parse().ok().filter(|version| *version > 0)?;
    Some((version, STANDARD.decode(key.trim()).ok()?.try_into().ok()?))
}

/// Derives the key for one purpose.
fn derive(master: &[u8; 32], label: &str) -> [u8; 32] {
    let mut key = [0; 32];
    let expanded =
        Hkdf::<Sha256>::new(Some(b"firstcome"), master).expand(label.as_bytes(), &mut key);
    debug_assert!(expanded.is_ok(), "32 bytes are within what HKDF can give");
    key
}

/// Feeds a part with its length in front, so that two parts never look like one.
pub(crate) fn feed(mac: &mut Mac, part: &[u8]) {
    mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
    mac.update(part);
}

/// Keys a MAC.
fn mac(key: &[u8; 32]) -> Mac {
    // HMAC accepts keys of any length; the fallback is unreachable.
    Mac::new_from_slice(key).unwrap_or_else(|_| Mac::new(&hmac::digest::Key::<Mac>::default()))
}

/// The keys of one version.
pub(crate) struct Version {
    /// Number in the key file.
    pub(crate) number: u32,
    /// The header of every token that this version signs, as base64url.
    pub(crate) token_header: String,
    /// Signs tokens.
    pub(crate) encoding: EncodingKey,
    /// Verifies tokens.
    pub(crate) decoding: DecodingKey,
    /// Signs cursors.
    pub(crate) cursor: Mac,
    master: [u8; 32],
}

/// Every key that a node uses.
pub struct Keys {
    /// Oldest first; never empty.
    versions: Vec<Version>,
    fingerprint: Mac,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys([redacted])")
    }
}

impl Keys {
    /// Derives all keys, and checks once that this build can sign and verify.
    pub fn new(master: &MasterKey) -> Result<Self, KeyError> {
        let versions: Vec<Version> =
            master.versions.iter().map(|(n, key)| version(*n, key)).collect();
        // The oldest version hashes requests, because replicated receipts must still match after
        // a version is added.
        let oldest = master.versions.values().next().ok_or(KeyError::Empty)?;
        let keys = Self { versions, fingerprint: mac(&derive(oldest, "request fingerprint")) };
        keys.can_sign_and_verify().then_some(keys).ok_or(KeyError::Probe)
    }

    /// Whether the JWT crate accepts what it signs. Built without a crypto backend it panics at
    /// first use, which must happen at start.
    fn can_sign_and_verify(&self) -> bool {
        let signed = self.newest().and_then(|version| {
            let signature = crypto::sign(b"probe", &version.encoding, TOKEN_ALGORITHM).ok()?;
            crypto::verify(&signature, b"probe", &version.decoding, TOKEN_ALGORITHM).ok()
        });
        signed == Some(true)
    }

    /// The version that signs and seals.
    pub(crate) fn newest(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// Every version, newest first.
    pub(crate) fn versions(&self) -> impl Iterator<Item = &Version> {
        self.versions.iter().rev()
    }

    /// One version.
    pub(crate) fn version(&self, number: u32) -> Option<&Version> {
        self.versions.iter().find(|version| version.number == number)
    }

    /// A keyed hash for the fingerprints of requests.
    pub(crate) fn fingerprint(&self) -> Mac {
        self.fingerprint.clone()
    }
}

impl Version {
    /// The key that seals the personal data of one owner.
    pub(crate) fn data_key(&self, owner: &str) -> [u8; 32] {
        derive(&self.master, &format!("data|{owner}"))
    }
}

fn token_header(version: u32) -> String {
    URL_SAFE_NO_PAD.encode(format!(r#"{{"typ":"{TOKEN_TYPE}","alg":"HS256","kid":"m{version}"}}"#))
}

fn version(number: u32, master: &[u8; 32]) -> Version {
    let token = derive(master, "access token HS256");
    Version {
        number,
        token_header: token_header(number),
        encoding: EncodingKey::from_secret(&token),
        decoding: DecodingKey::from_secret(&token),
        cursor: mac(&derive(master, "list cursor")),
        master: *master,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    const TWO: &str = "2:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

    #[test]
    fn newest_version_signs_whatever_the_order_of_lines() {
        let master = MasterKey::parse(&format!("# note\n\n{TWO}\n {ONE}\n")).unwrap();
        let keys = Keys::new(&master).unwrap();
        assert_eq!(keys.newest().unwrap().number, 2);
    }

    #[test]
    fn a_bad_line_is_named() {
        for bad in ["1", "1:short", "x:AAAA", "0:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="] {
            let text = format!("# comment\n{bad}\n");
            assert!(matches!(MasterKey::parse(&text), Err(KeyError::Line { line: 2 })), "{bad}");
        }
        assert!(matches!(MasterKey::parse("# nothing\n"), Err(KeyError::Empty)));
        let twice = format!("{ONE}\n{ONE}\n");
        assert!(matches!(MasterKey::parse(&twice), Err(KeyError::Repeated { version: 1 })));
    }

    #[test]
    fn a_generated_key_survives_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let master = MasterKey::generate().unwrap();
        std::fs::write(&path, master.to_file_text()).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            let error = MasterKey::load(&path).unwrap_err().to_string();
            assert!(error.contains("chmod 600"), "{error}");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        assert_eq!(MasterKey::load(&path).unwrap().versions, master.versions);
    }

    #[test]
    fn every_purpose_and_owner_has_its_own_key() {
        let key = [7; 32];
        assert_ne!(derive(&key, "a"), derive(&key, "b"));
        let version = version(1, &key);
        assert_ne!(version.data_key("usr_a"), version.data_key("usr_b"));
    }

    #[test]
    fn no_secret_in_output() {
        let master = MasterKey::parse(ONE).unwrap();
        let keys = Keys::new(&master).unwrap();
        let printed = format!("{master:?} {keys:?}");
        assert!(!printed.contains("AAAA") && !printed.contains("[0,"), "{printed}");
    }
}
