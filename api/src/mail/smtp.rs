//! Mail to an SMTP server, over connections that are used again.
//!
//! The dialogue is ours, command by command, because who is to blame for a reply depends on the
//! command it answers. So is the pool: lettre's own takes back a connection whose send was cut off
//! by a timeout, and then reads the late reply to one mail as the reply to the next.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters,
};
use lettre::transport::smtp::commands::{Data, Mail, Noop, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{self, RootCertStore};

use super::error::{MailError, MailSetupError};
use super::options::{SmtpOptions, SmtpTls};
use crate::keys::read_secret_file;

/// Connections that wait for the next mail.
const IDLE_MAX: usize = 4;
/// For how long. Servers close a silent connection after five minutes, some sooner.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// A connection that waited must answer within this time; otherwise a new one is made.
const WAKE_TIME: Duration = Duration::from_secs(1);
/// Mails over one connection: servers end those with many.
const MAILS_MAX: u32 = 50;

/// An SMTP server.
pub(super) struct SmtpTransport {
    host: String,
    port: u16,
    encryption: Encryption,
    /// The name that this client gives itself.
    hello: ClientId,
    credentials: Option<Credentials>,
    timeout: Duration,
    idle: Mutex<Vec<Idle>>,
}

enum Encryption {
    StartTls(TlsParameters),
    Implicit(TlsParameters),
    None,
}

/// A connection after a complete mail.
struct Idle {
    connection: AsyncSmtpConnection,
    since: Instant,
    mails: u32,
}

/// A part of the dialogue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Greeting,
    Login,
    Sender,
    Recipient,
    Content,
}

impl SmtpTransport {
    /// Reads the password and the authorities. `domain` is what the client says it is.
    pub(super) fn new(options: &SmtpOptions, domain: &str) -> Result<Self, MailSetupError> {
        let credentials = credentials(options)?;
        let parameters = || tls_parameters(options);
        let port = u16::try_from(options.port).ok().filter(|port| *port > 0);
        Ok(Self {
            host: options.host.clone(),
            port: port.unwrap_or(options.tls.port()),
            encryption: match options.tls {
                SmtpTls::StartTls => Encryption::StartTls(parameters()?),
                SmtpTls::Implicit => Encryption::Implicit(parameters()?),
                SmtpTls::None => Encryption::None,
            },
            hello: ClientId::Domain(domain.to_owned()),
            credentials,
            timeout: options.timeout,
            idle: Mutex::default(),
        })
    }

    /// Hands a mail over to the server, or gives up when its time is over.
    pub(super) async fn send(&self, envelope: &Envelope, message: &[u8]) -> Result<(), MailError> {
        let sent = timeout(self.timeout, self.exchange(envelope, message)).await;
        sent.unwrap_or(Err(MailError::server("smtp_timeout")))
    }

    async fn exchange(&self, envelope: &Envelope, message: &[u8]) -> Result<(), MailError> {
        let (mut connection, mails) = match self.wake().await {
            Some(idle) => (idle.connection, idle.mails),
            None => (self.connect().await?, 0),
        };
        // On any error the connection is dropped and thereby closed.
        converse(&mut connection, envelope, message).await?;
        self.park(Idle { connection, since: Instant::now(), mails: mails.saturating_add(1) });
        Ok(())
    }

    /// A connection that waited and still works.
    async fn wake(&self) -> Option<Idle> {
        loop {
            let mut idle = self.idle.lock().pop()?;
            if idle.since.elapsed() < IDLE_TIME {
                let answer = timeout(WAKE_TIME, idle.connection.command(Noop)).await;
                if matches!(answer, Ok(Ok(_))) {
                    return Some(idle);
                }
            }
        }
    }

    fn park(&self, connection: Idle) {
        let mut idle = self.idle.lock();
        idle.retain(|other| other.since.elapsed() < IDLE_TIME);
        if connection.mails < MAILS_MAX && idle.len() < IDLE_MAX {
            idle.push(connection);
        }
    }

    /// A new connection, encrypted and logged in as the settings say.
    async fn connect(&self) -> Result<AsyncSmtpConnection, MailError> {
        let greeting = |error: Error| judge(Step::Greeting, &error);
        let implicit = match &self.encryption {
            Encryption::Implicit(parameters) => Some(parameters.clone()),
            Encryption::StartTls(_) | Encryption::None => None,
        };
        let server = (self.host.as_str(), self.port);
        let connected =
            AsyncSmtpConnection::connect_tokio1(server, None, &self.hello, implicit, None).await;
        let mut connection = connected.map_err(greeting)?;
        if let Encryption::StartTls(parameters) = &self.encryption {
            if !connection.can_starttls() {
                return Err(MailError::setup("smtp_no_starttls"));
            }
            connection.starttls(parameters.clone(), &self.hello).await.map_err(greeting)?;
        }
        if let Some(credentials) = &self.credentials {
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            let login = connection.auth(&mechanisms, credentials).await;
            login.map_err(|error| judge(Step::Login, &error))?;
        }
        Ok(connection)
    }
}

/// Sends one mail over a connection.
async fn converse(
    connection: &mut AsyncSmtpConnection,
    envelope: &Envelope,
    message: &[u8],
) -> Result<(), MailError> {
    let mut parameters = Vec::new();
    if !envelope.to().iter().all(|address| address.user().is_ascii()) {
        if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err(MailError::refused("smtp_ascii_only"));
        }
        parameters.push(MailParameter::SmtpUtfEight);
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    let sender = connection.command(Mail::new(envelope.from().cloned(), parameters)).await;
    sender.map_err(|error| judge(Step::Sender, &error))?;
    for address in envelope.to() {
        let recipient = connection.command(Rcpt::new(address.clone(), Vec::new())).await;
        recipient.map_err(|error| judge(Step::Recipient, &error))?;
    }
    let content = |error: Error| judge(Step::Content, &error);
    connection.command(Data).await.map_err(content)?;
    connection.message(message).await.map_err(content)?;
    Ok(())
}

/// What an error at this step is about.
fn judge(step: Step, error: &Error) -> MailError {
    if let Some(reply) = error.status().map(u16::from) {
        return judge_reply(step, reply, is_quota(error)).with_reply(reply);
    }
    if let Some(cause) = io_cause(error) {
        let tls = cause.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let judged = match step {
            _ if tls.is_some() => MailError::setup("smtp_tls"),
            Step::Greeting => MailError::server("smtp_unreachable"),
            _ => MailError::server("smtp_broken"),
        };
        return judged.with_detail(cause);
    }
    match step {
        // The server offers no way of logging in that both sides know.
        Step::Login if error.is_client() => MailError::setup("smtp_login"),
        // It closed the connection, or does not speak SMTP.
        _ => MailError::server("smtp_broken"),
    }
}

fn judge_reply(step: Step, reply: u16, is_quota: bool) -> MailError {
    match (step, reply) {
        _ if is_quota => MailError::server("smtp_quota"),
        // It closes the connection, whatever it was asked.
        (_, 421) => MailError::server("smtp_temporary"),
        // A login is wanted, or was not accepted.
        (_, 530 | 534 | 535 | 538) | (Step::Login, 500..) => MailError::setup("smtp_login"),
        (Step::Recipient | Step::Content, 500..) => MailError::refused("smtp_refused"),
        (Step::Recipient | Step::Content, _) => MailError::delayed("smtp_temporary"),
        (_, 500..) => MailError::server("smtp_refused"),
        _ => MailError::server("smtp_temporary"),
    }
}

/// Whether the server takes no more mail from this account for a while. Gmail says so with a reply
/// that is permanent for any other mail: 550-5.4.5.
fn is_quota(error: &Error) -> bool {
    let text = error.source().map(ToString::to_string).unwrap_or_default();
    matches!(text.split_whitespace().next(), Some("5.4.5" | "4.4.5"))
}

/// The error of the operating system or the TLS library behind an error.
fn io_cause(error: &Error) -> Option<&std::io::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

fn credentials(options: &SmtpOptions) -> Result<Option<Credentials>, MailSetupError> {
    if options.user.is_empty() {
        return Ok(None);
    }
    let path = Path::new(&options.password_file);
    let text = read_secret_file(path).map_err(MailSetupError::Password)?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() || password.contains(char::is_control) {
        return Err(MailSetupError::NoPassword { path: path.to_owned() });
    }
    Ok(Some(Credentials::new(options.user.clone(), password.to_owned())))
}

fn tls_parameters(options: &SmtpOptions) -> Result<TlsParameters, MailSetupError> {
    let (found, place) = if options.ca_file.is_empty() {
        (rustls_native_certs::load_native_certs().certs, "the operating system".to_owned())
    } else {
        (read_authorities(Path::new(&options.ca_file))?, options.ca_file.clone())
    };
    let none = || MailSetupError::NoAuthorities(place.clone());
    let mut builder =
        TlsParameters::builder(options.host.clone()).certificate_store(CertificateStore::None);
    let mut is_empty = true;
    for authority in found {
        // One that the TLS library does not understand must not make the others useless.
        if RootCertStore::empty().add(authority.clone()).is_ok() {
            let authority = Certificate::from_der(authority.to_vec()).map_err(|_| none())?;
            builder = builder.add_root_certificate(authority);
            is_empty = false;
        }
    }
    if is_empty {
        return Err(none());
    }
    builder.build().map_err(|_| none())
}

fn read_authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, MailSetupError> {
    let bytes = std::fs::read(path)
        .map_err(|source| MailSetupError::Authorities { path: path.to_owned(), source })?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    found.map_err(|_| MailSetupError::NoAuthorities(path.display().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code, permanence and verdict of a reply at a step.
    fn judged(step: Step, reply: u16) -> (&'static str, bool, super::super::error::About) {
        let error = judge_reply(step, reply, false);
        (error.code, error.permanent, error.about)
    }

    #[test]
    fn replies_are_judged_by_what_they_answer() {
        use super::super::error::About;
        for (step, reply, expected) in [
            (Step::Greeting, 421, ("smtp_temporary", false, About::Server)),
            (Step::Greeting, 450, ("smtp_temporary", false, About::Server)),
            (Step::Greeting, 554, ("smtp_refused", false, About::Server)),
            (Step::Login, 454, ("smtp_temporary", false, About::Server)),
            (Step::Login, 535, ("smtp_login", false, About::Setup)),
            (Step::Login, 500, ("smtp_login", false, About::Setup)),
            (Step::Sender, 452, ("smtp_temporary", false, About::Server)),
            (Step::Sender, 530, ("smtp_login", false, About::Setup)),
            (Step::Sender, 553, ("smtp_refused", false, About::Server)),
            (Step::Recipient, 421, ("smtp_temporary", false, About::Server)),
            (Step::Recipient, 450, ("smtp_temporary", false, About::Mail)),
            (Step::Recipient, 550, ("smtp_refused", true, About::Mail)),
            (Step::Content, 451, ("smtp_temporary", false, About::Mail)),
            (Step::Content, 554, ("smtp_refused", true, About::Mail)),
        ] {
            assert_eq!(judged(step, reply), expected, "{reply}");
        }
        let quota = judge_reply(Step::Content, 550, true);
        assert_eq!((quota.code, quota.permanent), ("smtp_quota", false));
    }
}
