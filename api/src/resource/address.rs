//! Saved addresses.

use firstcome_domain::address::Address;
use serde::Serialize;
use utoipa::ToSchema;

use crate::rfc3339;
use crate::seal::DeliveryAddress;

/// A saved address; only its owner sees it.
#[derive(Serialize, ToSchema)]
#[schema(as = SavedAddress)]
pub(crate) struct AddressBody {
    /// Always `address`.
    #[schema(example = "address")]
    object: &'static str,
    /// `adr_...`
    id: String,
    /// Whether it is the customer's default; exactly one of their addresses is.
    is_default: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    recipient: String,
    phone: String,
    /// Two capital letters of ISO 3166-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    country: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    postcode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    city: Option<String>,
    line1: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line2: Option<String>,
    /// Also the `ETag`.
    version: u64,
    created_at: String,
    updated_at: String,
    /// The log entry that last wrote the address.
    revision: u64,
}

impl AddressBody {
    /// Shows a row with its opened body.
    pub(crate) fn of(row: &Address, body: DeliveryAddress) -> Self {
        Self {
            object: "address",
            id: row.id.to_string(),
            is_default: row.is_default,
            label: body.label,
            recipient: body.recipient,
            phone: body.phone,
            country: body.country,
            postcode: body.postcode,
            region: body.region,
            city: body.city,
            line1: body.line1,
            line2: body.line2,
            version: row.row.version,
            created_at: rfc3339::format(row.row.created.now),
            updated_at: rfc3339::format(row.row.updated.now),
            revision: row.row.updated.revision.get(),
        }
    }
}
