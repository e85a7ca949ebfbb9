//! The OpenAPI document, a viewer for it, and the page of error codes; all served from the binary.

use std::sync::OnceLock;

use bytes::Bytes;

use super::routes::Routes;
use crate::access::Permission;
use crate::budget::Budget;
use crate::call::{Answer, Call};
use crate::openapi;
use crate::problem::Problem;
use crate::spec::{Reads, Spec, Success};

const OPEN: Spec = Spec {
    tag: "documents",
    permission: Permission::Open,
    budget: Budget::Unbounded,
    reads: Reads::None,
    ..Spec::GET
};
const OPENAPI: Spec = Spec {
    path: "/openapi.json",
    operation: "openapi",
    summary: "Returns this document.",
    success: Success::Media("application/json"),
    ..OPEN
};
const VIEWER: Spec = Spec {
    path: "/docs",
    operation: "viewer",
    summary: "Shows this document as a web page.",
    success: Success::Media("text/html"),
    ..OPEN
};
const SCRIPT: Spec = Spec {
    path: "/docs/viewer.js",
    operation: "viewer_script",
    summary: "The script of the web page.",
    success: Success::Media("text/javascript"),
    ..OPEN
};
const STYLE: Spec = Spec {
    path: "/docs/viewer.css",
    operation: "viewer_style",
    summary: "The style sheet of the web page.",
    success: Success::Media("text/css"),
    ..OPEN
};
const ERRORS: Spec = Spec {
    path: "/docs/errors",
    operation: "error_codes",
    summary: "Explains each error code: what happened, whether the request ran, and what to do.",
    success: Success::Media("text/markdown"),
    ..OPEN
};

/// Adds the routes of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes
        .with(&OPENAPI, document)
        .with(&VIEWER, |call: Call| fixed(call, "text/html; charset=utf-8", HTML))
        .with(&SCRIPT, |call: Call| fixed(call, "text/javascript; charset=utf-8", JS))
        .with(&STYLE, |call: Call| fixed(call, "text/css; charset=utf-8", CSS))
        .with(&ERRORS, |call: Call| fixed(call, "text/markdown; charset=utf-8", CODES))
}

const HTML: &str = include_str!("../../text/viewer.html");
const JS: &str = include_str!("../../text/viewer.js");
const CSS: &str = include_str!("../../text/viewer.css");
const CODES: &str = include_str!("../../../docs/errors.md");

async fn document(call: Call) -> Result<Answer, Problem> {
    static DOCUMENT: OnceLock<Bytes> = OnceLock::new();
    let document = DOCUMENT.get_or_init(|| {
        serde_json::to_vec(&openapi::document(&call.app.specs)).unwrap_or_default().into()
    });
    Ok(Answer::media(call.route, "application/json", document.clone()))
}

fn fixed(
    call: Call,
    media: &'static str,
    text: &'static str,
) -> std::future::Ready<Result<Answer, Problem>> {
    let answer = Answer::media(call.route, media, Bytes::from_static(text.as_bytes()));
    drop(call);
    std::future::ready(Ok(answer))
}
