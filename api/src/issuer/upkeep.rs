//! Keeps the keys of an issuer current, in the background.
//!
//! A key file is read again when it changes, and every hour. A key URL is fetched at start, every
//! hour, and when a token names a key that is not there, but at most once a minute, so that made-up
//! tokens cost the shop's identity provider nothing. What cannot be read or fetched changes
//! nothing: the keys so far stay in use.

use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep, sleep_until};

use super::fetch::{FetchError, HttpsClient};
use super::keyring::{KeyRing, KeyRingError};
use super::options::{JwksUrl, KeySource};
use super::{Issuer, read_key_set, read_keys};

const REFRESH: Duration = Duration::from_hours(1);
/// Shortest time between two fetches, and the time after which a failed one is repeated.
const FETCH_PAUSE: Duration = Duration::from_mins(1);
/// How often a file is looked at.
const FILE_PAUSE: Duration = Duration::from_secs(2);

/// Starts the task for one issuer.
pub(super) fn start(issuer: &Arc<Issuer>, client: Option<&HttpsClient>, data_dir: &Path) {
    let issuer = Arc::clone(issuer);
    match (&issuer.options.keys, client) {
        (KeySource::JwksUrl { url, private }, Some(client)) => {
            let (client, url, private) = (client.clone(), url.clone(), *private);
            let kept = Kept { file: kept_file(data_dir, &issuer.options.issuer, &url) };
            let fetch = move || {
                let (client, url) = (client.clone(), url.clone());
                async move { client.get(&url, private).await }
            };
            tokio::spawn(keep_fetched(issuer, kept, fetch));
        }
        (KeySource::JwksUrl { .. }, None) => {}
        (KeySource::JwksFile(path) | KeySource::SecretFile(path), _) => {
            let mut file = KeyFile::new(path.clone());
            tokio::spawn(async move {
                loop {
                    sleep(FILE_PAUSE).await;
                    let (shared, mut looked) = (Arc::clone(&issuer), file);
                    let look = move || {
                        looked.look(&shared);
                        looked
                    };
                    let Ok(looked) = tokio::task::spawn_blocking(look).await else { return };
                    file = looked;
                }
            });
        }
    }
}

/// A key file, and what it looked like when it was last read.
pub(super) struct KeyFile {
    path: PathBuf,
    seen: Option<FileStamp>,
    read_at: Instant,
}

/// What changes with a file.
#[derive(PartialEq, Eq)]
struct FileStamp {
    inode: u64,
    bytes: u64,
    seconds: i64,
    nanoseconds: i64,
    changed: i64,
    changed_nanoseconds: i64,
}

impl FileStamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            bytes: metadata.size(),
            seconds: metadata.mtime(),
            nanoseconds: metadata.mtime_nsec(),
            changed: metadata.ctime(),
            changed_nanoseconds: metadata.ctime_nsec(),
        }
    }
}

impl KeyFile {
    /// A file that was read before this call, so that its first look reads it again.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, seen: None, read_at: Instant::now() }
    }

    /// Reads the file again if it has changed or was not read for an hour.
    pub(super) fn look(&mut self, issuer: &Issuer) {
        let found = fs::metadata(&self.path).ok().as_ref().map(FileStamp::of);
        if found == self.seen && self.read_at.elapsed() < REFRESH {
            return;
        }
        let is_first = self.seen.is_none();
        (self.seen, self.read_at) = (found, Instant::now());
        let (name, file) = (&issuer.options.issuer, self.path.display());
        match read_keys(&issuer.options, &self.path) {
            Ok(ring) => {
                if !is_first {
                    tracing::info!(issuer = name, keys = ring.len(), "read {file} again");
                }
                issuer.replace(ring);
            }
            Err(error) => {
                tracing::warn!(issuer = name, "{error}; the keys read before stay in use");
            }
        }
    }
}

/// Keeps fetched keys current. Never returns.
pub(super) async fn keep_fetched<F>(issuer: Arc<Issuer>, kept: Kept, fetch: impl Fn() -> F)
where
    F: Future<Output = Result<Bytes, FetchError>>,
{
    kept.restore(&issuer);
    loop {
        let fetched = match fetch().await {
            Ok(bytes) => take(&issuer, &kept, &bytes).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let done = Instant::now();
        let pause = match fetched {
            Ok(()) => REFRESH,
            Err(error) => {
                let (issuer, known) = (&issuer.options.issuer, issuer.ring().len());
                tracing::warn!(issuer, known, "cannot fetch keys: {error}; known keys stay in use");
                FETCH_PAUSE
            }
        };
        tokio::select! {
            () = sleep(pause) => {}
            () = issuer.unknown_key.notified() => sleep_until(done + FETCH_PAUSE).await,
        }
    }
}

/// Uses a key set that was fetched, and keeps it for the next start.
fn take(issuer: &Issuer, kept: &Kept, bytes: &[u8]) -> Result<(), KeyRingError> {
    let ring = KeyRing::parse_jwks(bytes, &issuer.options.algorithms)?;
    tracing::debug!(issuer = issuer.options.issuer, keys = ring.len(), "fetched keys");
    issuer.replace(ring);
    if let Err(error) = kept.save(bytes) {
        let file = kept.file.display();
        tracing::warn!(
            issuer = issuer.options.issuer,
            "cannot keep fetched keys in {file}: {error}"
        );
    }
    Ok(())
}

/// Where a fetched key set is kept. Another URL has another file, so that a changed setting does
/// not bring back the keys of the old one.
fn kept_file(data_dir: &Path, issuer: &str, url: &JwksUrl) -> PathBuf {
    let hash = Sha256::new().chain_update(issuer).chain_update([0]).chain_update(url.to_string());
    let name = hash.finalize().iter().take(8).fold(0, |name, byte| name << 8 | u64::from(*byte));
    data_dir.join(format!("jwks-{name:016x}.json"))
}

/// A fetched key set on disk, for a start while its URL cannot be reached.
pub(super) struct Kept {
    pub(super) file: PathBuf,
}

impl Kept {
    /// Uses what an earlier run has fetched, if it did.
    fn restore(&self, issuer: &Issuer) {
        let Ok(bytes) = read_key_set(&self.file) else { return };
        match KeyRing::parse_jwks(&bytes, &issuer.options.algorithms) {
            Ok(ring) => issuer.replace(ring),
            Err(error) => {
                let file = self.file.display();
                tracing::warn!(issuer = issuer.options.issuer, "{file} is not used: {error}");
            }
        }
    }

    /// Replaces the file as a whole, unless it already says so.
    fn save(&self, bytes: &[u8]) -> io::Result<()> {
        if read_key_set(&self.file).is_ok_and(|old| old == bytes) {
            return Ok(());
        }
        let new = self.file.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, &self.file)
    }
}
