//! Admins: the replicated settings.

use firstcome_domain::command::SettingsUpdate;
use firstcome_domain::settings::{OutOfRange, Settings};
use firstcome_domain::{Action, Done, Outcome, View};
use serde::Deserialize;
use utoipa::ToSchema;

use super::routes::Routes;
use crate::access::Permission;
use crate::budget::Budget;
use crate::call::{Answer, Call, unexpected};
use crate::fields::nullable;
use crate::problem::Problem;
use crate::resource::settings::SettingsBody;
use crate::spec::{Spec, Success, schema_of};

const GET: Spec = Spec {
    path: "/v1/admin/settings",
    operation: "get_settings",
    tag: "staff: settings",
    summary: "Returns the replicated settings.",
    permission: Permission::SettingsWrite,
    budget: Budget::Admin,
    success: Success::One(schema_of::<SettingsBody>()),
    ..Spec::GET
};
const UPDATE: Spec = Spec {
    path: "/v1/admin/settings",
    operation: "update_settings",
    tag: "staff: settings",
    summary: "Changes settings. They apply to statuses that orders enter from then on.",
    permission: Permission::SettingsWrite,
    budget: Budget::Admin,
    body: Some(schema_of::<SettingsChange>()),
    success: Success::One(schema_of::<SettingsBody>()),
    ..Spec::PATCH
};

/// Adds the routes of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes.with(&GET, get).with(&UPDATE, update)
}

async fn get(call: Call) -> Result<Answer, Problem> {
    let read = call.read(View::settings).await?;
    let shown = call.shown(&SettingsBody::of(&read.value), read.revision)?;
    Ok(shown.tagged(read.value.row.version))
}

/// The settings to change; all others keep their values.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "absent, null and a value are three things in a PATCH")]
struct SettingsChange {
    #[serde(default)]
    pay_within_seconds: Option<i64>,
    #[serde(default)]
    confirm_grace_seconds: Option<i64>,
    #[serde(default)]
    pay_attempts: Option<u32>,
    #[serde(default)]
    max_pending_orders: Option<u32>,
    /// `null`: only staff move the order on.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>)]
    ship_after_seconds: Option<Option<i64>>,
    /// `null`: only staff move the order on.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>)]
    deliver_after_seconds: Option<Option<i64>>,
    #[serde(default)]
    return_window_seconds: Option<i64>,
    #[serde(default)]
    return_after_seconds: Option<i64>,
    #[serde(default)]
    receipt_retention_seconds: Option<i64>,
    #[serde(default)]
    event_retention_seconds: Option<i64>,
    #[serde(default)]
    access_token_seconds: Option<i64>,
    #[serde(default)]
    refresh_idle_seconds: Option<i64>,
    #[serde(default)]
    refresh_absolute_seconds: Option<i64>,
}

impl SettingsChange {
    fn apply(self, settings: &mut Settings) {
        let set = |to: &mut i64, seconds: Option<i64>| {
            if let Some(seconds) = seconds {
                *to = seconds.saturating_mul(1000);
            }
        };
        set(&mut settings.pay_within_ms, self.pay_within_seconds);
        set(&mut settings.confirm_grace_ms, self.confirm_grace_seconds);
        set(&mut settings.return_window_ms, self.return_window_seconds);
        set(&mut settings.return_after_ms, self.return_after_seconds);
        set(&mut settings.receipt_retention_ms, self.receipt_retention_seconds);
        set(&mut settings.event_retention_ms, self.event_retention_seconds);
        set(&mut settings.access_token_ms, self.access_token_seconds);
        set(&mut settings.refresh_idle_ms, self.refresh_idle_seconds);
        set(&mut settings.refresh_absolute_ms, self.refresh_absolute_seconds);
        let set = |to: &mut Option<i64>, seconds: Option<Option<i64>>| {
            if let Some(seconds) = seconds {
                *to = seconds.map(|seconds| seconds.saturating_mul(1000));
            }
        };
        set(&mut settings.ship_after_ms, self.ship_after_seconds);
        set(&mut settings.deliver_after_ms, self.deliver_after_seconds);
        settings.pay_attempts = self.pay_attempts.unwrap_or(settings.pay_attempts);
        settings.max_pending_orders =
            self.max_pending_orders.unwrap_or(settings.max_pending_orders);
    }
}

async fn update(call: Call) -> Result<Answer, Problem> {
    let if_version = call.if_match()?;
    let change: SettingsChange = call.json()?;
    // Fields that are left out keep the values read here. If they have changed since the editor
    // read them, the decision refuses the command by its version.
    call.app.node.linearize().await?;
    let mut settings = call.app.node.read(View::settings)?;
    change.apply(&mut settings);
    if let Some(OutOfRange { field, allowed }) = settings.out_of_range() {
        let detail = format!("must be {} to {}", allowed.start(), allowed.end());
        return Err(Problem::field(format!("/{field}"), "out_of_range", detail));
    }
    let action = Action::SettingsUpdate(SettingsUpdate { if_version, settings });
    let reply = call.propose(action).await?;
    let Outcome::Done(Done::Settings(settings)) = &reply.outcome else {
        return Err(unexpected(&reply));
    };
    let answer = call.wrote(&SettingsBody::of(settings), &reply)?;
    Ok(answer.tagged(settings.row.version))
}
