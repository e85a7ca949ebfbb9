//! The master key: finding, generating and writing it. Tokens are signed with it.

use std::error::Error as _;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use firstcome_api::{Keys, MasterKey};
use firstcome_domain::{Role, UserId};

use crate::exit::{Exit, Stop};

/// Where a development node keeps its generated key.
pub(crate) const DEVELOPMENT_KEY: &str = "data/master.key";
/// Environment variable with the path of the master key file.
pub(crate) const KEY_FILE_VARIABLE: &str = "FIRSTCOME_MASTER_KEY_FILE";
/// Environment variable with the master key itself.
pub(crate) const KEY_VARIABLE: &str = "FIRSTCOME_MASTER_KEY";

/// Reads a key file. The error names the file and says what to do.
pub(crate) fn load(file: &Path) -> Result<MasterKey, Stop> {
    MasterKey::load(file).map_err(|error| {
        let file = file.display();
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Stop::config(format!(
            "master key {file}: {error}{cause}; `firstcome keys init FILE` creates a new one"
        ))
    })
}

/// The master key from the environment, if it is set there.
pub(crate) fn from_environment() -> Result<Option<MasterKey>, Stop> {
    if let Some(file) = std::env::var_os(KEY_FILE_VARIABLE) {
        return load(Path::new(&file)).map(Some);
    }
    let Ok(text) = std::env::var(KEY_VARIABLE) else { return Ok(None) };
    // A key without a version is version 1.
    let text = if text.contains(':') { text } else { format!("1:{text}") };
    let key = MasterKey::parse(&text)
        .map_err(|error| Stop::config(format!("{KEY_VARIABLE}: {error}")))?;
    Ok(Some(key))
}

/// Keys for signing tokens, from the given file, the environment, or the development node in the
/// current directory. `None` if there is no key.
pub(crate) fn find(key_file: Option<&PathBuf>) -> Result<Option<Keys>, Stop> {
    find_master(key_file)?.map(|key| derive(&key)).transpose()
}

/// The master key of [`find`].
pub(crate) fn find_master(key_file: Option<&PathBuf>) -> Result<Option<MasterKey>, Stop> {
    let key = match key_file {
        Some(file) => Some(load(file)?),
        None => from_environment()?,
    };
    let development = Path::new(DEVELOPMENT_KEY);
    match key {
        None if development.exists() => load(development).map(Some),
        key => Ok(key),
    }
}

/// The master key of [`find`], without which the command can do nothing.
pub(crate) fn require_master(key_file: Option<&PathBuf>) -> Result<MasterKey, Stop> {
    find_master(key_file)?.ok_or_else(|| {
        Stop::config(
            "no master key: pass --key-file FILE, set FIRSTCOME_MASTER_KEY_FILE, or run this in \
             the directory of a development node (with ./data)",
        )
    })
}

/// Derives the signing and encryption keys from the master key.
pub(crate) fn derive(master: &MasterKey) -> Result<Keys, Stop> {
    Keys::new(master).map_err(|error| Stop::new(Exit::Bug, error.to_string()))
}

/// Generates a new master key.
pub(crate) fn generate() -> Result<MasterKey, Stop> {
    MasterKey::generate().map_err(|error| Stop::new(Exit::Io, error.to_string()))
}

/// Writes and syncs a key file readable only by its owner. Never overwrites a file: without the
/// old key, every token and every encrypted field becomes unreadable.
pub(crate) fn create_key_file(file: &Path, key: &MasterKey) -> anyhow::Result<()> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut opened = match opened {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let message = format!(
                "{} already exists and was not overwritten; choose another file, or keep using this one",
                file.display()
            );
            return Err(Stop::new(Exit::Refused, message).into());
        }
        other => other.with_context(|| format!("cannot create {}", file.display()))?,
    };
    opened
        .write_all(key.to_file_text().as_bytes())
        .and_then(|()| opened.sync_all())
        .with_context(|| format!("cannot write {}", file.display()))
}

/// Appends a new version to a key file, and answers its number.
pub(crate) fn add_version(file: &Path) -> anyhow::Result<u32> {
    let (version, lines) =
        load(file)?.next_lines().map_err(|error| Stop::new(Exit::Refused, error.to_string()))?;
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let lines = if text.ends_with('\n') { lines } else { format!("\n{lines}") };
    OpenOptions::new()
        .append(true)
        .open(file)
        .and_then(|mut opened| {
            opened.write_all(lines.as_bytes())?;
            opened.sync_all()
        })
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(version)
}

/// A new user id.
pub(crate) fn fresh_user() -> UserId {
    UserId::new(uuid::Uuid::now_v7().as_u128())
}

/// Parses a role name.
pub(crate) fn parse_role(text: &str) -> Result<Role, String> {
    match text {
        "customer" => Ok(Role::Customer),
        "support" => Ok(Role::Support),
        "operator" => Ok(Role::Operator),
        "admin" => Ok(Role::Admin),
        _ => Err("unknown role: use customer, support, operator or admin".to_owned()),
    }
}
