//! Sessions, and the tokens that they come with.

use firstcome_domain::SessionId;
use firstcome_domain::session::{Session, SessionKind};
use serde::Serialize;
use utoipa::ToSchema;

use crate::rfc3339;

/// The tokens of a session. Keep the refresh token secret: anyone who has it can act as the user.
#[derive(Serialize, ToSchema)]
#[schema(as = Tokens)]
pub(crate) struct TokensBody {
    /// For `Authorization: Bearer`.
    pub(crate) access_token: String,
    /// Always `Bearer`.
    #[schema(example = "Bearer")]
    pub(crate) token_type: &'static str,
    /// How long the access token lasts.
    pub(crate) expires_in_seconds: u64,
    /// For one `POST /v1/auth/refresh`.
    pub(crate) refresh_token: String,
    /// When the session ends unless it is renewed.
    pub(crate) refresh_expires_at: String,
    /// `ses_...`
    pub(crate) session_id: String,
    /// `usr_...`
    pub(crate) user_id: String,
}

/// A token for a customer of a shop's own server.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedToken)]
pub(crate) struct IssuedTokenBody {
    /// For `Authorization: Bearer`.
    pub(crate) access_token: String,
    pub(crate) expires_at: String,
    /// `usr_...`
    pub(crate) user_id: String,
}

/// Proof of an e-mail address.
#[derive(Serialize, ToSchema)]
#[schema(as = EmailVerification)]
pub(crate) struct VerificationBody<'t> {
    /// For one sign-up with this address, within 30 minutes.
    verification_token: &'t str,
}

impl<'t> VerificationBody<'t> {
    pub(crate) const fn new(verification_token: &'t str) -> Self {
        Self { verification_token }
    }
}

/// A session of the caller.
#[derive(Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct SessionBody {
    /// Always `session`.
    #[schema(example = "session")]
    object: &'static str,
    /// `ses_...`
    id: String,
    /// `login`, or `issued` by a shop's server.
    #[schema(example = "login")]
    kind: &'static str,
    /// Whether it is the one that asks.
    current: bool,
    created_at: String,
    /// When it was renewed last.
    last_used_at: String,
    /// When it ends unless it is renewed.
    expires_at: String,
}

impl SessionBody {
    pub(crate) fn of(session: &Session, current: Option<SessionId>) -> Self {
        Self {
            object: "session",
            id: session.id.to_string(),
            kind: match session.kind {
                SessionKind::Login => "login",
                SessionKind::Issued => "issued",
            },
            current: current == Some(session.id),
            created_at: rfc3339::format(session.row.created.now),
            last_used_at: rfc3339::format(session.rotated_at),
            expires_at: rfc3339::format(session.ends_at()),
        }
    }
}
