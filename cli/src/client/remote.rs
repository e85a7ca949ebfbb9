//! The arguments of every command that talks to a node: which node, and as which user.

use std::path::PathBuf;
use std::time::Duration;

use firstcome_api::Keys;
use firstcome_domain::{Role, UserId};

use super::http::Client;
use super::renew::Kept;
use crate::credentials::{self, fresh_user, parse_role};
use crate::exit::{Exit, Stop};
use crate::session::SessionFile;

/// Lifetime of a token generated for one command.
const TOKEN_SECONDS: u64 = 600;

/// Which node.
#[derive(clap::Args)]
pub(crate) struct Endpoint {
    /// URL of any node's REST API.
    #[arg(long, env = "FIRSTCOME_URL", default_value = "http://127.0.0.1:7400", global = true)]
    url: String,
    /// Seconds to wait for a response.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", global = true)]
    timeout: u64,
}

/// Which node, and as which user.
#[derive(clap::Args)]
pub(crate) struct Remote {
    #[command(flatten)]
    endpoint: Endpoint,
    /// Access token; without it, the session of firstcome login is used or, if there is none, a
    /// token generated from the master key.
    #[arg(long, env = "FIRSTCOME_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    /// Master key to generate a token with, in spite of a session; without it
    /// FIRSTCOME_MASTER_KEY_FILE, FIRSTCOME_MASTER_KEY or ./data/master.key.
    #[arg(long, value_name = "FILE", global = true)]
    key_file: Option<PathBuf>,
    /// User for whom a token is generated, in spite of a session; a new one by default.
    #[arg(long, value_name = "usr_...", global = true)]
    subject: Option<UserId>,
    /// Role of the token that is generated, in spite of a session: customer, support, operator or
    /// admin. By default the one that the command needs.
    #[arg(long = "as", value_name = "ROLE", value_parser = parse_role, global = true)]
    as_role: Option<Role>,
}

impl Endpoint {
    /// A client without a token.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        self.client_with(None)
    }

    /// A client that asks as the session of `firstcome login`, if there is one.
    pub(crate) fn session_client(&self) -> anyhow::Result<Option<Client>> {
        let client = self.client()?;
        // Without a place for sessions there is none.
        let Ok(file) = SessionFile::locate() else { return Ok(None) };
        let session = file.load(client.base())?;
        Ok(session.map(|session| client.with_session(Kept { file, session })))
    }

    fn client_with(&self, token: Option<String>) -> anyhow::Result<Client> {
        Client::new(&self.url, token, Duration::from_secs(self.timeout))
    }
}

impl Remote {
    /// A client; if it has to generate a token, the token has this role unless another is asked
    /// for.
    pub(crate) fn client(&self, role: Role) -> anyhow::Result<Client> {
        if let Some(client) = self.known()? {
            return Ok(client);
        }
        let keys = credentials::find(self.key_file.as_ref())?;
        self.endpoint.client_with(keys.map(|keys| self.mint(&keys, role)))
    }

    /// A client with a token from the master key, even if a user is logged in.
    pub(crate) fn client_of_key(&self, role: Role) -> anyhow::Result<Client> {
        if let Some(token) = &self.token {
            return self.endpoint.client_with(Some(token.clone()));
        }
        let master = credentials::require_master(self.key_file.as_ref())?;
        self.endpoint.client_with(Some(self.mint(&credentials::derive(&master)?, role)))
    }

    fn mint(&self, keys: &Keys, role: Role) -> String {
        let subject = self.subject.unwrap_or_else(fresh_user);
        keys.mint(subject, self.as_role.unwrap_or(role), TOKEN_SECONDS)
    }

    /// A client with the token that was given, or that of a session; `None` if there is neither, or
    /// if a generated one is asked for.
    fn known(&self) -> anyhow::Result<Option<Client>> {
        if let Some(token) = &self.token {
            return self.endpoint.client_with(Some(token.clone())).map(Some);
        }
        let generates = self.key_file.is_some() || self.subject.is_some() || self.as_role.is_some();
        if generates { Ok(None) } else { self.endpoint.session_client() }
    }

    /// A client for what only makes sense as somebody.
    pub(crate) fn client_of_somebody(&self) -> anyhow::Result<Client> {
        match self.known()? {
            Some(client) => Ok(client),
            None if self.subject.is_some() => self.client(Role::Customer),
            None => {
                let message = format!(
                    "not logged in at {}: run firstcome login, or pass --token",
                    self.endpoint.client()?.base()
                );
                Err(Stop::new(Exit::Refused, message).into())
            }
        }
    }
}
