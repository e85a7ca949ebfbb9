//! The table of all routes. A route exists only here, with its [`Spec`]: what it demands, what it
//! answers, and so what the OpenAPI document says about it.

pub(crate) mod admin_order;
pub(crate) mod admin_product;
pub(crate) mod admin_record;
pub(crate) mod admin_sale;
pub(crate) mod bench;
pub(crate) mod catalogue;
pub(crate) mod cluster;
pub(crate) mod document;
pub(crate) mod health;
pub(crate) mod order;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawPathParams, Request, State};
use axum::routing::{MethodFilter, on};

use crate::call::{Answer, Call};
use crate::edge::{self, App};
use crate::problem::{Code, Problem};
use crate::spec::{Spec, Verb};

/// Registers routes, each with its spec and its handler.
pub(crate) struct Table {
    router: Router<Arc<App>>,
    specs: Vec<&'static Spec>,
}

impl Table {
    /// Adds one route.
    #[must_use]
    fn with<H, F>(mut self, spec: &'static Spec, handler: H) -> Self
    where
        H: FnOnce(Call) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Answer, Problem>> + Send + 'static,
    {
        let slot = self.specs.len();
        let filter = match spec.verb {
            Verb::Get => MethodFilter::GET,
            Verb::Post => MethodFilter::POST,
            Verb::Patch => MethodFilter::PATCH,
            Verb::Delete => MethodFilter::DELETE,
        };
        let serve = move |State(app): State<Arc<App>>, path: Path, request: Request<Body>| {
            edge::serve(app, spec, slot, path.0, request, handler)
        };
        self.router = self.router.route(spec.path, on(filter, serve));
        self.specs.push(spec);
        self
    }
}

/// Path parameters, or none if they are no UTF-8: such a path names nothing.
struct Path(Option<RawPathParams>);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Path {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut http::request::Parts,
        state: &S,
    ) -> Result<Self, Self::Rejection> {
        Ok(Self(RawPathParams::from_request_parts(parts, state).await.ok()))
    }
}

fn table() -> Table {
    let table = Table { router: Router::new(), specs: Vec::new() };
    let table = order::register(catalogue::register(table));
    let table = admin_sale::register(admin_product::register(table));
    let table = admin_record::register(admin_order::register(table));
    document::register(health::register(cluster::register(table)))
}

/// What every route promises, in the order of the counters.
pub(crate) fn specs() -> Vec<&'static Spec> {
    let mut specs = table().specs;
    specs.push(&bench::NOOP);
    specs
}

/// The router of all routes.
pub(crate) fn router(app: Arc<App>) -> Router {
    let table = table();
    let table = if app.options.noop_route { bench::register(table) } else { table };
    let unknown = |State(app): State<Arc<App>>, request: Request<Body>| async move {
        edge::stray(&app, request, Code::NotFound).await
    };
    let wrong_method = |State(app): State<Arc<App>>, request: Request<Body>| async move {
        edge::stray(&app, request, Code::MethodNotAllowed).await
    };
    table.router.fallback(unknown).method_not_allowed_fallback(wrong_method).with_state(app)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::access::Permission;
    use crate::spec::KeyRule;

    #[test]
    fn ref05_every_route_declares_its_sender() {
        for spec in specs() {
            let open = spec.permission.is_public();
            let write = spec.verb != Verb::Get;
            assert!(
                !(open && write),
                "{} {} changes without a caller",
                spec.verb.as_str(),
                spec.path
            );
            let staff = spec.path.starts_with("/v1/admin");
            let own = matches!(spec.permission, Permission::Own);
            assert!(!(staff && (open || own)), "{} is not for customers", spec.path);
        }
    }

    #[test]
    fn operations_and_addresses_are_unique() {
        let specs = specs();
        let operations: BTreeSet<_> = specs.iter().map(|spec| spec.operation).collect();
        let addresses: BTreeSet<_> =
            specs.iter().map(|spec| (spec.path, spec.verb.as_str())).collect();
        assert_eq!(operations.len(), specs.len());
        assert_eq!(addresses.len(), specs.len());
        assert!(specs.iter().all(|spec| !spec.summary.is_empty() && !spec.tag.is_empty()));
    }

    #[test]
    fn what_moves_units_or_money_demands_a_key() {
        for spec in specs() {
            let moves = ["orders", "cancellations", "returns", "return-receipts"]
                .into_iter()
                .chain(["stock-adjustments", "allotments"])
                .any(|last| spec.path.ends_with(last));
            let demanded = spec.key == KeyRule::Required;
            assert_eq!(spec.verb == Verb::Post && moves, demanded, "{}", spec.path);
        }
    }
}
