//! Tokens for customers, signed with ES256. In Cargo.toml:
//!
//! ```toml
//! jsonwebtoken = { version = "10.3", default-features = false, features = ["aws_lc_rs"] }
//! rcgen = "0.14" # To make the key; not needed for signing.
//! serde_json = "1"
//! ```
//!
//! ```text
//! cargo run keys             makes shop.der, which you keep, and jwks.json for every node
//! cargo run token SUBJECT    prints a token
//! ```

use std::error::Error;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

const KID: &str = "shop-1";

/// Makes a key pair in `dir`.
pub fn keys(dir: &Path) -> Result<(), Box<dyn Error>> {
    let der = rcgen::KeyPair::generate()?.serialize_der(); // P-256 by default.
    let mut new = fs::OpenOptions::new();
    new.write(true).create_new(true).mode(0o600).open(dir.join("shop.der"))?.write_all(&der)?;

    let mut jwk = Jwk::from_encoding_key(&EncodingKey::from_ec_der(&der), Algorithm::ES256)?;
    jwk.common.key_id = Some(KID.to_owned());
    fs::write(dir.join("jwks.json"), json!({ "keys": [jwk] }).to_string())?;
    Ok(())
}

/// A token for the user `subject`, valid for ten minutes.
pub fn token(dir: &Path, subject: &str) -> Result<String, Box<dyn Error>> {
    let key = EncodingKey::from_ec_der(&fs::read(dir.join("shop.der"))?);
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = json!({
        "iss": "https://shop.example",
        "aud": "firstcome",
        "sub": subject,
        "iat": now,
        "exp": now + 600,
    });
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some(KID.to_owned());
    Ok(encode(&header, &claims, &key)?)
}

/// `keys`, or `token SUBJECT`, in the current directory.
pub fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["keys"] => keys(Path::new("."))?,
        ["token", subject] => println!("{}", token(Path::new("."), subject)?),
        _ => return Err("use: keys, or token SUBJECT".into()),
    }
    Ok(())
}
