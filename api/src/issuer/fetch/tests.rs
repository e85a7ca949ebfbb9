//! The client against real TLS servers on loopback, most of which misbehave.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use super::*;

/// A server whose certificate is for `localhost`, and a client that trusts it.
struct Server {
    client: HttpsClient,
    url: JwksUrl,
}

impl Server {
    /// Answers every request with these bytes, then closes the connection or stays silent.
    async fn answering(answer: Vec<u8>, closes: bool) -> Self {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, answer) = (acceptor.clone(), answer.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut request = Vec::new();
                    while !request.ends_with(b"\r\n\r\n") {
                        request.push(stream.read_u8().await.unwrap());
                    }
                    // The client may hang up in the middle.
                    drop(stream.write_all(&answer).await);
                    drop(stream.flush().await);
                    if closes {
                        drop(stream.shutdown().await);
                    } else {
                        std::future::pending::<()>().await;
                    }
                });
            }
        });
        let url = JwksUrl::parse(&format!("https://localhost:{port}/keys")).unwrap();
        Self { client: HttpsClient::trusting([cert.der().clone()]).unwrap(), url }
    }

    async fn saying(head: &str, body: &[u8]) -> Self {
        let length = body.len();
        let mut answer =
            format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n").into_bytes();
        answer.extend_from_slice(body);
        Self::answering(answer, true).await
    }

    async fn get(&self) -> Result<Bytes, FetchError> {
        self.client.get(&self.url, true).await
    }
}

#[tokio::test]
async fn a_key_set_is_fetched_over_tls() {
    let server = Server::saying("200 OK", b"{\"keys\": []}").await;
    assert_eq!(&server.get().await.unwrap()[..], b"{\"keys\": []}");
}

#[tokio::test]
async fn private_addresses_are_refused_unless_allowed() {
    let server = Server::saying("200 OK", b"{}").await;
    let refused = server.client.get(&server.url, false).await.unwrap_err();
    assert!(matches!(refused, FetchError::Private(_)), "{refused}");
    assert!(refused.to_string().contains("jwks_private = true"), "{refused}");
}

#[tokio::test]
async fn redirects_and_errors_are_not_followed() {
    for head in
        ["302 Found\r\nlocation: https://localhost/", "301 Moved", "404 Not Found", "500 Oops"]
    {
        let server = Server::saying(head, b"{\"keys\": []}").await;
        let refused = server.get().await.unwrap_err();
        assert!(matches!(refused, FetchError::Status(_)), "{head}: {refused}");
    }
}

#[tokio::test]
async fn a_huge_answer_is_cut_off() {
    let most = vec![b' '; JWKS_BYTES_MAX];
    let server = Server::saying("200 OK", &most).await;
    assert_eq!(server.get().await.unwrap().len(), JWKS_BYTES_MAX);
    let server = Server::saying("200 OK", &[&most[..], b" "].concat()).await;
    assert!(matches!(server.get().await, Err(FetchError::TooLarge)));
    // Chunks without an end, and without a length.
    let mut endless = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..=JWKS_BYTES_MAX >> 12 {
        endless.extend_from_slice(b"1000\r\n");
        endless.extend_from_slice(&[b' '; 0x1000]);
        endless.extend_from_slice(b"\r\n");
    }
    let server = Server::answering(endless, false).await;
    assert!(matches!(server.get().await, Err(FetchError::TooLarge)));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error() {
    let cut = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"keys\"".to_vec();
    let server = Server::answering(cut, true).await;
    assert!(matches!(server.get().await, Err(FetchError::Incomplete)));
    for nonsense in ["", "hello\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\n"] {
        let server = Server::answering(nonsense.as_bytes().to_vec(), true).await;
        let broken = server.get().await.unwrap_err();
        assert!(matches!(broken, FetchError::Broken(_)), "{nonsense:?}: {broken}");
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let server = Server::answering(b"HTTP/1.1 200 OK\r\n".to_vec(), false).await;
    // Time is virtual from here on, and passes when nothing else happens.
    tokio::time::pause();
    assert!(matches!(server.get().await, Err(FetchError::Timeout)));
}

#[tokio::test]
async fn another_certificate_and_another_name_are_refused() {
    let server = Server::saying("200 OK", b"{}").await;
    let stranger = Server::saying("200 OK", b"{}").await;
    let refused = stranger.client.get(&server.url, true).await.unwrap_err();
    assert!(matches!(refused, FetchError::Connect(_)), "{refused}");
    let by_address = server.url.to_string().replace("localhost", "127.0.0.1");
    let by_address = JwksUrl::parse(&by_address).unwrap();
    let refused = server.client.get(&by_address, true).await.unwrap_err();
    assert!(matches!(refused, FetchError::Connect(_)), "{refused}");
}

#[tokio::test]
async fn a_closed_port_and_an_unknown_name_are_errors() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let server = Server::saying("200 OK", b"{}").await;
    let closed = JwksUrl::parse(&format!("https://localhost:{port}/")).unwrap();
    assert!(matches!(server.client.get(&closed, true).await, Err(FetchError::Connect(_))));
    let unknown = JwksUrl::parse("https://no-such-name.invalid/").unwrap();
    assert!(matches!(server.client.get(&unknown, true).await, Err(FetchError::Resolve(_))));
}

#[test]
fn a_client_without_authorities_is_refused() {
    assert!(HttpsClient::trusting([]).is_err());
}
