//! Settings of the HTTP side of one node.

use std::sync::Arc;

use crate::country::Country;
use crate::issuer::Issuers;
use crate::mail::{MailOptions, Mailer};
use crate::rate::RateLimits;

/// How fresh a read must be when the request does not say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Consistency {
    /// Sees every write that was acknowledged before the request.
    #[default]
    Linearizable,
    /// Sees what this node has applied.
    Local,
}

/// Settings of the HTTP side of one node.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// Default consistency of reads, except the catalogue lists, which are local.
    pub default_consistency: Consistency,
    /// Offers `POST /v1/bench/noop`, which does everything except propose. Never in production.
    pub noop_route: bool,
    /// Maximum number of open connections; further ones get 503 at once.
    pub max_connections: usize,
    /// Maximum number of in-flight purchases; further ones wait up to 500 ms, then get 503.
    pub purchase_slots: usize,
    /// How many requests a client may send.
    pub limits: RateLimits,
    /// Whose tokens make their bearers customers.
    pub issuers: Arc<Issuers>,
    /// Where an address is that does not say so.
    pub country: Country,
    /// What mail says of the shop, and how it is sent.
    pub mail: MailOptions,
    /// What sends mail on this node, for its state to be shown.
    pub mailer: Option<Arc<Mailer>>,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            default_consistency: Consistency::Linearizable,
            noop_route: false,
            max_connections: 10_000,
            purchase_slots: 2048,
            limits: RateLimits::default(),
            issuers: Arc::default(),
            country: Country::default(),
            mail: MailOptions::default(),
            mailer: None,
        }
    }
}
