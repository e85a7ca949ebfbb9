//! Registers routes: each with its [`Spec`] and its handler, so that none goes undocumented.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawPathParams, Request, State};
use axum::routing::{MethodFilter, on};

use crate::app::App;
use crate::call::{Answer, Call};
use crate::edge;
use crate::problem::{Code, Problem};
use crate::spec::{Spec, Verb};

/// The routes registered so far.
pub(super) struct Routes {
    router: Router<Arc<App>>,
    specs: Vec<&'static Spec>,
}

impl Routes {
    /// No routes yet.
    pub(super) fn new() -> Self {
        Self { router: Router::new(), specs: Vec::new() }
    }

    /// Adds one route.
    #[must_use]
    pub(super) fn with<H, F>(mut self, spec: &'static Spec, handler: H) -> Self
    where
        H: FnOnce(Call) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Answer, Problem>> + Send + 'static,
    {
        let slot = self.specs.len();
        let filter = match spec.verb {
            Verb::Get => MethodFilter::GET,
            Verb::Post => MethodFilter::POST,
            Verb::Put => MethodFilter::PUT,
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

    /// The specs, in the order of registration.
    pub(super) fn specs(&self) -> Vec<&'static Spec> {
        self.specs.clone()
    }

    /// The router; requests that match no route get a problem document too.
    pub(super) fn into_router(self, app: Arc<App>) -> Router {
        let unknown = |State(app): State<Arc<App>>, request: Request<Body>| async move {
            edge::unmatched(&app, request, Code::NotFound).await
        };
        let wrong_method = |State(app): State<Arc<App>>, request: Request<Body>| async move {
            edge::unmatched(&app, request, Code::MethodNotAllowed).await
        };
        self.router.fallback(unknown).method_not_allowed_fallback(wrong_method).with_state(app)
    }
}

/// Path parameters, or none if they are not UTF-8: such a path names nothing.
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
