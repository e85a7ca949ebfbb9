//! Commands about the actor's own addresses.

use serde::{Deserialize, Serialize};

use crate::kernel::id::AddressId;
use crate::kernel::value::Sealed;
use crate::kernel::version::Versioned;

/// `POST /v1/me/addresses`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AddressAdd {
    /// Fresh id.
    pub id: AddressId,
    /// What it says, sealed for the actor.
    pub body: Sealed,
}

/// `PATCH /v1/me/addresses/{id}`
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AddressUpdate {
    /// Which address.
    pub id: AddressId,
    /// The version whose body was changed: another change in between must not be lost.
    pub if_version: u64,
    /// What it says now, as a whole.
    pub body: Sealed,
    /// Makes it the default; otherwise the default stays as it is.
    pub make_default: bool,
}

/// `DELETE /v1/me/addresses/{id}`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AddressRemove {
    /// Which address.
    pub id: AddressId,
    /// The version the customer saw, if they said.
    pub if_version: Option<u64>,
}

impl Versioned for AddressAdd {}
impl Versioned for AddressUpdate {}
impl Versioned for AddressRemove {}
