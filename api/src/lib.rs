//! HTTP in, HTTP out, on any node.
//!
//! A request becomes at most one [`firstcome_domain::Command`]: its route checks the caller,
//! the `Idempotency-Key` and the JSON body, makes ids, seals personal data, and proposes through
//! [`firstcome_raft::Node`]. The answer is built from the outcome alone, so a replay is equal byte
//! for byte. What goes wrong becomes one kind of document, in [`problem`].
//!
//! Reading order: [`route`] is the table of all routes; [`edge`] is what every request passes
//! through; [`call`] is what a route's handler works with; [`view`] is what answers look like.
//!
//! Not here: rules of the shop (domain), rows and files (storage), agreement (raft). Nothing right
//! of this crate names an HTTP status.

mod access;
mod body;
mod budget;
mod call;
mod edge;
mod fields;
#[doc(hidden)]
pub mod fuzz;
mod instant;
mod keys;
mod metrics;
mod openapi;
mod paging;
mod problem;
mod query;
mod receipt;
mod route;
mod seal;
mod serve;
mod shop;
mod spec;
mod token;
mod view;

pub use keys::{KeyError, Keys, MasterKey};
pub use problem::CODES;
pub use serve::serve;
pub use shop::Shop;

use std::sync::Arc;

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

/// Settings of the HTTP side of one node.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// Default of reads other than the catalogue lists, which are local.
    pub default_consistency: Consistency,
    /// Offers `POST /v1/bench/noop`, which does everything but propose. Never in production.
    pub noop_route: bool,
    /// Open connections; later ones get 503 at once.
    pub max_connections: usize,
    /// Purchases in work at once; later ones wait up to 500 ms, then get 503.
    pub purchase_slots: usize,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            default_consistency: Consistency::Linearizable,
            noop_route: false,
            max_connections: 10_000,
            purchase_slots: 2048,
        }
    }
}

/// Builds the router of all routes over one node.
pub fn router(node: Node, keys: Arc<Keys>, options: ApiOptions) -> axum::Router {
    route::router(Arc::new(edge::App::new(node, keys, options)))
}
