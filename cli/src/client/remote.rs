//! The arguments of every command that talks to a node: which node, and as which user.

use std::path::PathBuf;
use std::time::Duration;

use firstcome_domain::{Role, UserId};

use super::http::Client;
use crate::credentials::{self, fresh_user};

/// Lifetime of a token generated for one command.
const TOKEN_SECONDS: u64 = 600;

/// Which node, and as which user.
#[derive(clap::Args)]
pub(crate) struct Remote {
    /// URL of any node's REST API.
    #[arg(long, env = "FIRSTCOME_URL", default_value = "http://127.0.0.1:7400", global = true)]
    url: String,
    /// Access token; without it, one is generated from the master key if there is one.
    #[arg(long, env = "FIRSTCOME_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    /// Master key to generate a token with; without it FIRSTCOME_MASTER_KEY_FILE,
    /// FIRSTCOME_MASTER_KEY or ./data/master.key.
    #[arg(long, value_name = "FILE", global = true)]
    key_file: Option<PathBuf>,
    /// User for whom a token is generated; a new one by default.
    #[arg(long, value_name = "usr_...", global = true)]
    subject: Option<UserId>,
    /// Seconds to wait for a response.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", global = true)]
    timeout: u64,
}

impl Remote {
    /// A client; if it has to generate a token, the token has this role.
    pub(crate) fn client(&self, role: Role) -> anyhow::Result<Client> {
        let token = match &self.token {
            Some(token) => Some(token.clone()),
            None => credentials::find(self.key_file.as_ref())?.map(|keys| {
                keys.mint(self.subject.unwrap_or_else(fresh_user), role, TOKEN_SECONDS)
            }),
        };
        Client::new(&self.url, token, Duration::from_secs(self.timeout))
    }
}
