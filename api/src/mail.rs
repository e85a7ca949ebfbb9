//! Mail to customers: letters in two languages, to an SMTP server or into files.
//!
//! A mail belongs to an effect, and its `Message-ID` is made of the effect's id, so that a mail
//! that is sent twice, because nobody knows whether it arrived, can be told as one. An error says
//! whether another attempt makes sense and whether others would fail as well; a breaker keeps mail
//! away from a server that does not work. Neither an error nor a log line holds an address or a value.
//!
//! - `options`: what the settings say; `letter`: what mails say
//! - `file`, `smtp`: the transports; `error`: why a mail was not sent; `breaker`: when to pause
//!
//! Not here: which mail is sent when, and again when (the effects of the domain and their runner).

mod breaker;
mod error;
mod file;
mod letter;
mod options;
mod smtp;

use std::path::Path;

use idna::domain_to_ascii;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};
use parking_lot::Mutex;
use tokio::time::Instant;

use self::breaker::{Breaker, Ticket, Verdict};
use self::file::FileTransport;
use self::smtp::SmtpTransport;

pub(crate) use self::breaker::{BreakerState, BreakerView};
pub(crate) use self::error::MailError;
pub use self::error::MailSetupError;
pub(crate) use self::letter::{Letter, Template};
pub use self::options::{
    InvalidText, MailOptions, MailTransport, ResetUrl, Sender, ShopName, SmtpOptions, SmtpTls,
};

/// Sends letters.
pub struct Mailer {
    options: MailOptions,
    transport: Transport,
    breaker: Mutex<Breaker>,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mailer")
    }
}

enum Transport {
    File(FileTransport),
    Smtp(SmtpTransport),
}

impl Mailer {
    /// Reads the files that the settings name. Mail that goes into files goes to `data_dir`.
    pub fn new(options: &MailOptions, data_dir: &Path) -> Result<Self, MailSetupError> {
        if let Some((key, what)) = options.contradiction() {
            return Err(MailSetupError::Contradiction { key, what });
        }
        let domain = options.from.mailbox.email.domain();
        let transport = match options.transport {
            MailTransport::File => Transport::File(FileTransport::new(data_dir)),
            MailTransport::Smtp => Transport::Smtp(SmtpTransport::new(&options.smtp, domain)?),
        };
        Ok(Self { options: options.clone(), transport, breaker: Mutex::default() })
    }

    /// Sends the letter of an effect, or says why not. Another attempt is the same mail.
    pub(crate) async fn send(&self, effect: &str, letter: &Letter) -> Result<(), MailError> {
        let message = self.message(effect, letter)?;
        let attempt = Attempt::begin(&self.breaker)?;
        let sent = match &self.transport {
            Transport::File(folder) => {
                let written = folder.send(effect, message.formatted()).await;
                written.map_err(|error| MailError::server("disk").with_detail(&error))
            }
            Transport::Smtp(server) => server.send(message.envelope(), &message.formatted()).await,
        };
        attempt.end(sent.as_ref().map_or_else(MailError::verdict, |()| Verdict::Works));
        sent
    }

    /// Whether mail is held back.
    pub(crate) fn breaker(&self) -> BreakerView {
        self.breaker.lock().view(Instant::now())
    }

    /// The same as Prometheus text.
    pub(crate) fn metrics_text(&self) -> String {
        let view = self.breaker();
        let held_back = u8::from(view.state != BreakerState::Closed);
        format!(
            "# HELP firstcome_mail_held_back Whether mail is held back after failures.\n\
             # TYPE firstcome_mail_held_back gauge\n\
             firstcome_mail_held_back {held_back}\n\
             # HELP firstcome_mail_failures Failed attempts in a row.\n\
             # TYPE firstcome_mail_failures gauge\n\
             firstcome_mail_failures {}\n",
            view.failures
        )
    }

    /// A letter as it goes over the wire.
    fn message(&self, effect: &str, letter: &Letter) -> Result<Message, MailError> {
        // It becomes the name of a file and part of a header.
        if effect.is_empty()
            || !effect.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Err(MailError::refused("effect_invalid"));
        }
        let recipient =
            address(&letter.recipient).ok_or(MailError::refused("recipient_invalid"))?;
        let rendered = letter::render(letter, &self.options);
        let from = &self.options.from.mailbox;
        Message::builder()
            .from(from.clone())
            .to(Mailbox::new(None, recipient))
            .subject(rendered.subject)
            .message_id(Some(format!("<{effect}@{}>", from.email.domain())))
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ))
            .multipart(MultiPart::alternative_plain_html(rendered.text, rendered.html))
            .map_err(|_| MailError::refused("recipient_invalid"))
    }
}

/// An address with its domain in ASCII, as every server takes it.
fn address(text: &str) -> Option<Address> {
    let (user, domain) = text.rsplit_once('@')?;
    Address::new(user, domain_to_ascii(domain).ok()?).ok()
}

/// An attempt that the breaker knows of. Dropped before its end, it says nothing.
struct Attempt<'m> {
    breaker: &'m Mutex<Breaker>,
    ticket: Option<Ticket>,
}

impl<'m> Attempt<'m> {
    fn begin(breaker: &'m Mutex<Breaker>) -> Result<Self, MailError> {
        let admitted = breaker.lock().admit(Instant::now());
        let ticket = admitted.map_err(MailError::breaker_open)?;
        Ok(Self { breaker, ticket: Some(ticket) })
    }

    fn end(mut self, verdict: Verdict) {
        self.settle(verdict);
    }

    fn settle(&mut self, verdict: Verdict) {
        if let Some(ticket) = self.ticket.take() {
            self.breaker.lock().settle(ticket, verdict, Instant::now(), rand::random());
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.settle(Verdict::Unknown);
    }
}

#[cfg(test)]
mod tests;
