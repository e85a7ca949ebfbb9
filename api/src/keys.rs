//! The master key that all nodes share, and the keys derived from it.
//!
//! The key file has one line per version: `version:base64` of 32 bytes. The version that the
//! cluster has made active signs and seals, and every version verifies and opens, so a new line can
//! be added node by node. Each purpose has its own key, derived by HKDF-SHA256 with a label, so that
//! what one key signs never verifies under another. Keys are never printed, logged or replicated.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use firstcome_domain::keyring::Purpose;
use firstcome_domain::value::RowStamp;
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use parking_lot::RwLock;
use rand::TryRngCore as _;
use sha2::Sha256;

/// The `typ` of access tokens.
pub(crate) const TOKEN_TYPE: &str = "at+jwt";
/// The only algorithm that signs access tokens.
pub(crate) const TOKEN_ALGORITHM: Algorithm = Algorithm::HS256;

/// HMAC-SHA256. Keyed once, then cloned for each use.
pub(crate) type Mac = Hmac<Sha256>;

/// Begins the comment with a number that is not used again.
const USED: &str = "# used:";

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
    /// Other users of the machine could read or change the key.
    #[error("{path} can be read or changed by other users (mode {mode:o}); run: chmod 600 {path}")]
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
    /// No version can follow.
    #[error("the versions of the master key are used up")]
    Numbers,
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
    /// The highest number that was ever in the file.
    newest: u32,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey(versions {:?})", self.versions.keys().collect::<Vec<_>>())
    }
}

impl MasterKey {
    /// Reads lines of `version:base64`. Empty lines and lines that begin with `#` are skipped, but
    /// for the one that says which numbers were used.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut versions = BTreeMap::new();
        let mut newest = 0;
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            let used = line.strip_prefix(USED).and_then(|number| number.trim().parse().ok());
            newest = newest.max(used.unwrap_or_default());
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (version, key) = parse_line(line).ok_or(KeyError::Line { line: at + 1 })?;
            if versions.insert(version, key).is_some() {
                return Err(KeyError::Repeated { version });
            }
            newest = newest.max(version);
        }
        if versions.is_empty() { Err(KeyError::Empty) } else { Ok(Self { versions, newest }) }
    }

    /// Reads a key file. Only its owner may have access to it; a group may read one of root's.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        Self::parse(&read_secret_file(path)?)
    }

    /// Generates a new key as version 1.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self { versions: BTreeMap::from([(1, random_key()?)]), newest: 1 })
    }

    /// Generates the version after the newest one there ever was, and answers its number and its
    /// lines in a file. One of them stays when the version is removed.
    pub fn next_lines(&self) -> Result<(u32, String), KeyError> {
        let next = self.newest.checked_add(1).ok_or(KeyError::Numbers)?;
        Ok((next, format!("{USED} {next}\n{}", line(next, &random_key()?))))
    }

    /// The key with one of its versions only; `None` if it does not have it.
    #[must_use]
    pub fn only(&self, version: u32) -> Option<Self> {
        let key = self.versions.get(&version)?;
        Some(Self { versions: BTreeMap::from([(version, *key)]), newest: self.newest })
    }

    /// The text of a key file, as [`MasterKey::parse`] reads it.
    pub fn to_file_text(&self) -> String {
        let mut text = String::from(
            "# Master key of firstcome: version:base64. The active version signs, all verify.\n",
        );
        for (version, key) in &self.versions {
            text.push_str(&line(*version, key));
        }
        text
    }
}

/// 32 bytes from the operating system.
pub(crate) fn random_key() -> Result<[u8; 32], KeyError> {
    let mut key = [0; 32];
    rand::rngs::OsRng.try_fill_bytes(&mut key).map_err(|_| KeyError::Random)?;
    Ok(key)
}

fn line(version: u32, key: &[u8; 32]) -> String {
    format!("{version}:{}\n", STANDARD.encode(key))
}

/// Whether others than the process may have access to a file. Kubernetes mounts secrets with mode
/// 0440, owned by root and a group of the process.
#[cfg(unix)]
const fn is_exposed(mode: u32, owner: u32) -> bool {
    let allowed = if owner == 0 { 0o740 } else { 0o700 };
    mode & 0o777 & !allowed != 0
}

/// Reads a file that nobody but the process has access to.
pub(crate) fn read_secret_file(path: &Path) -> Result<String, KeyError> {
    let io = |source| KeyError::Io { path: path.to_owned(), source };
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
        let file = std::fs::metadata(path).map_err(io)?;
        let mode = file.permissions().mode() & 0o777;
        if is_exposed(mode, file.uid()) {
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
pub(crate) fn mac(key: &[u8; 32]) -> Mac {
    // HMAC accepts keys of any length; the fallback is unreachable.
    Mac::new_from_slice(key).unwrap_or_else(|_| Mac::new(&hmac::digest::Key::<Mac>::default()))
}

/// A key for access tokens.
pub(crate) struct TokenKey {
    /// The header of every token that it signs, as base64url.
    pub(crate) header: String,
    /// `kid` in that header.
    pub(crate) id: String,
    /// Signs.
    pub(crate) encoding: EncodingKey,
    /// Verifies.
    pub(crate) decoding: DecodingKey,
}

impl TokenKey {
    fn new(id: String, key: &[u8; 32]) -> Self {
        let header = format!(r#"{{"typ":"{TOKEN_TYPE}","alg":"HS256","kid":"{id}"}}"#);
        Self {
            header: URL_SAFE_NO_PAD.encode(header),
            id,
            encoding: EncodingKey::from_secret(key),
            decoding: DecodingKey::from_secret(key),
        }
    }
}

/// The keys of one version.
pub(crate) struct Version {
    /// Number in the key file.
    pub(crate) number: u32,
    /// Signs and verifies the tokens of tools.
    pub(crate) tokens: TokenKey,
    /// Signs cursors.
    pub(crate) cursor: Mac,
    master: [u8; 32],
}

/// Every key that a node uses.
pub struct Keys {
    /// Oldest first; never empty.
    versions: Arc<[Version]>,
    ring: RwLock<Option<Arc<Ring>>>,
}

/// What the keyring of the cluster says about the versions, and the cluster's own keys.
pub(crate) struct Ring {
    /// The row that said so.
    pub(crate) row: RowStamp,
    /// The version that signs and seals.
    pub(crate) active: u32,
    /// Versions whose tokens are no longer accepted.
    pub(crate) retired: Vec<u32>,
    /// The cluster's own keys.
    pub(crate) own: OwnKeys,
}

/// The cluster's own keys, one for each purpose.
pub(crate) struct OwnKeys {
    /// Hashes requests.
    pub(crate) fingerprint: Mac,
    /// Signs the access tokens of sessions.
    pub(crate) tokens: TokenKey,
    /// Makes refresh tokens; with the number of the key.
    pub(crate) refresh: (u32, Mac),
    /// Hashes codes.
    pub(crate) code: Mac,
    /// Hashes e-mail addresses.
    pub(crate) email: Mac,
}

impl OwnKeys {
    /// From the keys with their purposes and numbers, in which later ones replace earlier ones.
    /// `None` if a purpose has none.
    pub(crate) fn of(keys: &[(Purpose, u32, [u8; 32])]) -> Option<Self> {
        let key = |wanted| keys.iter().rfind(|(purpose, ..)| *purpose == wanted);
        let for_mac = |wanted| key(wanted).map(|(_, _, key)| mac(key));
        let (_, token, token_key) = key(Purpose::AccessToken)?;
        let (_, refresh, refresh_key) = key(Purpose::RefreshToken)?;
        Some(Self {
            fingerprint: for_mac(Purpose::RequestFingerprint)?,
            tokens: TokenKey::new(format!("k{token}"), token_key),
            refresh: (*refresh, mac(refresh_key)),
            code: for_mac(Purpose::EmailCode)?,
            email: for_mac(Purpose::EmailIndex)?,
        })
    }

    /// A set for tests.
    #[cfg(test)]
    pub(crate) fn for_tests() -> Self {
        let keys = Purpose::ALL.map(|purpose| (purpose, 1, derive(&[3; 32], purpose.as_str())));
        Self::of(&keys).expect("a key for each purpose")
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys([redacted])")
    }
}

impl Keys {
    /// Derives all keys, and checks once that this build can sign and verify.
    pub fn new(master: &MasterKey) -> Result<Self, KeyError> {
        let versions = master.versions.iter().map(|(n, key)| version(*n, key)).collect();
        let keys = Self { versions, ring: RwLock::new(None) };
        keys.can_sign_and_verify().then_some(keys).ok_or(KeyError::Probe)
    }

    /// The same versions, for a node that has not yet read the keyring of its cluster.
    pub(crate) fn for_node(&self) -> Self {
        Self { versions: Arc::clone(&self.versions), ring: RwLock::new(None) }
    }

    /// Whether the JWT crate accepts what it signs. Built without a crypto backend it panics at
    /// first use, which must happen at start.
    fn can_sign_and_verify(&self) -> bool {
        let signed = self.signer().and_then(|version| {
            let key = &version.tokens;
            let signature = crypto::sign(b"probe", &key.encoding, TOKEN_ALGORITHM).ok()?;
            crypto::verify(&signature, b"probe", &key.decoding, TOKEN_ALGORITHM).ok()
        });
        signed == Some(true)
    }

    /// The version that signs and seals. Without a node that says which one is active, it is the
    /// oldest one: every node has that, while a newer one may still be on its way to some.
    pub(crate) fn signer(&self) -> Option<&Version> {
        let active = self.ring().map(|ring| ring.active);
        active.map_or_else(|| self.versions.first(), |number| self.version(number))
    }

    /// What the keyring said last.
    pub(crate) fn ring(&self) -> Option<Arc<Ring>> {
        self.ring.read().clone()
    }

    /// Follows the keyring, unless a request that read later rows was faster.
    pub(crate) fn follow(&self, ring: Ring) {
        let mut followed = self.ring.write();
        if followed.as_ref().is_none_or(|last| last.row.version < ring.row.version) {
            *followed = Some(Arc::new(ring));
        }
    }

    /// Whether tokens of a version are no longer accepted.
    pub(crate) fn is_retired(&self, number: u32) -> bool {
        self.ring.read().as_ref().is_some_and(|ring| ring.retired.contains(&number))
    }

    /// Every version, newest first.
    pub(crate) fn versions(&self) -> impl Iterator<Item = &Version> {
        self.versions.iter().rev()
    }

    /// One version.
    pub(crate) fn version(&self, number: u32) -> Option<&Version> {
        self.versions.iter().find(|version| version.number == number)
    }

    /// A keyed hash for the fingerprints of requests, the same on all nodes; `None` before the
    /// keyring is known.
    pub(crate) fn fingerprint(&self) -> Option<Mac> {
        self.ring.read().as_ref().map(|ring| ring.own.fingerprint.clone())
    }
}

impl Version {
    /// The key that seals the personal data of one owner.
    pub(crate) fn data_key(&self, owner: &str) -> [u8; 32] {
        derive(&self.master, &format!("data|{owner}"))
    }

    /// The key that wraps the cluster's own keys.
    pub(crate) fn wrapping_key(&self) -> [u8; 32] {
        derive(&self.master, "cluster key wrapping")
    }

    /// What a cluster compares this version by.
    pub(crate) fn check(&self, cluster: &str) -> [u8; 32] {
        let mut mac = mac(&self.master);
        for part in [b"kcv".as_slice(), cluster.as_bytes()] {
            feed(&mut mac, part);
        }
        mac.finalize().into_bytes().into()
    }
}

fn version(number: u32, master: &[u8; 32]) -> Version {
    Version {
        number,
        tokens: TokenKey::new(format!("m{number}"), &derive(master, "access token HS256")),
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
    fn active_version_signs_and_before_that_the_oldest_whatever_the_order_of_lines() {
        let master = MasterKey::parse(&format!("# note\n\n{TWO}\n {ONE}\n")).unwrap();
        let keys = Keys::new(&master).unwrap();
        assert_eq!(keys.signer().unwrap().number, 1);
        let row = RowStamp::default();
        keys.follow(Ring { row, active: 2, retired: vec![1], own: OwnKeys::for_tests() });
        assert_eq!(keys.signer().unwrap().number, 2);
        assert!(keys.is_retired(1) && !keys.is_retired(2));
        let ring = |version, active| {
            let row = RowStamp { version, ..row };
            Ring { row, active, retired: Vec::new(), own: OwnKeys::for_tests() }
        };
        keys.follow(ring(4, 1));
        assert_eq!(keys.signer().unwrap().number, 1);
        keys.follow(ring(3, 2));
        assert_eq!(keys.signer().unwrap().number, 1, "an older row changes nothing");
        let only = Keys::new(&master.only(2).unwrap()).unwrap();
        assert_eq!(only.signer().unwrap().number, 2);
        assert!(master.only(3).is_none());
    }

    #[test]
    fn a_new_line_has_the_next_number_and_another_key() {
        let master = MasterKey::parse(&format!("{TWO}\n{ONE}\n")).unwrap();
        let (number, lines) = master.next_lines().unwrap();
        assert_eq!(number, 3);
        let text = format!("{}{lines}", master.to_file_text());
        let all = MasterKey::parse(&text).unwrap();
        assert_eq!(all.versions.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
        let without: Vec<_> = text.lines().filter(|line| !line.starts_with("3:")).collect();
        let without = MasterKey::parse(&without.join("\n")).unwrap();
        assert_eq!(without.versions.len(), 2);
        assert_eq!(without.next_lines().unwrap().0, 4, "3 is not used again");
        let last = MasterKey::parse(&ONE.replacen('1', "4294967295", 1)).unwrap();
        assert!(matches!(last.next_lines(), Err(KeyError::Numbers)));
    }

    #[cfg(unix)]
    #[test]
    fn a_group_may_read_a_key_of_root_and_nobody_else_may_anything() {
        for (mode, owner, exposed) in [
            (0o600, 1000, false),
            (0o400, 1000, false),
            (0o640, 1000, true),
            (0o604, 1000, true),
            (0o440, 0, false),
            (0o640, 0, false),
            (0o660, 0, true),
            (0o444, 0, true),
            (0o442, 0, true),
        ] {
            assert_eq!(is_exposed(mode, owner), exposed, "{mode:o} of {owner}");
        }
    }

    #[test]
    fn check_values_differ_by_version_and_cluster() {
        let one = version(1, &[1; 32]);
        assert_eq!(one.check("a"), version(7, &[1; 32]).check("a"), "the key counts");
        assert_ne!(one.check("a"), one.check("b"));
        assert_ne!(one.check("a"), version(1, &[2; 32]).check("a"));
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
    fn ref57_no_secret_in_output() {
        let master = MasterKey::parse(ONE).unwrap();
        let keys = Keys::new(&master).unwrap();
        let printed = format!("{master:?} {keys:?}");
        assert!(!printed.contains("AAAA") && !printed.contains("[0,"), "{printed}");
    }
}
