//! The command that changes the settings.

use serde::{Deserialize, Serialize};

use super::row::Settings;
use crate::kernel::version::Versioned;

/// `PATCH /v1/admin/settings`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SettingsUpdate {
    /// The version the editor saw.
    pub if_version: u64,
    /// All values; the row stamp is ignored.
    pub settings: Settings,
}

impl Versioned for SettingsUpdate {}
