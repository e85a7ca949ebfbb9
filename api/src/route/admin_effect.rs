//! Staff: pending and failed mail, and the state of the circuit breaker.

use firstcome_domain::effect::{Effect, Mail, Notice};
use serde::Serialize;
use utoipa::ToSchema;

use super::routes::Routes;
use crate::access::Permission;
use crate::budget::Budget;
use crate::call::{Answer, Call, PageRequest, Read};
use crate::mail::{BreakerState, BreakerView};
use crate::paging::ListName;
use crate::problem::Problem;
use crate::rfc3339;
use crate::spec::{Spec, Success, parameter, schema_of};

const LIST: Spec = Spec {
    path: "/v1/admin/effects",
    operation: "list_effects",
    tag: "staff: effects",
    summary: "Lists mails that are not sent, newest first by default. Failed ones stay for 7 days.",
    permission: Permission::EventsRead,
    budget: Budget::Admin,
    query: &[parameter("state", "`waiting` or `failed`.")],
    sortable: true,
    success: Success::List(schema_of::<EffectBody>()),
    ..Spec::GET
};

/// Adds the routes of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes.with(&LIST, list)
}

/// A mail that has not been sent.
#[derive(Serialize, ToSchema)]
#[schema(as = Effect)]
struct EffectBody {
    /// Always `effect`.
    #[schema(example = "effect")]
    object: &'static str,
    /// `eff_...`; of a mail also its `Message-ID`.
    id: String,
    /// Always `mail`.
    #[schema(example = "mail")]
    kind: &'static str,
    /// What the mail says: `code`, `already_registered`, `password_changed` or `session_reuse`.
    #[schema(example = "code")]
    subject: &'static str,
    /// The user it is for, if it is for one.
    user_id: Option<String>,
    /// `waiting` or `failed`.
    #[schema(example = "waiting")]
    state: &'static str,
    /// Attempts that failed.
    attempts: u32,
    /// Why the last one failed.
    last_code: Option<String>,
    /// When the next attempt is due; `null` if there is none.
    next_at: Option<String>,
    created_at: String,
    updated_at: String,
}

impl EffectBody {
    fn of(effect: &Effect) -> Self {
        let (subject, user) = match &effect.mail {
            Mail::Letter { .. } => ("code", None),
            Mail::Notice { user, notice } => {
                let subject = match notice {
                    Notice::AlreadyRegistered => "already_registered",
                    Notice::PasswordChanged => "password_changed",
                    Notice::SessionReuse => "session_reuse",
                };
                (subject, Some(user.to_string()))
            }
        };
        Self {
            object: "effect",
            id: effect.id.to_string(),
            kind: "mail",
            subject,
            user_id: user,
            state: if effect.failed { "failed" } else { "waiting" },
            attempts: effect.attempts,
            last_code: effect.last_code.clone(),
            next_at: (!effect.failed).then(|| rfc3339::format(effect.next_at)),
            created_at: rfc3339::format(effect.row.created.now),
            updated_at: rfc3339::format(effect.row.updated.now),
        }
    }
}

/// A page of effects.
#[derive(Serialize, ToSchema)]
#[schema(as = EffectList)]
struct EffectsBody {
    /// Always `list`.
    #[schema(example = "list")]
    object: &'static str,
    data: Vec<EffectBody>,
    next_cursor: Option<String>,
    /// The circuit breaker of the node that responds. Only the leader sends mail.
    breakers: Vec<BreakerBody>,
}

/// A circuit breaker: after repeated failures, attempts pause for a while.
#[derive(Serialize, ToSchema)]
#[schema(as = Breaker)]
struct BreakerBody {
    /// Always `mail`.
    #[schema(example = "mail")]
    kind: &'static str,
    /// Of which node.
    node: String,
    /// `closed`, `open` or `half_open`.
    #[schema(example = "closed")]
    state: &'static str,
    /// Failures in a row.
    failures: u32,
    /// How long until an open one lets an attempt through.
    retry_in_seconds: Option<u64>,
}

impl BreakerBody {
    fn of(node: &str, breaker: BreakerView) -> Self {
        Self {
            kind: "mail",
            node: node.to_owned(),
            state: match breaker.state {
                BreakerState::Closed => "closed",
                BreakerState::Open => "open",
                BreakerState::HalfOpen => "half_open",
            },
            failures: breaker.failures,
            retry_in_seconds: breaker.retry_in.map(|wait| wait.as_secs()),
        }
    }
}

async fn list(call: Call) -> Result<Answer, Problem> {
    let failed = match call.query.get("state") {
        None => None,
        Some("waiting") => Some(false),
        Some("failed") => Some(true),
        Some(_) => {
            return Err(Problem::field("/query/state", "invalid", "must be waiting or failed"));
        }
    };
    let list = ListName::new("effects");
    let PageRequest { list, direction, after, limit } = call.page_of(list, &["state"])?;
    let read = call.read(|rows| rows.effects(failed, direction, after, limit)).await?;
    let Read { value: page, revision } = read;
    let items: Vec<_> = page.items.iter().map(|effect| EffectBody::of(effect)).collect();
    let next_cursor = page.next.and_then(|place| list.cursor(&call.app.keys, &place));
    let mailer = call.app.options.mailer.as_ref();
    let breakers = mailer.map(|mailer| BreakerBody::of(call.app.node.name(), mailer.breaker()));
    let body = EffectsBody {
        object: "list",
        data: items,
        next_cursor,
        breakers: breakers.into_iter().collect(),
    };
    Ok(Answer::json(call.route, &body)?.at(revision))
}
