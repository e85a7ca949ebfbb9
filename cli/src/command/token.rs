//! `firstcome token`: generates access tokens from the master key alone.

use std::path::PathBuf;

use firstcome_domain::{Role, UserId};
use serde_json::json;

use crate::credentials::{self, fresh_user, parse_role};
use crate::exit::{Exit, Stop};
use crate::output;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome token --role admin
  firstcome token --role customer --subject usr_01JXQ5Z3T2K8W4M6N9P0R1S2T3 --ttl 600
  firstcome token --role customer --count 1000 > buyers.txt    one per line, for load tools

No node needs to be running. Only the token is printed to stdout:
  curl -H \"Authorization: Bearer $(firstcome token --role customer)\" http://127.0.0.1:7400/v1/orders")]
pub(crate) struct Args {
    /// Role: customer, support, operator or admin.
    #[arg(long, value_parser = parse_role)]
    role: Role,
    /// User of the token [default: a new user].
    #[arg(long, value_name = "usr_...", conflicts_with = "count")]
    subject: Option<UserId>,
    /// Seconds until the token expires.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(1..))]
    ttl: u64,
    /// Version of the master key that signs [default: the oldest one in the file, because every
    /// node has that, while a newer one may still be on its way to some].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    key_version: Option<u32>,
    /// Print this many tokens, one per line, each for a new user.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    count: Option<u64>,
    /// Master key file; without it FIRSTCOME_MASTER_KEY_FILE, FIRSTCOME_MASTER_KEY or
    /// ./data/master.key.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, json: bool) -> anyhow::Result<Exit> {
    let master = credentials::require_master(args.key_file.as_ref())?;
    let master = match args.key_version {
        None => master,
        Some(version) => master
            .only(version)
            .ok_or_else(|| Stop::config(format!("the master key has no version {version}")))?,
    };
    let keys = credentials::derive(&master)?;
    let mut lines = String::new();
    for _ in 0..args.count.unwrap_or(1) {
        let subject = args.subject.unwrap_or_else(fresh_user);
        let token = keys.mint(subject, args.role, args.ttl);
        if json {
            let document = json!({
                "object": "token", "access_token": token, "token_type": "Bearer",
                "subject": subject.to_string(), "expires_in_seconds": args.ttl,
            });
            lines.push_str(&document.to_string());
        } else {
            lines.push_str(&token);
        }
        lines.push('\n');
        if lines.len() > 1 << 20 {
            output::write(&lines);
            lines.clear();
        }
    }
    output::write(&lines);
    Ok(Exit::Done)
}
