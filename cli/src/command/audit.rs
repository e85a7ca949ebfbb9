//! `firstcome audit ...`: what staff did, and whether the log of it is whole.

use clap::Subcommand;
use firstcome_api::rfc3339;
use firstcome_domain::audit::AuditEntry;
use firstcome_domain::value::Sealed;
use firstcome_domain::{Revision, Role, Stamp};
use serde_json::{Value, json};

use crate::client::{Remote, Request, more, page, rows, show};
use crate::exit::Exit;
use crate::output;
use crate::output::{field, table};

const LIST: &str = "/v1/admin/audit-log";

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome audit list
  firstcome audit verify             recomputes every hash; exit code 1 if one does not fit

Store the last hash somewhere else and compare it later: someone who can write to every node could
replace the whole log, but the hash would change.")]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List what staff did, newest first.
    List {
        /// Rows per page, 1 to 100.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Cursor of the next page, as printed with the previous one.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Read the whole log and recompute its hashes.
    Verify,
}

pub(crate) async fn run(args: Args, json: bool) -> anyhow::Result<Exit> {
    let client = args.remote.client(Role::Admin)?;
    match args.verb {
        Verb::List { limit, cursor } => {
            let path = page(LIST, limit, cursor.as_deref(), &[]);
            show(&client, Request::get(&path), json, list).await
        }
        Verb::Verify => {
            let mut chain = Chain::default();
            let mut cursor: Option<String> = None;
            loop {
                let path = page(LIST, 100, cursor.as_deref(), &[("order", "asc")]);
                let answer = client.send_ok(Request::get(&path)).await?.body;
                rows(&answer).for_each(|entry| chain.add(entry));
                cursor = answer.get("next_cursor").and_then(Value::as_str).map(str::to_owned);
                if cursor.is_none() || chain.broken.is_some() {
                    break;
                }
            }
            Ok(chain.end(json))
        }
    }
}

fn list(answer: &Value) -> String {
    let names = ["seq", "at", "actor_id", "action", "target", "reason"];
    let rows: Vec<_> = rows(answer).map(|o| names.map(|name| field(o, name)).to_vec()).collect();
    table(&["SEQ", "AT", "ACTOR", "ACTION", "TARGET", "REASON"], &rows) + &more(answer)
}

/// The log as far as it was read.
#[derive(Default)]
struct Chain {
    entries: u64,
    hash: [u8; 32],
    /// The same as it was shown.
    shown_hash: String,
    /// What does not fit.
    broken: Option<String>,
}

impl Chain {
    fn add(&mut self, shown: &Value) {
        if self.broken.is_some() {
            return;
        }
        let wanted = self.entries.saturating_add(1);
        let Some(entry) = read(shown) else {
            self.broken = Some(format!("entry {wanted} cannot be read"));
            return;
        };
        if entry.seq != wanted {
            self.broken = Some(format!("entry {wanted} is missing: {} follows", entry.seq));
        } else if entry.previous != self.hash {
            self.broken = Some(format!("entry {wanted} does not carry the hash of the one before"));
        } else if entry.chained() != entry.hash {
            self.broken = Some(format!("entry {wanted} was changed: its hash does not fit"));
        } else {
            self.entries = wanted;
            self.hash = entry.hash;
            self.shown_hash = field(shown, "hash");
        }
    }

    fn end(self, json: bool) -> Exit {
        let hash = &self.shown_hash;
        if json {
            output::json(&json!({
                "object": "audit_verification", "entries": self.entries, "hash": hash,
                "broken": self.broken,
            }));
        } else {
            output::line(&match &self.broken {
                None if self.entries == 0 => "the audit log is empty".to_owned(),
                None => format!("{} entries, each in its place; last hash {hash}", self.entries),
                Some(broken) => format!("{} entries are in their place; {broken}", self.entries),
            });
        }
        if self.broken.is_some() { Exit::Refused } else { Exit::Done }
    }
}

/// An entry as the API shows it.
fn read(shown: &Value) -> Option<AuditEntry> {
    let text = |name| shown.get(name).and_then(Value::as_str);
    let number = |name| shown.get(name).and_then(Value::as_u64);
    let reason = match text("reason_sealed") {
        Some(sealed) => Some(Sealed(bytes(sealed)?)),
        None => None,
    };
    Some(AuditEntry {
        seq: number("seq")?,
        stamp: Stamp {
            revision: Revision::new(number("revision")?),
            now: rfc3339::parse(text("at")?)?,
        },
        actor: text("actor_id")?.parse().ok()?,
        action: text("action")?.to_owned(),
        target: text("target")?.to_owned(),
        reason,
        previous: bytes(text("previous")?)?.try_into().ok()?,
        hash: bytes(text("hash")?)?.try_into().ok()?,
    })
}

/// Reads hex.
fn bytes(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    let pairs = (0..text.len()).step_by(2);
    pairs.map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use firstcome_domain::{Millis, UserId};

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        let digit = |half: u8| char::from_digit(half.into(), 16).expect("below 16");
        bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }

    /// A log of so many entries, as the API shows them.
    fn log(count: u64) -> Vec<Value> {
        let mut previous = [0; 32];
        let entries = (1..=count).map(|seq| {
            let reason = (seq == 2).then(|| Sealed(vec![7; 5]));
            let mut entry = AuditEntry {
                seq,
                stamp: Stamp { revision: Revision::new(seq * 3), now: Millis::new(1_234) },
                actor: UserId::new(5),
                action: "SalePause".to_owned(),
                target: "sal_x".to_owned(),
                reason,
                previous,
                hash: [0; 32],
            };
            entry.hash = entry.chained();
            previous = entry.hash;
            json!({
                "seq": seq, "revision": entry.stamp.revision.get(),
                "at": rfc3339::format(entry.stamp.now), "actor_id": entry.actor.to_string(),
                "action": entry.action, "target": entry.target,
                "reason_sealed": entry.reason.as_ref().map(|reason| hex(&reason.0)),
                "previous": hex(&entry.previous), "hash": hex(&entry.hash),
            })
        });
        entries.collect()
    }

    fn judged(entries: &[Value]) -> (u64, Option<String>) {
        let mut chain = Chain::default();
        for entry in entries {
            chain.add(entry);
        }
        (chain.entries, chain.broken)
    }

    #[test]
    fn a_log_is_verified_and_each_change_of_it_is_found() {
        assert_eq!(judged(&log(4)), (4, None));
        assert_eq!(judged(&[]), (0, None));
        for (member, value) in [
            ("target", json!("sal_y")),
            ("actor_id", json!(UserId::new(6).to_string())),
            ("at", json!("1970-01-01T00:00:00.000Z")),
            ("reason_sealed", json!("0707070708")),
            ("reason_sealed", json!("070")),
            ("previous", json!("00")),
            ("seq", json!(7)),
            ("revision", Value::Null),
        ] {
            let mut entries = log(4);
            entries[1][member] = value;
            let (good, broken) = judged(&entries);
            assert!(good == 1 && broken.is_some(), "{member}");
        }
        let mut gap = log(4);
        gap.remove(2);
        assert_eq!(judged(&gap).1.as_deref(), Some("entry 3 is missing: 4 follows"));
    }
}
