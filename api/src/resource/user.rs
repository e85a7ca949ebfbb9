//! Users: as they see themselves, and as staff see them.

use firstcome_domain::user::{User, UserStatus};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::role_word;
use crate::account::Opened;
use crate::keys::Keys;
use crate::problem::Problem;
use crate::rfc3339;

/// The caller. A user without an account, such as a shop's own, has neither address nor name here.
#[derive(Serialize, ToSchema)]
#[schema(as = User)]
pub(crate) struct UserBody {
    /// Always `user`.
    #[schema(example = "user")]
    object: &'static str,
    /// `usr_...`
    id: String,
    email: Option<String>,
    name: Option<String>,
    phone: Option<String>,
    /// `customer`, `support`, `operator` or `admin`.
    #[schema(example = "customer")]
    role: &'static str,
    created_at: Option<String>,
    updated_at: Option<String>,
    /// Also the `ETag`.
    version: u64,
    /// The log entry that last wrote the user.
    revision: u64,
}

impl UserBody {
    pub(crate) fn of(keys: &Keys, user: &User) -> Result<Self, Problem> {
        let opened = Opened::of(keys, user)?;
        let email = opened.as_ref().map(Opened::email).transpose()?;
        let profile = opened.as_ref().map(Opened::profile).transpose()?;
        let (name, phone) = profile.map(|profile| (profile.name, profile.phone)).unzip();
        let stamps = Stamps::of(user);
        Ok(Self {
            object: "user",
            id: user.id.to_string(),
            email: email.map(|email| email.as_str().to_owned()),
            name,
            phone,
            role: role_word(user.role),
            created_at: stamps.created_at,
            updated_at: stamps.updated_at,
            version: user.row.version,
            revision: user.row.updated.revision.get(),
        })
    }
}

/// A user, as staff see them.
#[derive(Serialize, ToSchema)]
#[schema(as = StaffUser)]
pub(crate) struct StaffUserBody {
    /// Always `user`.
    #[schema(example = "user")]
    object: &'static str,
    /// `usr_...`
    id: String,
    /// `customer`, `support`, `operator` or `admin`.
    #[schema(example = "customer")]
    role: &'static str,
    /// `active`, `blocked` or `erased`.
    #[schema(example = "active")]
    status: &'static str,
    /// First letters only; `null` without an account.
    #[schema(example = "h***@e***.com")]
    email: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
    /// Also the `ETag`.
    version: u64,
    /// The log entry that last wrote the user.
    revision: u64,
}

impl StaffUserBody {
    pub(crate) fn of(keys: &Keys, user: &User) -> Result<Self, Problem> {
        let opened = Opened::of(keys, user)?;
        let email = opened.as_ref().map(Opened::email).transpose()?;
        let stamps = Stamps::of(user);
        Ok(Self {
            object: "user",
            id: user.id.to_string(),
            role: role_word(user.role),
            status: match user.status {
                UserStatus::Active => "active",
                UserStatus::Blocked => "blocked",
                UserStatus::Erased => "erased",
            },
            email: email.map(|email| email.mask()),
            created_at: stamps.created_at,
            updated_at: stamps.updated_at,
            version: user.row.version,
            revision: user.row.updated.revision.get(),
        })
    }
}

/// A user of whom nothing is kept has no row, and so no stamps.
struct Stamps {
    created_at: Option<String>,
    updated_at: Option<String>,
}

impl Stamps {
    fn of(user: &User) -> Self {
        let at = |stamp: firstcome_domain::Stamp| {
            (user.row.version > 0).then(|| rfc3339::format(stamp.now))
        };
        Self { created_at: at(user.row.created), updated_at: at(user.row.updated) }
    }
}
