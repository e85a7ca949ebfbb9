//! An SMTP server on loopback that follows a script, and keeps what it is told.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// How the server behaves.
#[derive(Clone, Copy, Default)]
pub(super) struct Script {
    pub(super) greeting: Greeting,
    /// The reply to this command; 250 or what is due if it is empty.
    pub(super) replies: &'static [(&'static str, &'static str)],
    pub(super) after_data: AfterData,
    /// Extensions that it says it has.
    pub(super) extensions: &'static [&'static str],
}

#[derive(Clone, Copy, Default)]
pub(super) enum Greeting {
    #[default]
    Normal,
    /// It accepts the connection and says nothing.
    Silence,
    /// It hangs up.
    Away,
    /// It refuses to talk.
    Busy,
}

/// What it does when it has the whole mail.
#[derive(Clone, Copy, Default)]
pub(super) enum AfterData {
    #[default]
    Accepts,
    Hangs,
    Drops,
}

/// What the server saw.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) connections: usize,
    /// Every command line.
    pub(super) commands: Vec<String>,
    /// Every mail that came in whole, accepted or not.
    pub(super) mails: Vec<String>,
}

pub(super) struct Server {
    pub(super) port: u16,
    /// Its certificate in PEM form. It is for `localhost`.
    pub(super) certificate: String,
    pub(super) seen: Arc<Mutex<Seen>>,
    script: Arc<Mutex<Script>>,
}

type Stream = Box<dyn Both>;

trait Both: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

impl Server {
    pub(super) async fn start(script: Script) -> Self {
        Self::listen(script, false).await
    }

    /// Encrypted from the first byte on.
    pub(super) async fn start_implicit(script: Script) -> Self {
        Self::listen(script, true).await
    }

    async fn listen(script: Script, implicit: bool) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let tls = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (seen, script) = (Arc::<Mutex<Seen>>::default(), Arc::new(Mutex::new(script)));
        let (watched, followed) = (Arc::clone(&seen), Arc::clone(&script));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                watched.lock().connections += 1;
                let talk = Talk { seen: Arc::clone(&watched), script: *followed.lock() };
                let tls = tls.clone();
                tokio::spawn(async move {
                    let stream: Stream = if implicit {
                        // The client may not trust the certificate.
                        let Ok(stream) = tls.accept(stream).await else { return };
                        Box::new(stream)
                    } else {
                        Box::new(stream)
                    };
                    // The client may hang up at any point.
                    drop(talk.follow(stream, &tls).await);
                });
            }
        });
        let certificate = pem("CERTIFICATE", cert.der());
        Self { port, certificate, seen, script }
    }

    /// Behaves differently from the next connection on.
    pub(super) fn follow(&self, script: Script) {
        *self.script.lock() = script;
    }

    /// The values of a header, over all mails.
    pub(super) fn headers(&self, name: &str) -> Vec<String> {
        let seen = self.seen.lock();
        let prefix = format!("{name}: ");
        let of_mail = |mail: &String| -> Vec<String> {
            let head = mail.split("\r\n\r\n").next().unwrap_or_default();
            let found = head.lines().filter_map(|line| line.strip_prefix(&prefix));
            found.map(ToOwned::to_owned).collect()
        };
        seen.mails.iter().flat_map(of_mail).collect()
    }
}

/// Bytes as a file of certificates or keys has them.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
}

/// One connection.
struct Talk {
    seen: Arc<Mutex<Seen>>,
    script: Script,
}

impl Talk {
    async fn follow(&self, stream: Stream, tls: &TlsAcceptor) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        match self.script.greeting {
            Greeting::Normal => stream.write_all(b"220 test\r\n").await?,
            Greeting::Silence => std::future::pending().await,
            Greeting::Away => return Ok(()),
            Greeting::Busy => stream.write_all(b"421 too busy\r\n").await?,
        }
        stream.flush().await?;
        let mut encrypted = false;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim_end().to_owned();
            self.seen.lock().commands.push(line.clone());
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let scripted = self.script.replies.iter().find(|(command, _)| *command == verb);
            let reply = match (scripted, verb.as_str()) {
                (Some((_, reply)), _) => (*reply).to_owned(),
                (None, "EHLO") => {
                    let names = self.script.extensions.iter();
                    let names = names.filter(|name| !(encrypted && **name == "STARTTLS"));
                    let lines: Vec<_> = names.map(|name| format!("250-{name}")).collect();
                    [&["250-test".to_owned()], &*lines, &["250 SIZE".to_owned()]]
                        .concat()
                        .join("\r\n")
                }
                (None, "STARTTLS") => {
                    stream.write_all(b"220 go ahead\r\n").await?;
                    stream.flush().await?;
                    let upgraded: Stream = Box::new(tls.accept(stream.into_inner()).await?);
                    stream = BufReader::new(upgraded);
                    encrypted = true;
                    continue;
                }
                (None, "AUTH") => "235 welcome".to_owned(),
                (None, "DATA") => {
                    stream.write_all(b"354 go ahead\r\n").await?;
                    stream.flush().await?;
                    let mail = read_mail(&mut stream).await?;
                    self.seen.lock().mails.push(mail);
                    match self.script.after_data {
                        AfterData::Accepts => "250 queued".to_owned(),
                        AfterData::Hangs => std::future::pending().await,
                        AfterData::Drops => return Ok(()),
                    }
                }
                (None, "MAIL" | "RCPT" | "NOOP") => "250 fine".to_owned(),
                (None, _) => "500 what?".to_owned(),
            };
            stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
            stream.flush().await?;
        }
    }
}

async fn read_mail(stream: &mut BufReader<Stream>) -> std::io::Result<String> {
    let mut mail = String::new();
    while !mail.ends_with("\r\n.\r\n") {
        if stream.read_line(&mut mail).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(mail)
}
