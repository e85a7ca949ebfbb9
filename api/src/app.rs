//! What all requests to one node share: the node, its keys, settings, counters and budgets.

use std::sync::Arc;

use firstcome_raft::{ClusterStatus, Failure, Node};
use http::HeaderValue;

use crate::budget::Budgets;
use crate::coalesce::SharedRound;
use crate::keyring::Keyring;
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::options::ApiOptions;
use crate::password::pool::PasswordPool;
use crate::rate::Limits;
use crate::spec::Spec;
use crate::throttle::Throttle;

/// The shared state of the router.
pub(crate) struct App {
    pub(crate) node: Node,
    pub(crate) keys: Arc<Keys>,
    /// What the keys have to fit.
    pub(crate) keyring: Keyring,
    pub(crate) options: ApiOptions,
    pub(crate) metrics: Metrics,
    pub(crate) budgets: Budgets,
    pub(crate) limits: Limits,
    pub(crate) passwords: PasswordPool,
    pub(crate) throttle: Throttle,
    /// Asks every member how far it is.
    pub(crate) cluster_status: SharedRound<Result<ClusterStatus, Failure>>,
    /// Every route, in the order of the counters.
    pub(crate) specs: Vec<&'static Spec>,
    /// The node's name, as `X-Served-By` carries it.
    pub(crate) served_by: HeaderValue,
}

impl App {
    /// Ties a node, its keys and the routes together.
    pub(crate) fn new(
        node: Node,
        keys: &Keys,
        options: ApiOptions,
        specs: Vec<&'static Spec>,
    ) -> Self {
        let keyring = Keyring::new(node.clone(), keys);
        let served_by = HeaderValue::from_str(node.name());
        Self {
            metrics: Metrics::new(&specs),
            budgets: Budgets::new(options.purchase_slots),
            limits: Limits::new(&options.limits),
            passwords: PasswordPool::new(),
            throttle: Throttle::default(),
            cluster_status: SharedRound::new(),
            served_by: served_by.unwrap_or(HeaderValue::from_static("unnamed")),
            node,
            keys: keyring.keys(),
            keyring,
            options,
            specs,
        }
    }
}
