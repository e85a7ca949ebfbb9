//! The outbox: the leader performs effects and reports the results. Today the only effect is mail.
//!
//! A mail may go out twice: when the leader changes, or dies, between sending and reporting. Both
//! copies have the same `Message-ID`. No request waits for any of this.

use std::sync::Arc;
use std::time::Duration;

use firstcome_domain::command::{Attempt, EffectReport};
use firstcome_domain::effect::{Effect, Mail, Notice};
use firstcome_domain::user::User;
use firstcome_domain::{Action, Actor, Command, UserId, View as _};
use firstcome_raft::Node;
use futures_util::StreamExt as _;
use rand::Rng as _;

use crate::account::Opened;
use crate::keyring::Keyring;
use crate::keys::Keys;
use crate::mail::{Letter, Mailer, Template};
use crate::seal::open_letter;

/// How often the leader looks for mail to send.
const PERIOD: Duration = Duration::from_millis(250);
/// Mails taken per round.
const BATCH: usize = 64;
/// Mails that are sent at the same time.
const AT_ONCE: usize = 4;
/// The first wait after a failure; each further one doubles it.
const FIRST_WAIT_MS: i64 = 1_000;
/// The longest wait.
const LONGEST_WAIT_MS: i64 = 60 * 60 * 1_000;

/// Sends mail while its node leads.
pub struct Outbox {
    node: Node,
    keyring: Keyring,
    keys: Arc<Keys>,
    mailer: Arc<Mailer>,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outbox")
    }
}

/// Why a mail could not be made.
enum Unmade {
    /// It never can be.
    Failed(&'static str),
    /// This node lacks something that another one may have.
    NotHere,
}

impl Outbox {
    /// The outbox of a node with these keys.
    pub fn new(node: Node, keys: &Keys, mailer: Arc<Mailer>) -> Self {
        let keyring = Keyring::new(node.clone(), keys);
        Self { node, keys: keyring.keys(), keyring, mailer }
    }

    /// Sends mail for as long as the node runs. Never returns.
    pub async fn run(&self) {
        loop {
            if self.node.leads() && matches!(self.keyring.follow(), Ok(true)) {
                self.send_due().await;
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    async fn send_due(&self) {
        let now = self.node.log_time();
        let Ok(due) = self.node.read(|rows| rows.due_effects(now, BATCH)) else { return };
        let due = futures_util::stream::iter(due);
        due.for_each_concurrent(AT_ONCE, async |effect| self.handle(&effect).await).await;
    }

    /// Tries one effect, and reports the attempt. What is not reported is tried again.
    async fn handle(&self, effect: &Effect) {
        let Some(attempt) = self.attempt(effect).await else { return };
        let report = EffectReport { id: effect.id, attempts: effect.attempts, attempt };
        let action = Action::EffectReport(report);
        let command = Command { actor: Actor::Node, receipt: None, action };
        if let Err(failure) = self.node.propose(command).await {
            tracing::warn!(effect = %effect.id, %failure, "an attempt was not reported");
        }
    }

    /// What an attempt came to; `None` if there was none.
    async fn attempt(&self, effect: &Effect) -> Option<Attempt> {
        let failed = |code: &str| Some(Attempt::Failed { code: code.to_owned() });
        if effect.give_up_at <= self.node.log_time() {
            return failed("expired");
        }
        let letter = match self.letter(effect) {
            Ok(letter) => letter,
            Err(Unmade::Failed(code)) => return failed(code),
            Err(Unmade::NotHere) => return None,
        };
        let Err(error) = self.mailer.send(&effect.id.to_string(), &letter).await else {
            return Some(Attempt::Done);
        };
        // The breaker let nothing through, so nothing was tried.
        if error.retry_in.is_some() {
            return None;
        }
        let code = error.code;
        tracing::warn!(effect = %effect.id, attempts = effect.attempts, "a mail was not sent: {error}");
        if error.permanent {
            return failed(code);
        }
        Some(Attempt::Retry { wait_ms: wait_ms(effect.attempts), code: code.to_owned() })
    }

    fn letter(&self, effect: &Effect) -> Result<Letter, Unmade> {
        match &effect.mail {
            Mail::Letter { sealed, .. } => {
                let plain = open_letter(&self.keys, effect.id, sealed).ok_or(Unmade::NotHere)?;
                serde_json::from_slice(&plain).map_err(|_| Unmade::Failed("unreadable"))
            }
            Mail::Notice { user, notice } => self.notice(*user, *notice),
        }
    }

    /// A mail to the address that a user has now.
    fn notice(&self, id: UserId, notice: Notice) -> Result<Letter, Unmade> {
        let user = self.node.read(|rows| rows.get::<User>(id)).map_err(|_| Unmade::NotHere)?;
        let user = user.ok_or(Unmade::Failed("no_account"))?;
        let opened = Opened::of(&self.keys, &user).map_err(|_| Unmade::NotHere)?;
        let opened = opened.ok_or(Unmade::Failed("no_account"))?;
        let recipient = opened.email().map_err(|_| Unmade::NotHere)?.as_str().to_owned();
        let template = match notice {
            Notice::AlreadyRegistered => Template::AlreadyRegistered,
            Notice::PasswordChanged => Template::PasswordChanged,
            Notice::SessionReuse => Template::SessionReuse,
        };
        Ok(Letter { recipient, language: opened.account.language, template })
    }
}

/// How long to wait after this many failed attempts: doubling, and a quarter of it at random, so
/// that mails that failed together are not tried together.
fn wait_ms(attempts: u32) -> i64 {
    let wait = 1i64.checked_shl(attempts).and_then(|factor| factor.checked_mul(FIRST_WAIT_MS));
    let wait = wait.filter(|ms| (1..LONGEST_WAIT_MS).contains(ms)).unwrap_or(LONGEST_WAIT_MS);
    wait - rand::rng().random_range(0..=wait / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_an_hour() {
        for (attempts, most) in
            [(0, 1_000), (1, 2_000), (11, 2_048_000), (12, LONGEST_WAIT_MS), (200, LONGEST_WAIT_MS)]
        {
            for _ in 0..100 {
                assert!((most * 3 / 4..=most).contains(&wait_ms(attempts)), "{attempts}");
            }
        }
    }
}
