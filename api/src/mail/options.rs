//! What the settings say about mail: `mail.*` in `cluster.toml`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use lettre::message::Mailbox;

/// Longer names are a mistake, and would not fit into a subject.
const SHOP_NAME_CHARS_MAX: usize = 60;
/// Longer ones break in mail programs.
const RESET_URL_BYTES_MAX: usize = 500;
/// What the token of a reset stands for in the URL.
pub(super) const TOKEN: &str = "{token}";

/// How mail leaves a node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MailOptions {
    /// Which way.
    pub transport: MailTransport,
    /// Who it is from.
    pub from: Sender,
    /// What its texts call the shop.
    pub shop_name: ShopName,
    /// Where a password is reset.
    pub reset_url: ResetUrl,
    /// The server of the transport `smtp`.
    pub smtp: SmtpOptions,
}

/// The SMTP server that takes the mail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SmtpOptions {
    /// Name or address.
    pub host: String,
    /// 0 stands for the usual one.
    pub port: u64,
    /// How the connection is encrypted.
    pub tls: SmtpTls,
    /// The authorities that its certificate is checked against; those of the operating system if
    /// empty.
    pub ca_file: String,
    /// Who logs in; nobody if empty.
    pub user: String,
    /// Holds the password.
    pub password_file: String,
    /// Longest time for one mail, from the connection to the last answer.
    pub timeout: Duration,
}

impl Default for SmtpOptions {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 0,
            tls: SmtpTls::default(),
            ca_file: String::new(),
            user: String::new(),
            password_file: String::new(),
            timeout: Duration::from_secs(10),
        }
    }
}

impl MailOptions {
    /// Which setting cannot work with the others, and why.
    pub fn contradiction(&self) -> Option<(&'static str, String)> {
        let smtp = &self.smtp;
        let wrong = |key, what: &str| Some((key, what.to_owned()));
        if self.transport == MailTransport::File {
            return if smtp.host.is_empty() {
                None
            } else {
                wrong("mail.smtp.host", "it has no effect unless mail.transport is \"smtp\"")
            };
        }
        if smtp.host.is_empty() {
            return wrong("mail.transport", "smtp needs a server: set mail.smtp.host");
        }
        if smtp.tls == SmtpTls::None && !is_loopback(&smtp.host) {
            return wrong(
                "mail.smtp.tls",
                "mail leaves this machine encrypted only: use \"starttls\" or \"implicit\"",
            );
        }
        if u16::try_from(smtp.port).is_err() {
            return wrong("mail.smtp.port", "it must be at most 65535");
        }
        match (smtp.user.is_empty(), smtp.password_file.is_empty()) {
            (false, true) => wrong("mail.smtp.user", "it needs mail.smtp.password_file"),
            (true, false) => wrong("mail.smtp.password_file", "it needs mail.smtp.user"),
            _ if smtp.tls == SmtpTls::None && !smtp.ca_file.is_empty() => {
                wrong("mail.smtp.ca_file", "it has no effect with mail.smtp.tls = \"none\"")
            }
            _ => None,
        }
    }
}

/// Whether a host is this machine.
fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Text that a setting cannot be; says what it can be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("invalid value {text:?}: {expected}")]
pub struct InvalidText {
    text: String,
    expected: &'static str,
}

fn invalid(text: &str, expected: &'static str) -> InvalidText {
    InvalidText { text: text.to_owned(), expected }
}

/// Which way mail leaves a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MailTransport {
    /// Into files of the data directory, for development.
    #[default]
    File,
    /// To an SMTP server.
    Smtp,
}

impl FromStr for MailTransport {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        match text {
            "file" => Ok(Self::File),
            "smtp" => Ok(Self::Smtp),
            _ => Err(invalid(text, "use file or smtp")),
        }
    }
}

impl fmt::Display for MailTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Smtp => "smtp",
        })
    }
}

/// How a connection to an SMTP server is encrypted. It is never left to the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SmtpTls {
    /// From the command STARTTLS on.
    #[default]
    StartTls,
    /// From the first byte on.
    Implicit,
    /// Not at all: to this machine only.
    None,
}

impl SmtpTls {
    /// The usual port.
    pub(super) const fn port(self) -> u16 {
        match self {
            Self::StartTls | Self::None => 587,
            Self::Implicit => 465,
        }
    }
}

impl FromStr for SmtpTls {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        match text {
            "starttls" => Ok(Self::StartTls),
            "implicit" => Ok(Self::Implicit),
            "none" => Ok(Self::None),
            _ => Err(invalid(text, "use starttls, implicit or none")),
        }
    }
}

impl fmt::Display for SmtpTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StartTls => "starttls",
            Self::Implicit => "implicit",
            Self::None => "none",
        })
    }
}

/// Who mail is from: an address, with or without a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sender {
    text: String,
    pub(super) mailbox: Mailbox,
}

impl FromStr for Sender {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let mailbox = text.parse::<Mailbox>().ok();
        // A server may not take other characters in an address, and every mail would fail.
        let mailbox = mailbox.filter(|found| {
            let (user, domain) = (found.email.user(), found.email.domain());
            user.is_ascii() && domain.is_ascii() && !text.contains(char::is_control)
        });
        let expected = "use for example Shop <no-reply@shop.example>, with an address in ASCII";
        let mailbox = mailbox.ok_or_else(|| invalid(text, expected))?;
        Ok(Self { text: text.to_owned(), mailbox })
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Default for Sender {
    fn default() -> Self {
        "firstcome <no-reply@localhost>".parse().expect("a constant, and a test reads it")
    }
}

/// What the texts of mails call the shop; empty if it has no name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ShopName(String);

impl ShopName {
    /// The name, or `firstcome`.
    pub(crate) fn as_str(&self) -> &str {
        if self.0.is_empty() { "firstcome" } else { &self.0 }
    }

    /// This name, or another one if it is empty.
    #[must_use]
    pub fn or(self, other: &str) -> Self {
        if self.0.is_empty() { other.parse().unwrap_or(self) } else { self }
    }
}

impl FromStr for ShopName {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        if text.chars().count() > SHOP_NAME_CHARS_MAX || text.contains(char::is_control) {
            return Err(invalid(text, "use at most 60 characters on one line"));
        }
        Ok(Self(text.trim().to_owned()))
    }
}

impl fmt::Display for ShopName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a password is reset, with `{token}` for the token; empty if mails show the token itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ResetUrl(String);

impl ResetUrl {
    /// The URL for a token.
    pub(super) fn with(&self, token: &str) -> Option<String> {
        (!self.0.is_empty()).then(|| self.0.replace(TOKEN, token))
    }
}

impl FromStr for ResetUrl {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        let is_url = ["https://", "http://"].iter().any(|scheme| text.starts_with(scheme))
            && text.len() <= RESET_URL_BYTES_MAX
            && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"<>\\^`|".contains(&byte));
        if text.is_empty() || (is_url && text.matches(TOKEN).count() == 1) {
            return Ok(Self(text.to_owned()));
        }
        Err(invalid(text, "use a URL with {token}, for example https://shop.example/reset/{token}"))
    }
}

impl fmt::Display for ResetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_addresses_with_or_without_a_name() {
        for text in [
            "firstcome <no-reply@localhost>",
            "no-reply@shop.example",
            "\"Shop, Inc.\" <a@b.example>",
            "\u{c0c1}\u{c810} <a@xn--3e0b707e.example>",
        ] {
            let sender: Sender = text.parse().expect(text);
            assert_eq!(sender.to_string(), text);
        }
        assert_eq!(Sender::default().mailbox.email.to_string(), "no-reply@localhost");
        for text in [
            "",
            "shop",
            "a@",
            "@b",
            "Shop <a@b.example",
            "a@b.example, c@d.example",
            "Shop <a@\u{d55c}\u{ad6d}.example>",
            "Shop\r\nBcc: x@y.example <a@b.example>",
        ] {
            assert!(text.parse::<Sender>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_reset_url_has_one_place_for_the_token() {
        let url: ResetUrl = "https://shop.example/reset/{token}?a=b".parse().unwrap();
        assert_eq!(url.with("T0").as_deref(), Some("https://shop.example/reset/T0?a=b"));
        assert_eq!("".parse::<ResetUrl>().unwrap().with("T0"), None);
        let long = format!("https://shop.example/{{token}}{}", "x".repeat(500));
        for text in [
            "https://shop.example/reset",
            "https://shop.example/{token}/{token}",
            "shop.example/{token}",
            "javascript:alert({token})",
            "https://shop.example/ {token}",
            "https://shop.example/\"{token}",
            "https://shop.example/\u{d55c}/{token}",
            &long,
        ] {
            assert!(text.parse::<ResetUrl>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_shop_without_a_name_is_called_by_another() {
        let none = ShopName::default();
        assert_eq!(none.as_str(), "firstcome");
        assert_eq!(none.clone().or("Lamps").as_str(), "Lamps");
        assert_eq!(none.or("a\nb").as_str(), "firstcome");
        assert_eq!("Shop".parse::<ShopName>().unwrap().or("Lamps").as_str(), "Shop");
        assert!("\u{d55c}".repeat(60).parse::<ShopName>().is_ok());
        assert!("x".repeat(61).parse::<ShopName>().is_err());
        assert!("a\r\nBcc: x@y.example".parse::<ShopName>().is_err());
    }

    #[test]
    fn settings_that_cannot_work_together_are_named() {
        let smtp = MailOptions {
            transport: MailTransport::Smtp,
            smtp: SmtpOptions { host: "mail.example".to_owned(), ..SmtpOptions::default() },
            ..MailOptions::default()
        };
        assert_eq!(MailOptions::default().contradiction(), None);
        assert_eq!(smtp.contradiction(), None);
        let key_of = |change: fn(&mut MailOptions)| {
            let mut options = smtp.clone();
            change(&mut options);
            options.contradiction().map(|(key, _)| key)
        };
        assert_eq!(key_of(|it| it.transport = MailTransport::File), Some("mail.smtp.host"));
        assert_eq!(key_of(|it| it.smtp.host.clear()), Some("mail.transport"));
        assert_eq!(key_of(|it| it.smtp.tls = SmtpTls::None), Some("mail.smtp.tls"));
        assert_eq!(key_of(|it| it.smtp.port = 65536), Some("mail.smtp.port"));
        assert_eq!(key_of(|it| it.smtp.user.push('a')), Some("mail.smtp.user"));
        let wrong = Some("mail.smtp.password_file");
        assert_eq!(key_of(|it| it.smtp.password_file.push('p')), wrong);
        for host in ["localhost", "127.0.0.1", "::1"] {
            let mut options = smtp.clone();
            (options.smtp.tls, options.smtp.host) = (SmtpTls::None, host.to_owned());
            assert_eq!(options.contradiction(), None, "{host}");
            options.smtp.ca_file.push('c');
            let key = options.contradiction().map(|(key, _)| key);
            assert_eq!(key, Some("mail.smtp.ca_file"));
        }
    }
}
