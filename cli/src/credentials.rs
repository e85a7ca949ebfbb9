//! Who the command line is: the master key, and tokens made with it.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use firstcome_api::{Keys, MasterKey};
use firstcome_domain::{Role, UserId};

use crate::exit::{Exit, Stop};

/// Where a development node keeps the key it made for itself.
pub(crate) const DEVELOPMENT_KEY: &str = "data/master.key";
/// Names the master key file.
pub(crate) const KEY_FILE_VARIABLE: &str = "FIRSTCOME_MASTER_KEY_FILE";
/// Holds the master key itself.
pub(crate) const KEY_VARIABLE: &str = "FIRSTCOME_MASTER_KEY";

/// Reads a key file. Fails with its name and what to do.
pub(crate) fn load(file: &Path) -> Result<MasterKey, Stop> {
    MasterKey::load(file).map_err(|error| {
        let file = file.display();
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Stop::config(format!(
            "master key {file}: {error}{cause}; `firstcome keys init FILE` makes a new one"
        ))
    })
}

/// The master key that the environment names, if it names one.
pub(crate) fn from_environment() -> Result<Option<MasterKey>, Stop> {
    if let Some(file) = std::env::var_os(KEY_FILE_VARIABLE) {
        return load(Path::new(&file)).map(Some);
    }
    let Ok(text) = std::env::var(KEY_VARIABLE) else { return Ok(None) };
    // A bare key has no version yet: it is the first.
    let text = if text.contains(':') { text } else { format!("1:{text}") };
    let key = MasterKey::parse(&text)
        .map_err(|error| Stop::config(format!("{KEY_VARIABLE}: {error}")))?;
    Ok(Some(key))
}

/// The master key for making tokens: the named file, the environment, or the development node
/// of this directory; `None` if there is none of them.
pub(crate) fn find(key_file: Option<&PathBuf>) -> Result<Option<Keys>, Stop> {
    let key = match key_file {
        Some(file) => Some(load(file)?),
        None => from_environment()?,
    };
    let development = Path::new(DEVELOPMENT_KEY);
    let key = match key {
        None if development.exists() => Some(load(development)?),
        key => key,
    };
    key.map(|key| derive(&key)).transpose()
}

/// The keys that sign and seal, derived from the master key.
pub(crate) fn derive(master: &MasterKey) -> Result<Keys, Stop> {
    Keys::new(master).map_err(|error| Stop::new(Exit::Bug, error.to_string()))
}

/// Draws a new master key.
pub(crate) fn generate() -> Result<MasterKey, Stop> {
    MasterKey::generate().map_err(|error| Stop::new(Exit::Io, error.to_string()))
}

/// An id for a user nobody has seen before.
pub(crate) fn fresh_user() -> UserId {
    UserId::new(uuid::Uuid::now_v7().as_u128())
}

/// The word for a role, as on the command line and in tokens.
pub(crate) fn parse_role(text: &str) -> Result<Role, String> {
    match text {
        "customer" => Ok(Role::Customer),
        "support" => Ok(Role::Support),
        "operator" => Ok(Role::Operator),
        "admin" => Ok(Role::Admin),
        _ => Err("roles are customer, support, operator and admin".to_owned()),
    }
}
