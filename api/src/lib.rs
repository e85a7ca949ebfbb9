//! STAND-IN, replaced by the real crate when branches meet: the surface `cli` is written against.
//!
//! Everything answers with an error or nothing; no behaviour may be built on it.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use firstcome_domain::{Role, UserId};
use firstcome_raft::Node;

/// How fresh a read has to be when the request does not say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Consistency {
    /// Sees everything that was answered before the request.
    #[default]
    Linearizable,
    /// Sees what this node has applied.
    Local,
}

/// Settings of the REST side.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// Default of reads other than the catalogue lists.
    pub default_consistency: Consistency,
    /// Whether the route of `bench --ceiling` exists.
    pub noop_route: bool,
    /// Connections at one time.
    pub max_connections: usize,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            default_consistency: Consistency::Linearizable,
            noop_route: false,
            max_connections: 10_000,
        }
    }
}

/// Why a master key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("no usable master key")]
pub struct KeyError;

/// The 32 bytes that all nodes share.
#[derive(Clone)]
pub struct MasterKey(String);

impl MasterKey {
    /// Draws a new one.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self("1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_owned()))
    }
    /// Writes it as the line of a key file.
    pub fn to_file_text(&self) -> String {
        format!("{}\n", self.0)
    }
    /// Reads a key file.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        std::fs::read_to_string(path).map_err(|_| KeyError).and_then(|text| Self::parse(&text))
    }
    /// Reads the text of a key file.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        text.contains(':').then(|| Self(text.trim().to_owned())).ok_or(KeyError)
    }
}

/// The keys derived from the master key.
pub struct Keys(MasterKey);

impl Keys {
    /// Derives them.
    pub fn new(master: &MasterKey) -> Result<Self, KeyError> {
        Ok(Self(master.clone()))
    }
    /// Signs an access token.
    pub fn mint(&self, subject: UserId, role: Role, ttl_seconds: u64) -> String {
        format!("{}.{subject}.{role:?}.{ttl_seconds}", self.0.0)
    }
}

/// All routes.
pub fn router(_node: Node, _keys: Arc<Keys>, _options: ApiOptions) -> axum::Router {
    axum::Router::new()
}

/// Serves until `shutdown`, then until the last answer went out.
pub async fn serve(
    listener: tokio::net::TcpListener,
    router: axum::Router,
    _options: ApiOptions,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(shutdown).await
}
