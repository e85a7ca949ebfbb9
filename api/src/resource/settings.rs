//! Settings.

use firstcome_domain::settings::Settings;
use serde::Serialize;
use utoipa::ToSchema;

/// The replicated settings that decisions depend on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
#[schema(as = Settings)]
pub(crate) struct SettingsBody {
    /// Always `settings`.
    #[schema(example = "settings")]
    object: &'static str,
    /// How long an order may stay unpaid.
    pay_within_seconds: i64,
    /// How far a payment confirmation in progress may extend `pay_by`. No effect yet: there are no
    /// payment providers.
    confirm_grace_seconds: i64,
    /// Attempts per payment. No effect yet: there are no payment providers.
    pay_attempts: u32,
    /// Maximum number of unpaid orders per customer.
    max_pending_orders: u32,
    /// Time from `paid` to `shipping`; `null`: only staff move the order on.
    ship_after_seconds: Option<i64>,
    /// Time from `shipping` to `delivered`; `null`: only staff move the order on.
    deliver_after_seconds: Option<i64>,
    /// Time from `delivered` to `confirmed`.
    return_window_seconds: i64,
    /// Time from `return_requested` to `returned`.
    return_after_seconds: i64,
    /// How long idempotency keys are remembered.
    receipt_retention_seconds: i64,
    /// How long events are kept.
    event_retention_seconds: i64,
    /// How long an access token lasts.
    access_token_seconds: i64,
    /// How long a session lasts without being renewed.
    refresh_idle_seconds: i64,
    /// How long a session lasts at most.
    refresh_absolute_seconds: i64,
    /// Also the `ETag`; 0 until the defaults are changed.
    version: u64,
    /// The log entry that last wrote the settings.
    revision: u64,
}

impl SettingsBody {
    /// Shows the settings.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self {
            object: "settings",
            pay_within_seconds: settings.pay_within_ms / 1000,
            confirm_grace_seconds: settings.confirm_grace_ms / 1000,
            pay_attempts: settings.pay_attempts,
            max_pending_orders: settings.max_pending_orders,
            ship_after_seconds: settings.ship_after_ms.map(|ms| ms / 1000),
            deliver_after_seconds: settings.deliver_after_ms.map(|ms| ms / 1000),
            return_window_seconds: settings.return_window_ms / 1000,
            return_after_seconds: settings.return_after_ms / 1000,
            receipt_retention_seconds: settings.receipt_retention_ms / 1000,
            event_retention_seconds: settings.event_retention_ms / 1000,
            access_token_seconds: settings.access_token_ms / 1000,
            refresh_idle_seconds: settings.refresh_idle_ms / 1000,
            refresh_absolute_seconds: settings.refresh_absolute_ms / 1000,
            version: settings.row.version,
            revision: settings.row.updated.revision.get(),
        }
    }
}
