//! What is accepted from an issuer, what is refused, and how its keys change.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::fetch::FetchError;
use super::fixture::{SECRET, ed25519_jwk, es256_jwk, rs256_jwk, sign, sign_with_secret, unsigned};
use super::upkeep::{Kept, KeyFile, keep_fetched};
use super::*;

const NOW: u64 = 1_800_000_000;
const SHOP: &str = "https://shop.example";
const TILL: &str = "till";
const PUBLIC: [IssuerAlgorithm; 3] =
    [IssuerAlgorithm::Rs256, IssuerAlgorithm::Es256, IssuerAlgorithm::EdDsa];

fn options(issuer: &str, algorithms: &[IssuerAlgorithm], keys: KeySource) -> IssuerOptions {
    IssuerOptions {
        issuer: issuer.to_owned(),
        audience: "firstcome".to_owned(),
        algorithms: algorithms.to_vec(),
        keys,
        subject_claim: "sub".to_owned(),
    }
}

fn all_keys() -> Value {
    json!({ "keys": [rs256_jwk("r"), es256_jwk("e"), ed25519_jwk("d")] })
}

fn of_shop(set: &Value) -> Issuer {
    let ring = KeyRing::parse_jwks(set.to_string().as_bytes(), &PUBLIC).unwrap();
    Issuer::new(options(SHOP, &PUBLIC, KeySource::JwksFile(PathBuf::new())), ring)
}

/// The shop with public keys, and a till with a secret.
fn issuers() -> Issuers {
    let till = options(TILL, &[IssuerAlgorithm::Hs256], KeySource::SecretFile(PathBuf::new()));
    let till = Issuer::new(till, KeyRing::parse_secret(SECRET).unwrap());
    Issuers { issuers: vec![Arc::new(of_shop(&all_keys())), Arc::new(till)], client: None }
}

fn claims() -> Value {
    json!({ "iss": SHOP, "aud": "firstcome", "sub": "alice", "exp": NOW + 600 })
}

fn of_till() -> Value {
    with(claims(), "iss", json!(TILL))
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn header(algorithm: IssuerAlgorithm) -> Value {
    let kid = match algorithm {
        IssuerAlgorithm::Rs256 => "r",
        IssuerAlgorithm::Es256 => "e",
        IssuerAlgorithm::EdDsa => "d",
        IssuerAlgorithm::Hs256 => "any",
    };
    json!({ "alg": algorithm.as_str(), "kid": kid })
}

/// Verifies claims of the shop, signed properly.
fn judge(claims: &Value) -> Result<External, Refusal> {
    let algorithm = IssuerAlgorithm::EdDsa;
    issuers().verify(&sign(algorithm, &header(algorithm), claims), NOW)
}

#[track_caller]
fn refused(verified: Result<External, Refusal>, part: &str) {
    match verified {
        Err(Refusal::Invalid(reason)) if reason.contains(part) => {}
        other => panic!("expected a refusal with {part:?}: {other:?}"),
    }
}

#[test]
fn a_token_of_every_algorithm_makes_a_customer() {
    for algorithm in IssuerAlgorithm::ALL {
        let claims = if algorithm == IssuerAlgorithm::Hs256 { of_till() } else { claims() };
        let token = sign(algorithm, &header(algorithm), &claims);
        let caller = issuers().verify(&token, NOW).unwrap();
        let id = user_id(claims["iss"].as_str().unwrap(), "alice");
        assert_eq!(caller.id, id, "{algorithm:?}");
    }
}

/// What the documents say about the id, computed by another program.
#[test]
fn the_user_id_is_the_documented_hash() {
    assert_eq!(user_id(SHOP, "alice").to_string(), "usr_0651DA7N9WHKH8KRPKGSAMDZ35");
    assert_eq!(
        user_id(SHOP, "\u{ae40}\u{bbfc}\u{c218}").to_string(),
        "usr_5SJJW1RFF9GN4R57G3RTY7X7MA"
    );
    assert_ne!(user_id("ab", "c"), user_id("a", "bc"));
}

#[test]
fn no_claim_makes_anything_but_a_customer() {
    for (name, value) in [
        ("role", json!("admin")),
        ("roles", json!(["admin"])),
        ("scope", json!("cluster:admin")),
        ("typ", json!("at+jwt")),
    ] {
        judge(&with(claims(), name, value)).unwrap();
    }
    let own = user_id(SHOP, "alice").to_string();
    assert_ne!(judge(&with(claims(), "sub", json!(own))).unwrap().id.to_string(), own);
}

#[test]
fn alg_none_and_alg_swap_rejected() {
    let issuers = issuers();
    for alg in ["none", "None", "NONE", "", "HS256", "HS384", "RS384", "PS256", "ES384", "ES256K"] {
        let head = json!({ "alg": alg, "kid": "d" });
        let message = unsigned(&head, &claims());
        refused(issuers.verify(&format!("{message}."), NOW), "alg");
        refused(issuers.verify(&sign(IssuerAlgorithm::EdDsa, &head, &claims()), NOW), "alg");
    }
    // Each public key as a secret, in every form that a careless verifier may hold it in.
    let set = all_keys();
    for key in set["keys"].as_array().unwrap() {
        let numbers = ["n", "x", "y"].into_iter().filter_map(|name| key[name].as_str());
        let mut forms: Vec<Vec<u8>> = vec![key.to_string().into_bytes()];
        for number in numbers {
            use base64::Engine as _;
            forms.push(number.as_bytes().to_vec());
            forms.push(base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(number).unwrap());
        }
        for form in forms {
            for claims in [claims(), of_till()] {
                let head = json!({ "alg": "HS256", "kid": key["kid"] });
                let token = sign_with_secret(&form, &head, &claims);
                assert!(issuers.verify(&token, NOW).is_err(), "{head}");
            }
        }
    }
    // An algorithm of one issuer for the claims of the other, and of one key for another.
    let shop = sign(IssuerAlgorithm::Hs256, &header(IssuerAlgorithm::Hs256), &claims());
    refused(issuers.verify(&shop, NOW), "alg");
    let till = sign(IssuerAlgorithm::EdDsa, &header(IssuerAlgorithm::EdDsa), &of_till());
    refused(issuers.verify(&till, NOW), "alg");
    for algorithm in PUBLIC {
        for other in PUBLIC.into_iter().filter(|other| *other != algorithm) {
            let token = sign(algorithm, &header(other), &claims());
            refused(issuers.verify(&token, NOW), "signature");
            let mixed = json!({ "alg": algorithm.as_str(), "kid": header(other)["kid"] });
            refused(issuers.verify(&sign(algorithm, &mixed, &claims()), NOW), "not known");
        }
    }
}

#[test]
fn headers_that_bring_their_own_key_are_refused() {
    let algorithm = IssuerAlgorithm::EdDsa;
    for field in ["jku", "jwk", "x5u", "x5c", "crit"] {
        for value in
            [json!("https://evil.example"), json!(ed25519_jwk("d")), json!([]), json!(null)]
        {
            let head = with(header(algorithm), field, value);
            refused(issuers().verify(&sign(algorithm, &head, &claims()), NOW), field);
        }
    }
    for typ in ["logout+jwt", "dpop+jwt", "JWE", ""] {
        let head = with(header(algorithm), "typ", json!(typ));
        refused(issuers().verify(&sign(algorithm, &head, &claims()), NOW), "typ");
    }
    for (field, value) in [("typ", "JWT"), ("typ", "AT+jwt"), ("x5t", "abc"), ("nonce", "1")] {
        let head = with(header(algorithm), field, json!(value));
        assert!(issuers().verify(&sign(algorithm, &head, &claims()), NOW).is_ok(), "{field}");
    }
}

#[test]
fn string_nbf_rejected() {
    for name in ["nbf", "iat", "exp"] {
        for value in [
            json!(NOW.to_string()),
            json!("soon"),
            json!(null),
            json!(true),
            json!([NOW]),
            json!({ "at": NOW }),
            json!(-1),
            json!(1e300),
        ] {
            refused(judge(&with(claims(), name, value)), "numbers");
        }
    }
}

#[test]
fn times_are_checked_with_a_leeway_of_5_seconds() {
    let until = |exp: u64| judge(&with(claims(), "exp", json!(exp)));
    assert!(until(NOW - 4).is_ok());
    assert_eq!(until(NOW - 5), Err(Refusal::Expired));
    assert_eq!(until(0), Err(Refusal::Expired));
    assert!(until(NOW + 24 * 3600 + 5).is_ok());
    refused(until(NOW + 24 * 3600 + 6), "24 hours");
    refused(until(u64::MAX), "24 hours");
    refused(judge(&without(claims(), "exp")), "needs an exp");
    for name in ["nbf", "iat"] {
        assert!(judge(&with(claims(), name, json!(NOW + 5))).is_ok());
        refused(judge(&with(claims(), name, json!(NOW + 6))), "future");
        refused(judge(&with(claims(), name, json!(u64::MAX))), "future");
        assert!(judge(&with(claims(), name, json!(0))).is_ok());
    }
    let fractions = with(with(claims(), "exp", json!(1_800_000_600.5)), "iat", json!(1.7e9));
    assert!(judge(&fractions).is_ok());
}

#[test]
fn an_expired_token_with_a_wrong_signature_is_not_called_expired() {
    let head = header(IssuerAlgorithm::EdDsa);
    let token = sign(IssuerAlgorithm::Es256, &head, &with(claims(), "exp", json!(1)));
    refused(issuers().verify(&token, NOW), "signature");
}

#[test]
fn issuer_and_audience_must_be_the_configured_ones() {
    for other in [
        json!("https://other.example"),
        json!("https://shop.example/"),
        json!(""),
        json!("HTTPS://SHOP.EXAMPLE"),
        json!("firstcome"),
        json!(null),
        json!(1),
        json!([SHOP]),
    ] {
        refused(judge(&with(claims(), "iss", other)), "iss");
    }
    refused(judge(&without(claims(), "iss")), "iss");
    for other in [
        json!("firstcome-api"),
        json!(""),
        json!(null),
        json!(1),
        json!([]),
        json!(["other"]),
        json!(["firstcome", 1]),
        json!({ "firstcome": true }),
    ] {
        refused(judge(&with(claims(), "aud", other)), "aud");
    }
    refused(judge(&without(claims(), "aud")), "aud");
    assert!(judge(&with(claims(), "aud", json!(["other", "firstcome"]))).is_ok());
}

#[test]
fn the_subject_is_text_of_1_to_255_bytes() {
    for (sub, fits) in [
        (json!("a"), true),
        (json!("x".repeat(255)), true),
        (json!("\u{ae40}".repeat(85)), true),
        (json!(""), false),
        (json!("x".repeat(256)), false),
        (json!("\u{ae40}".repeat(86)), false),
        (json!("x".repeat(4000)), false),
    ] {
        assert_eq!(judge(&with(claims(), "sub", sub.clone())).is_ok(), fits, "{sub}");
    }
    for wrong in [json!(null), json!(42), json!(["alice"]), json!({ "id": "alice" })] {
        refused(judge(&with(claims(), "sub", wrong)), "as text");
    }
    refused(judge(&without(claims(), "sub")), "as text");
}

#[test]
fn another_claim_can_name_the_user() {
    let mut issuer = of_shop(&all_keys());
    issuer.options.subject_claim = "https://shop.example/user".to_owned();
    let issuers = Issuers { issuers: vec![Arc::new(issuer)], client: None };
    let head = header(IssuerAlgorithm::EdDsa);
    let named = with(without(claims(), "sub"), "https://shop.example/user", json!("bob"));
    let token = sign(IssuerAlgorithm::EdDsa, &head, &named);
    assert_eq!(issuers.verify(&token, NOW).unwrap().id, user_id(SHOP, "bob"));
    let only_sub = sign(IssuerAlgorithm::EdDsa, &head, &claims());
    refused(issuers.verify(&only_sub, NOW), "names the user");
}

#[test]
fn truncated_and_changed_tokens_are_refused() {
    let issuers = issuers();
    let algorithm = IssuerAlgorithm::EdDsa;
    let token = sign(algorithm, &header(algorithm), &claims());
    for length in 0..token.len() {
        assert!(issuers.verify(&token[..length], NOW).is_err(), "{length} bytes");
    }
    let parts: Vec<&str> = token.split('.').collect();
    let other = unsigned(&header(algorithm), &with(claims(), "sub", json!("bob")));
    refused(issuers.verify(&format!("{other}.{}", parts[2]), NOW), "signature");
    for shape in [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        &format!("{token}.{token}"),
        &format!("{}.{}.{}.{}", parts[0], parts[1], parts[1], parts[2]),
        &format!("{}==.{}.{}", parts[0], parts[1], parts[2]),
        "\u{ae40}.\u{ae40}.\u{ae40}",
    ] {
        refused(issuers.verify(shape, NOW), "not a JSON Web Token");
    }
    for head in [
        json!([]),
        json!("x"),
        json!({}),
        json!({ "alg": 1 }),
        json!({ "alg": "EdDSA", "kid": 1 }),
        json!(["EdDSA", "d", "JWT"]),
    ] {
        refused(issuers.verify(&sign(algorithm, &head, &claims()), NOW), "not a JSON Web Token");
    }
    let huge = sign(algorithm, &header(algorithm), &with(claims(), "x", json!("x".repeat(8192))));
    refused(issuers.verify(&huge, NOW), "8192 bytes");
}

#[test]
fn without_keys_nothing_is_accepted() {
    let issuer = of_shop(&all_keys());
    issuer.replace(KeyRing::default());
    let issuers = Issuers { issuers: vec![Arc::new(issuer)], client: None };
    for algorithm in PUBLIC {
        let token = sign(algorithm, &header(algorithm), &claims());
        refused(issuers.verify(&token, NOW), "not known");
    }
    let head = json!({ "alg": "EdDSA" });
    let token = sign(IssuerAlgorithm::EdDsa, &head, &claims());
    refused(issuers.verify(&token, NOW), "not known");
}

fn write_secret(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn key_files_that_cannot_be_used_stop_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys");
    let load = |algorithms: &[IssuerAlgorithm], keys: KeySource| {
        Issuers::load(&[options(SHOP, algorithms, keys)]).map(|_| ()).map_err(|e| e.to_string())
    };
    let jwks = || load(&PUBLIC, KeySource::JwksFile(path.clone()));
    let secret = || load(&[IssuerAlgorithm::Hs256], KeySource::SecretFile(path.clone()));
    assert!(jwks().unwrap_err().contains("cannot read"));
    assert!(secret().unwrap_err().contains("cannot read"));
    std::fs::write(&path, "{\"keys\": []}").unwrap();
    assert!(jwks().unwrap_err().contains("none of its 0 keys can verify RS256"));
    std::fs::write(&path, vec![b' '; JWKS_BYTES_MAX + 1]).unwrap();
    assert!(jwks().unwrap_err().contains("larger than 256 KiB"));
    std::fs::write(&path, all_keys().to_string()).unwrap();
    assert_eq!(jwks(), Ok(()));
    assert!(secret().unwrap_err().contains("chmod 600"));
    write_secret(&path, "c2hvcnQ=");
    assert!(secret().unwrap_err().contains("at least 32"));
    write_secret(&path, SECRET);
    assert_eq!(secret(), Ok(()));
    assert!(jwks().unwrap_err().contains("not a JSON Web Key Set"));
}

#[test]
fn a_changed_file_is_read_again_and_a_bad_one_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    let issuer = of_shop(&json!({ "keys": [ed25519_jwk("d")] }));
    let knows = |kid| issuer.ring().find(IssuerAlgorithm::EdDsa, Some(kid)).is_ok();
    let mut file = KeyFile::new(path.clone());
    let mut write = |text: &str| {
        std::fs::write(&path, text).unwrap();
        file.look(&issuer);
    };
    write(&json!({ "keys": [ed25519_jwk("d")] }).to_string());
    assert!(knows("d"));
    write(&json!({ "keys": [ed25519_jwk("new")] }).to_string());
    assert!(knows("new") && !knows("d"));
    for bad in ["", "{\"keys\": []}", "{\"keys\": [{\"kty\": "] {
        write(bad);
        assert!(knows("new"), "{bad}");
    }
    write(&json!({ "keys": [ed25519_jwk("later")] }).to_string());
    assert!(knows("later"));
    std::fs::remove_file(&path).unwrap();
    file.look(&issuer);
    assert!(knows("later"));
}

/// A stand-in for a URL: what each fetch answers, and when it was asked.
#[derive(Clone, Default)]
struct Url(Arc<Asked>);

#[derive(Default)]
struct Asked {
    answers: std::sync::Mutex<std::collections::VecDeque<Option<Value>>>,
    times: std::sync::Mutex<Vec<Instant>>,
    count: AtomicUsize,
}

impl Url {
    fn answering(answers: impl IntoIterator<Item = Option<Value>>) -> Self {
        let url = Self::default();
        url.0.answers.lock().unwrap().extend(answers);
        url
    }

    fn fetch(&self) -> Result<Bytes, FetchError> {
        self.0.count.fetch_add(1, Ordering::SeqCst);
        self.0.times.lock().unwrap().push(Instant::now());
        let mut answers = self.0.answers.lock().unwrap();
        // The last answer stands.
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        let set = answer.flatten().ok_or(FetchError::Timeout)?;
        Ok(Bytes::from(set.to_string()))
    }

    fn start(&self, issuer: &Arc<Issuer>, file: &Path) {
        let (url, kept) = (self.clone(), Kept { file: file.to_owned() });
        tokio::spawn(keep_fetched(Arc::clone(issuer), kept, move || {
            std::future::ready(url.fetch())
        }));
    }

    /// Lets virtual time pass until there were `count` fetches; returns the seconds between them.
    async fn asked(&self, count: usize) -> Vec<u64> {
        while self.0.count.load(Ordering::SeqCst) < count {
            tokio::time::advance(Duration::from_secs(1)).await;
            tokio::task::yield_now().await;
        }
        let times = self.0.times.lock().unwrap();
        times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect()
    }
}

fn shop_without_keys() -> Arc<Issuer> {
    let issuer = of_shop(&all_keys());
    issuer.replace(KeyRing::default());
    Arc::new(issuer)
}

fn names_key(issuer: &Arc<Issuer>, kid: &str) -> bool {
    let issuers = Issuers { issuers: vec![Arc::clone(issuer)], client: None };
    let head = json!({ "alg": "EdDSA", "kid": kid });
    issuers.verify(&sign(IssuerAlgorithm::EdDsa, &head, &claims()), NOW).is_ok()
}

#[tokio::test(start_paused = true)]
async fn fetched_keys_are_refreshed_every_hour_and_stale_ones_stay() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = shop_without_keys();
    let first = json!({ "keys": [ed25519_jwk("first")] });
    let empty = json!({ "keys": [] });
    let next = json!({ "keys": [ed25519_jwk("next")] });
    let url = Url::answering([Some(first), None, Some(empty), Some(next)]);
    url.start(&issuer, &dir.path().join("kept"));
    url.asked(1).await;
    tokio::task::yield_now().await;
    assert!(names_key(&issuer, "first"));
    // After the refresh failed, it is repeated every minute.
    assert_eq!(url.asked(3).await, [3600, 60]);
    tokio::task::yield_now().await;
    assert!(names_key(&issuer, "first"));
    assert_eq!(url.asked(4).await, [3600, 60, 60]);
    tokio::task::yield_now().await;
    assert!(names_key(&issuer, "next") && !names_key(&issuer, "first"));
}

#[tokio::test(start_paused = true)]
async fn unknown_kids_cause_one_fetch_a_minute_at_most() {
    let dir = tempfile::tempdir().unwrap();
    let issuer = shop_without_keys();
    let url = Url::answering([Some(json!({ "keys": [ed25519_jwk("d")] }))]);
    url.start(&issuer, &dir.path().join("kept"));
    url.asked(1).await;
    for _ in 0..180 {
        for attempt in 0..50 {
            assert!(!names_key(&issuer, &format!("made-up-{attempt}")));
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    let between = url.asked(3).await;
    assert!(between.iter().all(|seconds| (60..=62).contains(seconds)), "{between:?}");
    assert!((3..=4).contains(&(between.len() + 1)), "{between:?}");
}

#[tokio::test(start_paused = true)]
async fn keys_of_an_earlier_run_are_used_while_the_url_cannot_be_reached() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    let url = Url::answering([Some(json!({ "keys": [ed25519_jwk("d")] }))]);
    url.start(&shop_without_keys(), &kept);
    url.asked(1).await;
    tokio::task::yield_now().await;

    let issuer = shop_without_keys();
    let unreachable = Url::answering([None]);
    unreachable.start(&issuer, &kept);
    unreachable.asked(2).await;
    assert!(names_key(&issuer, "d"));

    std::fs::write(&kept, "{\"keys\": [").unwrap();
    let issuer = shop_without_keys();
    unreachable.start(&issuer, &kept);
    unreachable.asked(4).await;
    assert!(!names_key(&issuer, "d"), "a damaged file is not used");
}
