//! The keyring, without any key.

use firstcome_domain::keyring::{Keyring, MasterVersion};
use serde::Serialize;
use utoipa::ToSchema;

use crate::rfc3339;

/// Which versions of the master key the cluster knows.
#[derive(Serialize, ToSchema)]
#[schema(as = Keyring)]
pub(crate) struct KeyringBody {
    /// Always `keyring`.
    #[schema(example = "keyring")]
    object: &'static str,
    /// By number.
    versions: Vec<MasterVersionBody>,
}

/// One version of the master key.
#[derive(Serialize, ToSchema)]
#[schema(as = MasterKeyVersion)]
struct MasterVersionBody {
    /// Always `master_key_version`.
    #[schema(example = "master_key_version")]
    object: &'static str,
    /// Its number in the key files.
    version: u32,
    /// `known`, `active` or `retired`.
    state: &'static str,
    /// Since when.
    since: String,
    /// The first 8 hex digits of its check value: the same on nodes with the same key.
    check: String,
    /// IDs of the members whose key file has it.
    node_ids: Vec<u64>,
    /// How many keys of the cluster it wraps.
    wrapped_keys: usize,
}

impl KeyringBody {
    /// Shows the keyring.
    pub(crate) fn of(keyring: &Keyring) -> Self {
        let versions = keyring.versions.iter().map(|version| MasterVersionBody {
            object: "master_key_version",
            version: version.number,
            state: version.state.as_str(),
            since: rfc3339::format(version.since),
            check: short(version),
            node_ids: version.nodes.clone(),
            wrapped_keys: keyring.wrapped_by(version.number),
        });
        Self { object: "keyring", versions: versions.collect() }
    }
}

fn short(version: &MasterVersion) -> String {
    let head = version.check.first_chunk().copied().unwrap_or_default();
    format!("{:08x}", u32::from_be_bytes(head))
}
