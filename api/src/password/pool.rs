//! argon2id in a pool of its own. A hash takes 19 MiB and tens of milliseconds of a core, so that
//! logins use at most half of the cores; the others are for sales.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::{
    self, PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString,
};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Params, Version};
use rand::TryRngCore as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Password;
use crate::problem::{Code, Problem};

const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const HASH_BYTES: usize = 32;
const SALT_BYTES: usize = 16;

/// How many wait beside those that are being hashed.
const QUEUE: usize = 64;
/// How long one waits.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// A refused client comes back after 1 to this many seconds, so that not all come back at once.
const RETRY_SECONDS_MAX: u32 = 5;

/// What a password is verified against when there is no account: salt and hash of zeros, under
/// today's parameters, which cost as much as any other.
const DUMMY: &str = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA\
                     $AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What came of a verification.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Verified {
    /// Whether it is the password.
    pub(crate) ok: bool,
    /// Whether the hash was made with other parameters than today's.
    pub(crate) outdated: bool,
}

/// Hashes and verifies passwords, a few at a time.
pub(crate) struct PasswordPool {
    /// One permit for each that is hashed or waits.
    places: Arc<Semaphore>,
    /// One permit for each that is hashed.
    slots: Arc<Semaphore>,
}

impl PasswordPool {
    /// A pool for half of the cores of this machine.
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_slots((cores / 2).max(1))
    }

    fn with_slots(slots: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(slots + QUEUE)),
            slots: Arc::new(Semaphore::new(slots)),
        }
    }

    /// A PHC string of a password, with a new salt.
    pub(crate) async fn hash(&self, password: Password) -> Result<String, Problem> {
        self.run(move || hash(&password)).await?.map_err(|failed| internal(&failed))
    }

    /// Verifies a password against a PHC string, or, if there is none, against one that no
    /// password has: an unknown address takes as long as a known one.
    pub(crate) async fn verify(
        &self,
        password: Password,
        phc: Option<String>,
    ) -> Result<Verified, Problem> {
        self.run(move || verify(&password, phc.as_deref())).await?.map_err(|bad| internal(&bad))
    }

    /// Runs blocking work once there is a slot. The slot is free when the work has ended, also if
    /// nobody waits for its result any more.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let (place, slot) = self.enter().await?;
        let running = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((slot, place));
            done
        });
        running.await.map_err(|failed| internal(&failed))
    }

    async fn enter(&self) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), Problem> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| busy())?;
        let slot = Arc::clone(&self.slots).acquire_owned();
        match tokio::time::timeout(WAIT_MAX, slot).await {
            Ok(Ok(slot)) => Ok((place, slot)),
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }
}

fn busy() -> Problem {
    Problem::new(Code::AuthBusy).retry_after(rand::random_range(1..=RETRY_SECONDS_MAX))
}

fn internal(error: &impl fmt::Display) -> Problem {
    tracing::error!(%error, "cannot hash or verify a password");
    Problem::new(Code::Internal)
}

fn argon2() -> Result<Argon2<'static>, password_hash::Error> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(HASH_BYTES))?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &Password) -> Result<String, password_hash::Error> {
    let mut salt = [0; SALT_BYTES];
    let drawn = rand::rngs::OsRng.try_fill_bytes(&mut salt);
    drawn.map_err(|_| password_hash::Error::Crypto)?;
    let salt = SaltString::encode_b64(&salt)?;
    Ok(argon2()?.hash_password(password.as_bytes(), &salt)?.to_string())
}

fn verify(password: &Password, phc: Option<&str>) -> Result<Verified, password_hash::Error> {
    let found = PasswordHash::new(phc.unwrap_or(DUMMY))?;
    if found.hash.is_none() {
        return Err(password_hash::Error::PhcStringField);
    }
    let argon2 = argon2()?;
    let is_same = match argon2.verify_password(password.as_bytes(), &found) {
        Ok(()) => true,
        Err(password_hash::Error::Password) => false,
        Err(bad) => return Err(bad),
    };
    let is_current = found.algorithm == ARGON2ID_IDENT
        && found.version == Some(Version::V0x13.into())
        && Params::try_from(&found)? == *argon2.params();
    Ok(Verified { ok: phc.is_some() && is_same, outdated: !is_current })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::mpsc;

    use super::*;

    fn password(text: &str) -> Password {
        Password::new(text.to_owned())
    }

    fn verified(text: &str, phc: &str) -> Verified {
        verify(&password(text), Some(phc)).unwrap()
    }

    const CURRENT: Verified = Verified { ok: true, outdated: false };

    #[tokio::test]
    async fn the_right_password_verifies_and_no_other() {
        let pool = PasswordPool::new();
        let phc = pool.hash(password("vXq9-kfz")).await.unwrap();
        let head = format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$");
        assert!(phc.starts_with(&head), "{phc}");
        let again = pool.hash(password("vXq9-kfz")).await.unwrap();
        assert_ne!(phc, again, "each has a salt of its own");
        let verified = |text: &str, phc: &str| pool.verify(password(text), Some(phc.to_owned()));
        assert_eq!(verified("vXq9-kfz", &phc).await.unwrap(), CURRENT);
        for wrong in ["vXq9-kf", "vXq9-kfz ", "VXq9-kfz", "", "vXq9-kfz\0"] {
            let refused = Verified { ok: false, outdated: false };
            assert_eq!(verified(wrong, &phc).await.unwrap(), refused, "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn without_an_account_it_costs_the_same_and_never_verifies() {
        let dummy = PasswordHash::new(DUMMY).unwrap();
        let made = hash(&password("vXq9-kfz")).unwrap();
        let made = PasswordHash::new(&made).unwrap();
        assert_eq!(Params::try_from(&dummy).unwrap(), Params::try_from(&made).unwrap());
        assert_eq!((dummy.algorithm, dummy.version), (made.algorithm, made.version));
        let bytes = |hash: &PasswordHash<'_>| {
            let salt = hash.salt.unwrap();
            (salt.as_str().len(), hash.hash.unwrap().len())
        };
        assert_eq!(bytes(&dummy), bytes(&made));
        let verified = PasswordPool::new().verify(password("vXq9-kfz"), None).await.unwrap();
        assert_eq!(verified, Verified { ok: false, outdated: false });
    }

    #[test]
    fn other_parameters_than_todays_are_outdated() {
        for (algorithm, version, memory, passes, lanes, bytes) in [
            (Algorithm::Argon2id, Version::V0x13, 8, PASSES, LANES, HASH_BYTES),
            (Algorithm::Argon2id, Version::V0x13, MEMORY_KIB, 1, LANES, HASH_BYTES),
            (Algorithm::Argon2id, Version::V0x13, MEMORY_KIB, PASSES, 2, HASH_BYTES),
            (Algorithm::Argon2id, Version::V0x13, MEMORY_KIB, PASSES, LANES, 16),
            (Algorithm::Argon2id, Version::V0x10, MEMORY_KIB, PASSES, LANES, HASH_BYTES),
            (Algorithm::Argon2i, Version::V0x13, MEMORY_KIB, PASSES, LANES, HASH_BYTES),
        ] {
            let params = Params::new(memory, passes, lanes, Some(bytes)).unwrap();
            let salt = SaltString::encode_b64(&[7; SALT_BYTES]).unwrap();
            let old = Argon2::new(algorithm, version, params);
            let phc = old.hash_password(b"vXq9-kfz", &salt).unwrap().to_string();
            let right = Verified { ok: true, outdated: true };
            assert_eq!(verified("vXq9-kfz", &phc), right, "{phc}");
            let wrong = Verified { ok: false, outdated: true };
            assert_eq!(verified("vXq9-kfy", &phc), wrong, "{phc}");
        }
        assert_eq!(verified("vXq9-kfz", &hash(&password("vXq9-kfz")).unwrap()), CURRENT);
    }

    #[tokio::test]
    async fn a_malformed_hash_is_an_internal_error() {
        let pool = PasswordPool::new();
        for phc in [
            "",
            "x",
            "$",
            "plaintext",
            "$2b$12$abcdefghijklmnopqrstuv",
            "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4",
            "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=0,t=0,p=0$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=19$m=x,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            "$argon2id$v=99$m=8,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
        ] {
            let problem =
                pool.verify(password("vXq9-kfz"), Some(phc.to_owned())).await.unwrap_err();
            assert_eq!(problem.code(), Code::Internal, "{phc}");
        }
    }

    /// Time is paused: it moves only when nothing else can.
    #[tokio::test(start_paused = true)]
    async fn argon_pool_full_503() {
        let pool = Arc::new(PasswordPool::with_slots(2));
        let running = [pool.enter().await.unwrap(), pool.enter().await.unwrap()];
        let waiting: Vec<_> = (0..QUEUE)
            .map(|_| {
                let pool = Arc::clone(&pool);
                tokio::spawn(async move { pool.verify(password("vXq9-kfz"), None).await })
            })
            .collect();
        // Turns enough for each to take its place; nothing else can happen meanwhile.
        for _ in 0..QUEUE {
            tokio::task::yield_now().await;
        }
        assert_eq!(pool.places.available_permits(), 0);
        let start = tokio::time::Instant::now();
        let mut waits = BTreeSet::new();
        for _ in 0..100 {
            let full = pool.hash(password("vXq9-kfz")).await.unwrap_err();
            assert_eq!((full.code(), full.status().as_u16()), (Code::AuthBusy, 503));
            waits.insert(full.retry_after_seconds().unwrap());
        }
        assert_eq!(start.elapsed(), Duration::ZERO, "a full queue is refused at once");
        assert!(waits.len() > 1 && waits.range(1..=RETRY_SECONDS_MAX).count() == waits.len());
        for waited in waiting {
            assert_eq!(waited.await.unwrap().unwrap_err().code(), Code::AuthBusy);
        }
        assert_eq!(start.elapsed(), WAIT_MAX, "and a place in it is kept for a second");
        drop(running);
        assert_eq!(pool.run(|| 7).await.unwrap(), 7);
        assert_eq!(pool.places.available_permits(), 2 + QUEUE);
    }

    #[tokio::test]
    async fn a_client_that_left_keeps_its_slot_until_the_work_ends() {
        let pool = Arc::new(PasswordPool::with_slots(1));
        let (started, has_started) = tokio::sync::oneshot::channel();
        let (end, may_end) = mpsc::channel::<()>();
        let working = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move {
                pool.run(move || {
                    started.send(()).unwrap();
                    may_end.recv().unwrap();
                })
                .await
            }
        });
        has_started.await.unwrap();
        working.abort();
        assert!(working.await.unwrap_err().is_cancelled());
        assert_eq!(pool.slots.available_permits(), 0);
        end.send(()).unwrap();
        drop(pool.enter().await.unwrap());
        assert_eq!(pool.run(|| 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn work_that_panics_gives_its_slot_back() {
        let pool = PasswordPool::with_slots(1);
        let panicked = pool.run(|| panic!("as the test wants")).await.unwrap_err();
        assert_eq!(panicked.code(), Code::Internal);
        assert_eq!(pool.run(|| 7).await.unwrap(), 7);
    }
}
