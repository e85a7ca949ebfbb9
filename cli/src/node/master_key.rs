//! The master key of a node.

use std::path::Path;

use firstcome_api::MasterKey;

use crate::config::Config;
use crate::credentials;
use crate::exit::Stop;

/// The master key from the environment. A cluster of several nodes cannot start without one.
pub(super) fn shared_key(config: &Config) -> Result<Option<MasterKey>, Stop> {
    let key = credentials::from_environment()?;
    if key.is_none() && config.settings.nodes.len() > 1 {
        return Err(Stop::config(
            "all nodes of a cluster need the same master key: create it with `firstcome keys init \
             FILE`, copy it to every node, and set FIRSTCOME_MASTER_KEY_FILE=FILE",
        ));
    }
    Ok(key)
}

/// The key of a development node: generated on first use, in its data directory.
pub(super) fn development_key(data_dir: &Path) -> anyhow::Result<MasterKey> {
    let file = data_dir.join("master.key");
    if !file.exists() {
        credentials::create_key_file(&file, &credentials::generate()?)?;
    }
    tracing::warn!(
        file = %file.display(),
        "using a DEVELOPMENT KEY: anyone who can read this file can sign tokens for any user. \
         Outside of development, run `firstcome keys init FILE` and set \
         FIRSTCOME_MASTER_KEY_FILE=FILE"
    );
    Ok(credentials::load(&file)?)
}
