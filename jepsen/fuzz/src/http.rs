//! Requests as bytes on the REST port of a real node.
//!
//! `$CUSTOMER`, `$OPERATOR`, `$ADMIN`, `$PRODUCT` and `$SALE` in the input become tokens and ids
//! of this process, so that mutations of good requests get past the door.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use firstcome_api::{ApiOptions, Keys, MasterKey};
use firstcome_domain::command::Role;
use firstcome_domain::stock::PoolId;
use firstcome_domain::{Done, Millis, Outcome, UserId};
use firstcome_raft::{Node, Options};
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::{Reached, shop};

/// A node that takes longer hangs.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// How long a request that is not complete is given before this side stops sending.
const INCOMPLETE: Duration = Duration::from_millis(10);

/// A request of a client: never a 500, and every problem document says what it must.
pub fn http_request(data: &[u8]) -> Reached {
    static SITE: OnceLock<Site> = OnceLock::new();
    let site = SITE.get_or_init(Site::start);
    let request = site.fill_in(data);
    let answer = site.exchange(&request);
    let Some((status, media, body)) = parse(&answer) else { return Reached::Refused };
    let request = String::from_utf8_lossy(&request);
    assert!((100..600).contains(&status) && status != 500, "{status} for {request}");
    if media == "application/problem+json" {
        let problem: Value = serde_json::from_slice(&body).expect("a problem is JSON");
        assert_eq!(problem["status"], status, "{problem}");
        for member in ["type", "title", "code", "detail", "instance", "request_id", "executed"] {
            assert!(problem[member].is_string(), "{member} of {problem} for {request}");
        }
    }
    if status < 400 { Reached::Accepted } else { Reached::Refused }
}

struct Site {
    address: SocketAddr,
    words: Vec<(&'static str, String)>,
    _runtime: Runtime,
}

impl Site {
    /// A node of its own, on files that are gone with the process.
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (address, words) = runtime.block_on(async {
            let folder = tempfile::tempdir().expect("a directory");
            let mut options = Options::new("n1", folder.path().join("n1"));
            options.bootstrap = true;
            options.state_cache_bytes = 16 << 20;
            let node = Node::start(options, firstcome_api::Shop).await.expect("a node");
            // The open files live on without their names, and nothing is left behind.
            drop(folder);
            let keys = Keys::new(&MasterKey::generate().expect("random bytes")).expect("keys");
            let words = words(&node, &keys).await;
            let options = ApiOptions { noop_route: true, ..ApiOptions::default() };
            let router = firstcome_api::router(node, &keys, options.clone());
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let address = listener.local_addr().expect("an address");
            tokio::spawn(firstcome_api::serve(listener, router, options, std::future::pending()));
            (address, words)
        });
        Self { address, words, _runtime: runtime }
    }

    fn fill_in(&self, data: &[u8]) -> Vec<u8> {
        let mut request = data.to_vec();
        for (word, value) in &self.words {
            while let Some(at) =
                request.windows(word.len()).position(|part| part == word.as_bytes())
            {
                request.splice(at..at + word.len(), value.bytes());
            }
        }
        request
    }

    /// Sends all of it, and reads the first answer; empty when the node just closed.
    fn exchange(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).expect("the node listens");
        stream.set_write_timeout(Some(ANSWER_MAX)).expect("a limit");
        if stream.write_all(request).is_err() {
            return Vec::new();
        }
        let patience = if is_complete(request) { ANSWER_MAX } else { INCOMPLETE };
        stream.set_read_timeout(Some(patience)).expect("a limit");
        let (mut answer, mut chunk) = (Vec::new(), [0; 4096]);
        let mut said_all = false;
        loop {
            match stream.read(&mut chunk) {
                Ok(0) => return answer,
                Ok(count) => answer.extend_from_slice(&chunk[..count]),
                // Reset, because the node closed before it had read everything.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return answer,
                Err(error) => assert!(!said_all, "{error}: {}", String::from_utf8_lossy(request)),
            }
            if !said_all {
                said_all = true;
                drop(stream.shutdown(std::net::Shutdown::Write));
                stream.set_read_timeout(Some(ANSWER_MAX)).expect("a limit");
            }
        }
    }
}

/// A product, a sale and tokens for requests to name.
async fn words(node: &Node, keys: &Keys) -> Vec<(&'static str, String)> {
    for action in [shop::product(1_000_000), shop::sale(1, 1000, 0, None)] {
        let command = shop::by(shop::STAFF, action);
        let decided = async {
            loop {
                if let Ok(reply) = node.propose(command.clone()).await {
                    return reply.outcome;
                }
            }
        };
        let outcome = tokio::time::timeout(ANSWER_MAX, decided).await.expect("the node leads");
        assert!(
            matches!(outcome, Outcome::Done(Done::Product(..) | Done::Sale(..))),
            "{outcome:?}"
        );
    }
    let PoolId::Sale(sale) = shop::POOLS[1] else { unreachable!("the second pool is a sale's") };
    let token = |user, role| keys.mint(UserId::new(user), role, 1_000_000);
    assert!(node.log_time() > Millis::new(0));
    vec![
        ("$CUSTOMER", token(1001, Role::Customer)),
        ("$OPERATOR", token(2, Role::Operator)),
        ("$ADMIN", token(1, Role::Admin)),
        ("$PRODUCT", shop::PRODUCT.to_string()),
        ("$SALE", sale.to_string()),
    ]
}

/// Whether a whole request is there, so that an answer must come.
fn is_complete(request: &[u8]) -> bool {
    let mut headers = [httparse::EMPTY_HEADER; 100];
    let mut parsed = httparse::Request::new(&mut headers);
    let Ok(httparse::Status::Complete(head)) = parsed.parse(request) else { return false };
    let named = |name: &str| {
        let mut found =
            parsed.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        found.next().map(|header| header.value)
    };
    let length = named("content-length").map(|value| String::from_utf8_lossy(value).parse());
    match (named("transfer-encoding"), named("expect"), length) {
        (None, None, None) => true,
        (None, None, Some(Ok(length))) => request.len() - head >= length,
        _ => false,
    }
}

/// Status, media type and body of the first answer; `None` without a whole head and body.
fn parse(answer: &[u8]) -> Option<(u16, String, Vec<u8>)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(head)) = parsed.parse(answer) else {
        assert!(answer.is_empty(), "half an answer: {}", String::from_utf8_lossy(answer));
        return None;
    };
    let named = |name: &str| {
        let mut found =
            parsed.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        found.next().map(|header| String::from_utf8_lossy(header.value).into_owned())
    };
    let length: usize = named("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let media = named("content-type").unwrap_or_default();
    // The answer to a HEAD has the length of a body that does not come.
    let body = answer[head..].get(..length).unwrap_or_default().to_vec();
    let media = if body.len() < length { String::new() } else { media };
    Some((parsed.code?, media, body))
}
