//! HTTP in, HTTP out, on any node.
//!
//! A request becomes at most one [`firstcome_domain::Command`]. Its route checks the caller, the
//! `Idempotency-Key` and the JSON body, draws ids, seals personal data, and proposes the command
//! through [`firstcome_raft::Node`]. The response is built from the outcome alone, so a replay is
//! equal byte for byte. Everything that goes wrong becomes a [`problem`] document.
//!
//! Imports run in one direction, and no two files need each other:
//!
//! | layer | files |
//! |---|---|
//! | tables and values | [`options`], [`problem`], [`access`], [`budget`], [`coalesce`], [`spec`], [`rfc3339`], [`language`], [`keys`], [`issuer`], [`mail`], [`throttle`] |
//! | parts of a request | [`token`], [`body`], [`query`], [`paging`], [`fields`], [`email`], [`password`], [`secret`], [`refresh`], [`seal`], [`account`], [`keyring`], [`json`], [`idempotency`] |
//! | what a handler works with | [`resource`] (response bodies), [`app`], [`identity`], [`call`] |
//! | what every request passes through | [`edge`] |
//! | the list of routes and their handlers | [`route`] |
//! | what the leader does by itself | [`shop`], [`outbox`] |
//!
//! Not here: rules of the shop (domain), rows and files (storage), agreement (raft). Nothing right
//! of this crate names an HTTP status.

mod access;
mod account;
mod app;
mod body;
mod budget;
mod call;
mod coalesce;
mod country;
mod edge;
mod email;
mod fields;
#[doc(hidden)]
pub mod fuzz;
mod idempotency;
mod identity;
mod issuer;
mod json;
mod keyring;
mod keys;
mod language;
mod mail;
mod metrics;
mod openapi;
mod options;
mod outbox;
mod paging;
mod password;
mod problem;
mod query;
mod rate;
mod refresh;
mod resource;
pub mod rfc3339;
mod route;
mod seal;
mod secret;
mod seeded;
mod serve;
mod shop;
mod spec;
mod throttle;
mod token;

pub use country::{Country, NoCountry};
pub use issuer::{IssuerAlgorithm, IssuerError, IssuerOptions, Issuers, JwksUrl, KeySource};
pub use keyring::{KeyMismatch, Keyring};
pub use keys::{KeyError, Keys, MasterKey};
pub use mail::{
    InvalidText, MailOptions, MailSetupError, MailTransport, Mailer, ResetUrl, Sender, ShopName,
    SmtpOptions, SmtpTls,
};
pub use options::{ApiOptions, Consistency};
pub use outbox::Outbox;
pub use problem::CODES;
pub use rate::{Rate, RateLimits};
pub use serve::serve;
pub use shop::Shop;

use firstcome_raft::Node;

/// Builds the router of all routes over one node.
pub fn router(node: Node, keys: &Keys, options: ApiOptions) -> axum::Router {
    route::router(node, keys, options)
}
