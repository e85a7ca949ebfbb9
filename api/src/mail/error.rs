//! Why a mail was not sent.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::breaker::Verdict;
use crate::keys::KeyError;

/// What a failure is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum About {
    /// This mail alone: others may well get through.
    Mail,
    /// The server, or the way to it.
    Server,
    /// A setting, or an account at the server.
    Setup,
}

/// Why a mail was not sent. It never holds the recipient or a value of the letter, and nothing of
/// what a server said but numbers, because servers repeat addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct MailError {
    /// Stable, for people and programs.
    pub(crate) code: &'static str,
    /// It will never succeed.
    pub(crate) permanent: bool,
    pub(crate) about: About,
    /// When to try again, if that is known.
    pub(crate) retry_in: Option<Duration>,
    /// The reply of the server.
    reply: Option<u16>,
    /// What the operating system or the TLS library said.
    detail: Option<String>,
}

impl MailError {
    const fn new(about: About, code: &'static str) -> Self {
        Self { code, permanent: false, about, retry_in: None, reply: None, detail: None }
    }

    /// The server or the way to it failed.
    pub(super) const fn server(code: &'static str) -> Self {
        Self::new(About::Server, code)
    }

    /// Somebody has to change something first.
    pub(super) const fn setup(code: &'static str) -> Self {
        Self::new(About::Setup, code)
    }

    /// This mail was not taken this time.
    pub(super) const fn delayed(code: &'static str) -> Self {
        Self::new(About::Mail, code)
    }

    /// This mail will never be taken.
    pub(super) fn refused(code: &'static str) -> Self {
        Self { permanent: true, ..Self::new(About::Mail, code) }
    }

    /// No attempt was made.
    pub(super) fn breaker_open(retry_in: Duration) -> Self {
        Self { retry_in: Some(retry_in), ..Self::server("breaker_open") }
    }

    pub(super) fn with_reply(self, reply: u16) -> Self {
        Self { reply: Some(reply), ..self }
    }

    pub(super) fn with_detail(self, error: &std::io::Error) -> Self {
        Self { detail: Some(error.to_string()), ..self }
    }

    /// What it says about the transport.
    pub(super) const fn verdict(&self) -> Verdict {
        match self.about {
            About::Mail => Verdict::Works,
            About::Server => Verdict::Failed,
            About::Setup => Verdict::Misconfigured,
        }
    }
}

impl fmt::Display for MailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)?;
        if let Some(reply) = self.reply {
            write!(f, ", reply {reply}")?;
        }
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}

impl std::error::Error for MailError {}

/// Why a node cannot send mail with its settings.
#[derive(Debug, thiserror::Error)]
pub enum MailSetupError {
    /// Two settings do not fit together.
    #[error("{key}: {what}")]
    Contradiction {
        /// The one to look at.
        key: &'static str,
        /// Why.
        what: String,
    },
    /// There is no password, or others can read it as well.
    #[error("mail.smtp.password_file cannot be used")]
    Password(#[source] KeyError),
    /// The file holds no password.
    #[error("mail.smtp.password_file: {path} must hold the password on one line")]
    NoPassword {
        /// Which file.
        path: PathBuf,
    },
    /// The authorities cannot be read.
    #[error("mail.smtp.ca_file: cannot read {path}")]
    Authorities {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// There are no authorities to check the server against.
    #[error(
        "mail.smtp.ca_file: {0} has no certificates in PEM form; without this setting, those of the \
         package ca-certificates count"
    )]
    NoAuthorities(String),
}
