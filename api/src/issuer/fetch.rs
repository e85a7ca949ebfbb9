//! `GET` over HTTPS, for key sets only: one connection, one answer, no redirects.
//!
//! The name is resolved here, so that the address that was checked is the one that is connected to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::IssuerError;
use super::address::is_public;
use super::keyring::JWKS_BYTES_MAX;
use super::options::JwksUrl;

/// The whole exchange, from the name to the last byte.
const FETCH_TIME: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("no answer within {FETCH_TIME:?}")]
    Timeout,
    #[error("cannot resolve the name: {0}")]
    Resolve(std::io::Error),
    #[error(
        "{0} is in a private network; if that is meant, set jwks_private = true for this issuer"
    )]
    Private(SocketAddr),
    #[error("cannot connect: {0}")]
    Connect(std::io::Error),
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the status is {0}, not 200; redirects are not followed")]
    Status(StatusCode),
    #[error("the answer is larger than {} KiB", JWKS_BYTES_MAX >> 10)]
    TooLarge,
    #[error("the answer is incomplete")]
    Incomplete,
}

/// Fetches key sets.
#[derive(Clone)]
pub(super) struct HttpsClient {
    tls: TlsConnector,
}

impl HttpsClient {
    /// A client that trusts the authorities of the operating system.
    pub(super) fn new() -> Result<Self, IssuerError> {
        Self::trusting(rustls_native_certs::load_native_certs().certs)
    }

    /// A client that trusts these authorities.
    pub(super) fn trusting(
        authorities: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, IssuerError> {
        let mut roots = RootCertStore::empty();
        if roots.add_parsable_certificates(authorities).0 == 0 {
            return Err(IssuerError::NoAuthorities);
        }
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| IssuerError::NoAuthorities)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Fetches what is at `url`; from a private network only if that is allowed.
    pub(super) async fn get(&self, url: &JwksUrl, private: bool) -> Result<Bytes, FetchError> {
        let fetched = tokio::time::timeout(FETCH_TIME, self.exchange(url, private)).await;
        fetched.map_err(|_| FetchError::Timeout)?
    }

    async fn exchange(&self, url: &JwksUrl, private: bool) -> Result<Bytes, FetchError> {
        let addresses = resolve(url, private).await?;
        let stream = TcpStream::connect(&*addresses).await.map_err(FetchError::Connect)?;
        let name = ServerName::try_from(url.host.clone())
            .map_err(|error| FetchError::Connect(std::io::Error::other(error)))?;
        let stream = self.tls.connect(name, stream).await.map_err(FetchError::Connect)?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Ends with this function, also when its time is over.
        let mut connections = JoinSet::new();
        connections.spawn(connection);
        let request = Request::get(&url.path)
            .header(header::HOST, &url.authority)
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .header(header::USER_AGENT, "firstcome")
            .body(Empty::<Bytes>::new())
            .map_err(|error| FetchError::Connect(std::io::Error::other(error)))?;
        let response = sender.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        whole(response.into_body()).await
    }
}

async fn resolve(url: &JwksUrl, private: bool) -> Result<Vec<SocketAddr>, FetchError> {
    let found = tokio::net::lookup_host((url.host.as_str(), url.port)).await;
    let found: Vec<SocketAddr> = found.map_err(FetchError::Resolve)?.collect();
    let allowed = |address: &SocketAddr| private || is_public(address.ip());
    let (allowed, refused): (Vec<_>, Vec<_>) = found.into_iter().partition(allowed);
    match (allowed.is_empty(), refused.first()) {
        (true, Some(refused)) => Err(FetchError::Private(*refused)),
        _ => Ok(allowed),
    }
}

async fn whole(body: Incoming) -> Result<Bytes, FetchError> {
    let collected = Limited::new(body, JWKS_BYTES_MAX).collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|error| {
        if error.is::<LengthLimitError>() { FetchError::TooLarge } else { FetchError::Incomplete }
    })
}

#[cfg(test)]
mod tests;
