//! A session goes on when its access token has expired.
//!
//! Several processes may do this at once: within 30 seconds a node gives all of them the same
//! successor of a refresh token. A later process finds the new token in the file.

use serde_json::json;

use super::http::{Client, Request};
use crate::session::{Session, SessionFile};

/// A session of `firstcome login`, and where it is kept.
pub(crate) struct Kept {
    pub(crate) file: SessionFile,
    pub(crate) session: Session,
}

/// A session that cannot go on: closed, expired, or of a blocked user.
#[derive(Debug, thiserror::Error)]
#[error(
    "the session of {email} at {url} has ended; log in again: firstcome login --url {url}\n  {why}"
)]
pub(crate) struct SessionEnded {
    email: String,
    url: String,
    why: String,
}

impl Client {
    /// Replaces the access token that a node no longer takes.
    pub(super) async fn renew(&self, kept: &mut Kept) -> anyhow::Result<()> {
        let mine = &kept.session;
        let now = kept.file.load(self.base())?;
        let by_another =
            now.filter(|now| now.id == mine.id && now.access_token != mine.access_token);
        if let Some(session) = by_another {
            kept.session = session;
            return Ok(());
        }
        let body = json!({ "refresh_token": mine.refresh_token });
        let response = self.send_as(&Request::post("/v1/auth/refresh", &body), None).await?;
        if response.status.is_success() {
            let next = Session::of(&mine.email, &response.body)?;
            kept.file.renew(self.base(), &mine.refresh_token, next.clone())?;
            kept.session = next;
            return Ok(());
        }
        let refusal = response.refusal();
        if matches!(response.status.as_u16(), 401 | 403) {
            let (email, url) = (mine.email.clone(), self.base().to_owned());
            return Err(SessionEnded { email, url, why: refusal.message }.into());
        }
        Err(refusal.into())
    }
}
