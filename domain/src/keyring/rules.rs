//! A version of the master key is first known, then active, then known again, then retired.

use super::command::{
    KeyringCreate, MasterCheck, MasterVersionActivate, MasterVersionAdd, MasterVersionRetire,
};
use super::row::{ClusterKey, Keyring, MasterState, MasterVersion};
use crate::draft::Draft;
use crate::field;
use crate::kernel::actor::Actor;
use crate::kernel::value::{Millis, RowStamp, SEALED_BYTES_MAX, Sealed};
use crate::outcome::{Done, Kind, Refusal};
use crate::permission::Needs;
use crate::rule::Rule;
use crate::view::View;

/// Versions of the master key, retired ones included.
const MASTER_VERSIONS_MAX: usize = 256;
/// Keys of the cluster.
const CLUSTER_KEYS_MAX: usize = 64;
/// Nodes of which it is kept that they have a version. Those that reported first go first: a member
/// among them reports again.
const NODES_MAX: usize = 128;

/// How long a version must have been out of use before it can be retired. What a node sealed with
/// it just before it heard of the next one is decided long before that.
const RETIRE_AFTER_MS: i64 = 10 * 60 * 1000;

impl Rule for KeyringCreate {
    fn needs(&self) -> Needs {
        Needs::Node
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        if let Some(keyring) = draft.get::<Keyring>(()) {
            return complete(draft, (*keyring).clone(), &self.keys);
        }
        check_versions(&self.versions)?;
        let active = self.keys.first().map(|key| key.master);
        let is_listed = self.versions.iter().any(|version| Some(version.number) == active);
        field::require(is_listed, "/keys", "required")?;
        check_keys(&self.keys, active)?;
        let mut keyring = Keyring { keys: self.keys.clone(), ..Keyring::default() };
        report(&mut keyring, self.node, &self.versions, draft.now());
        for version in &mut keyring.versions {
            if Some(version.number) == active {
                version.state = MasterState::Active;
            }
        }
        Ok(put(draft, keyring))
    }
}

impl Rule for MasterVersionAdd {
    fn needs(&self) -> Needs {
        Needs::Node
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        let mut keyring = existing(draft)?;
        check_versions(&self.versions)?;
        for version in &self.versions {
            let known = keyring.version(version.number);
            // A retired one is not used, so neither is another key under its number.
            let known = known.filter(|known| known.state != MasterState::Retired);
            let differs = known.is_some_and(|known| known.check != version.check);
            field::require(!differs, "/versions", "mismatch")?;
        }
        let before = keyring.clone();
        report(&mut keyring, self.node, &self.versions, draft.now());
        if keyring == before {
            return Ok(Done::Keyring(Box::new(keyring)));
        }
        let fits = keyring.versions.len() <= MASTER_VERSIONS_MAX;
        field::require(fits, "/versions", "too_many")?;
        Ok(put(draft, keyring))
    }
}

impl Rule for MasterVersionActivate {
    fn needs(&self) -> Needs {
        Needs::Admin
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        let mut keyring = existing(draft)?;
        let version = keyring.version(self.number).ok_or(NO_VERSION)?;
        match version.state {
            MasterState::Active => return Ok(Done::Keyring(Box::new(keyring))),
            MasterState::Retired => return Err(Refusal::KeyVersionRetired),
            MasterState::Known => {}
        }
        let lacking = self.members.iter().filter(|id| !version.nodes.contains(id));
        let nodes: Vec<u64> = lacking.copied().take(NODES_MAX).collect();
        if !nodes.is_empty() {
            return Err(Refusal::KeyVersionMissing { nodes });
        }
        check_keys(&self.keys, Some(self.number))?;
        let same = |(old, new): (&ClusterKey, &ClusterKey)| {
            (old.purpose, old.number) == (new.purpose, new.number)
        };
        let complete = keyring.keys.len() == self.keys.len();
        let complete = complete && keyring.keys.iter().zip(&self.keys).all(same);
        field::require(complete, "/keys", "invalid")?;
        keyring.keys.clone_from(&self.keys);
        for version in &mut keyring.versions {
            let state = match version.state {
                _ if version.number == self.number => MasterState::Active,
                MasterState::Active => MasterState::Known,
                other @ (MasterState::Known | MasterState::Retired) => other,
            };
            enter(version, state, draft.now());
        }
        Ok(put(draft, keyring))
    }
}

impl Rule for MasterVersionRetire {
    fn needs(&self) -> Needs {
        Needs::Admin
    }

    fn decide<V: View>(&self, draft: &mut Draft<'_, V>, _: Actor) -> Result<Done, Refusal> {
        let mut keyring = existing(draft)?;
        let wrapped = keyring.wrapped_by(self.number);
        let version = keyring.versions.iter_mut().find(|version| version.number == self.number);
        let version = version.ok_or(NO_VERSION)?;
        if version.state == MasterState::Retired {
            return Ok(Done::Keyring(Box::new(keyring)));
        }
        let active = version.state == MasterState::Active;
        let not_before = Some(version.since.plus(RETIRE_AFTER_MS)).filter(|at| draft.now() < *at);
        if active || wrapped > 0 || not_before.is_some() {
            let wrapped_keys = u32::try_from(wrapped).unwrap_or(u32::MAX);
            let not_before = not_before.filter(|_| !active);
            return Err(Refusal::KeyVersionInUse { active, wrapped_keys, not_before });
        }
        enter(version, MasterState::Retired, draft.now());
        Ok(put(draft, keyring))
    }
}

/// Whether something is sealed with a version of the master key that is no longer used.
pub(crate) fn is_retired<V: View>(draft: &mut Draft<'_, V>, sealed: &Sealed) -> bool {
    let Some(number) = sealed.master_version() else { return false };
    let keyring = draft.get::<Keyring>(());
    let version = keyring.as_ref().and_then(|keyring| keyring.version(number));
    version.is_some_and(|version| version.state == MasterState::Retired)
}

/// Adds keys for purposes that the keyring has none for, as it came from an earlier release.
fn complete<V: View>(
    draft: &mut Draft<'_, V>,
    mut keyring: Keyring,
    keys: &[ClusterKey],
) -> Result<Done, Refusal> {
    let active = keyring.active().map(|version| version.number);
    let lacking = |key: &&ClusterKey| keyring.keys.iter().all(|has| has.purpose != key.purpose);
    let added: Vec<ClusterKey> = keys.iter().filter(lacking).cloned().collect();
    if added.is_empty() {
        return Ok(Done::Keyring(Box::new(keyring)));
    }
    check_keys(&added, active)?;
    keyring.keys.extend(added);
    Ok(put(draft, keyring))
}

const NO_VERSION: Refusal = Refusal::NotFound(Kind::MasterVersion);

fn existing<V: View>(draft: &mut Draft<'_, V>) -> Result<Keyring, Refusal> {
    draft.get::<Keyring>(()).map(|keyring| (*keyring).clone()).ok_or(NO_VERSION)
}

fn put<V: View>(draft: &mut Draft<'_, V>, keyring: Keyring) -> Done {
    Done::Keyring(Box::new((*draft.put(Keyring { row: RowStamp::default(), ..keyring })).clone()))
}

fn enter(version: &mut MasterVersion, state: MasterState, now: Millis) {
    if version.state != state {
        version.state = state;
        version.since = now;
    }
}

/// Takes note of what a node has in its file, and of what it no longer has.
fn report(keyring: &mut Keyring, node: u64, versions: &[MasterCheck], now: Millis) {
    for MasterCheck { number, check } in versions {
        if keyring.version(*number).is_none() {
            keyring.versions.push(MasterVersion {
                number: *number,
                check: *check,
                state: MasterState::Known,
                since: now,
                nodes: Vec::new(),
            });
        }
    }
    keyring.versions.sort_by_key(|version| version.number);
    for version in &mut keyring.versions {
        if !versions.iter().any(|has| has.number == version.number) {
            version.nodes.retain(|id| *id != node);
        } else if !version.nodes.contains(&node) {
            version.nodes.push(node);
            let too_many = version.nodes.len().saturating_sub(NODES_MAX);
            version.nodes.drain(..too_many);
        }
    }
}

/// Ascending numbers from 1 on.
fn check_versions(versions: &[MasterCheck]) -> Result<(), Refusal> {
    field::require(!versions.is_empty(), "/versions", "required")?;
    field::require(versions.len() <= MASTER_VERSIONS_MAX, "/versions", "too_many")?;
    let numbers = versions.iter().map(|version| version.number);
    let ascending = numbers.clone().is_sorted_by(|one, two| one < two);
    field::require(ascending && numbers.min() > Some(0), "/versions", "out_of_range")
}

fn check_keys(keys: &[ClusterKey], master: Option<u32>) -> Result<(), Refusal> {
    field::require(keys.len() <= CLUSTER_KEYS_MAX, "/keys", "too_many")?;
    let fits = |key: &ClusterKey| {
        Some(key.master) == master && (1..=SEALED_BYTES_MAX).contains(&key.wrapped.0.len())
    };
    field::require(keys.iter().all(fits), "/keys", "invalid")
}
