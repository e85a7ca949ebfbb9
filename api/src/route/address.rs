//! The caller's saved addresses. Another customer's gives the same 404 as none.
//!
//! The log carries sealed bodies only: a change of single fields opens the body on this node and
//! proposes a new one for the version that was opened, so that no other change is lost.

use firstcome_domain::address::Address;
use firstcome_domain::command::{AddressAdd, AddressRemove, AddressUpdate};
use firstcome_domain::id::AddressId;
use firstcome_domain::{Action, Done, Outcome, View as _};
use firstcome_raft::Reply;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::order::no_address;
use super::routes::Routes;
use crate::call::{Answer, Call, PageRequest, Read, unexpected};
use crate::fields::{Fields, nullable};
use crate::paging::ListName;
use crate::problem::{Code, Problem};
use crate::resource::address::AddressBody;
use crate::seal::{DeliveryAddress, open_address, seal_address};
use crate::spec::{IfMatch, Spec, Success, schema_of};

const TAG: &str = "addresses";

const ADD: Spec = Spec {
    path: "/v1/me/addresses",
    operation: "add_address",
    tag: TAG,
    summary: "Saves an address, of 20 at most. The first one becomes the default.",
    body: Some(schema_of::<DeliveryAddress>()),
    success: Success::One(schema_of::<AddressBody>()),
    codes: &[Code::AddressLimit, Code::IdInUse],
    ..Spec::POST
};
const LIST: Spec = Spec {
    path: "/v1/me/addresses",
    operation: "list_addresses",
    tag: TAG,
    summary: "Lists the caller's addresses, newest first by default.",
    sortable: true,
    success: Success::List(schema_of::<AddressBody>()),
    ..Spec::GET
};
const GET: Spec = Spec {
    path: "/v1/me/addresses/{id}",
    operation: "get_address",
    tag: TAG,
    summary: "Returns one of the caller's addresses.",
    success: Success::One(schema_of::<AddressBody>()),
    ..Spec::GET
};
const UPDATE: Spec = Spec {
    path: "/v1/me/addresses/{id}",
    operation: "update_address",
    tag: TAG,
    summary: "Changes fields of an address, or makes it the default. Orders keep the address they were sent to.",
    if_match: IfMatch::Accepted,
    body: Some(schema_of::<AddressChange>()),
    success: Success::One(schema_of::<AddressBody>()),
    ..Spec::PATCH
};
const REMOVE: Spec = Spec {
    path: "/v1/me/addresses/{id}",
    operation: "remove_address",
    tag: TAG,
    summary: "Removes an address. If it was the default, the oldest one left becomes it.",
    if_match: IfMatch::Accepted,
    ..Spec::DELETE
};

/// How often a change without `If-Match` is made anew because another one came first.
const ATTEMPTS: u32 = 5;

/// Adds the routes of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes
        .with(&ADD, add)
        .with(&LIST, list)
        .with(&GET, get)
        .with(&UPDATE, update)
        .with(&REMOVE, remove)
}

/// The fields to change; all others keep their values.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::option_option, reason = "absent, null and a value are three things in a PATCH")]
struct AddressChange {
    /// `null` removes it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 50)]
    label: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = String, required = false, max_length = 50)]
    recipient: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = String, required = false, min_length = 8, max_length = 20)]
    phone: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = String, required = false, example = "KR", pattern = "^[A-Z]{2}$")]
    country: Option<Option<String>>,
    /// `null` removes it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 20)]
    postcode: Option<Option<String>>,
    /// `null` removes it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 100)]
    region: Option<Option<String>>,
    /// `null` removes it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 100)]
    city: Option<Option<String>>,
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = String, required = false, max_length = 200)]
    line1: Option<Option<String>>,
    /// `null` removes it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>, max_length = 200)]
    line2: Option<Option<String>>,
    /// `true` takes the default from the address that has it. The default itself cannot be `false`.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = bool, required = false)]
    is_default: Option<Option<bool>>,
}

impl AddressChange {
    /// The address with the changed fields, unchecked but for those that cannot be removed.
    fn of(self, old: DeliveryAddress, fields: &mut Fields) -> DeliveryAddress {
        DeliveryAddress {
            label: self.label.unwrap_or(old.label),
            recipient: kept("/recipient", self.recipient, fields).unwrap_or(old.recipient),
            phone: kept("/phone", self.phone, fields).unwrap_or(old.phone),
            country: kept("/country", self.country, fields).or(old.country),
            postcode: self.postcode.unwrap_or(old.postcode),
            region: self.region.unwrap_or(old.region),
            city: self.city.unwrap_or(old.city),
            line1: kept("/line1", self.line1, fields).unwrap_or(old.line1),
            line2: self.line2.unwrap_or(old.line2),
        }
    }
}

/// The new value of a field that every address has, if one was sent.
#[expect(clippy::option_option, reason = "absent, null and a value are three things in a PATCH")]
fn kept<T>(pointer: &str, sent: Option<Option<T>>, fields: &mut Fields) -> Option<T> {
    fields.check(!matches!(sent, Some(None)), pointer, "required", "must not be null");
    sent.flatten()
}

async fn add(call: Call) -> Result<Answer, Problem> {
    let mut fields = Fields::default();
    let address: DeliveryAddress = call.json()?;
    let address = address.clean("", call.app.options.country, &mut fields);
    fields.finish()?;
    let id = AddressId::new(Uuid::now_v7().as_u128());
    let owner = call.owner(call.caller()?.id)?;
    let body = seal_address(&call.app.keys, &owner, &address, "")?;
    let reply = call.propose(Action::AddressAdd(AddressAdd { id, body })).await?;
    let (address, answer) = answer(&call, &reply)?;
    Ok(answer.located(format!("{}/{}", ADD.path, address.id)))
}

/// The address after a write.
fn answer<'r>(call: &Call, reply: &'r Reply) -> Result<(&'r Address, Answer), Problem> {
    let Outcome::Done(Done::Address(address)) = &reply.outcome else {
        return Err(unexpected(reply));
    };
    let answer = call.wrote(&shown(call, address)?, reply)?;
    Ok((address, answer.tagged(address.row.version)))
}

fn shown(call: &Call, address: &Address) -> Result<AddressBody, Problem> {
    let owner = call.owner(address.customer)?;
    let body = open_address(&call.app.keys, &owner, &address.body, address.id)?;
    Ok(AddressBody::of(address, body))
}

async fn list(call: Call) -> Result<Answer, Problem> {
    let customer = call.caller()?.id;
    let list = ListName::new("addresses").filter("customer", Some(&customer.to_string()));
    let PageRequest { list, direction, after, limit } = call.page_of(list, &[])?;
    let read = call.read(|view| view.addresses(customer, direction, after, limit)).await?;
    let items = read.value.items.iter().map(|address| shown(&call, address));
    let items = items.collect::<Result<Vec<_>, _>>()?;
    call.page(&list, &items, read.value.next.as_ref(), read.revision)
}

async fn get(call: Call) -> Result<Answer, Problem> {
    let key = (call.caller()?.id, call.id::<AddressId>()?);
    let Read { value, revision } = call.read(|view| view.get::<Address>(key)).await?;
    let address = value.ok_or_else(|| no_address().at(revision))?;
    Ok(call.shown(&shown(&call, &address)?, revision)?.tagged(address.row.version))
}

async fn update(call: Call) -> Result<Answer, Problem> {
    let id: AddressId = call.id()?;
    let if_version = call.if_match_sent()?;
    let change: AddressChange = call.json()?;
    let mut attempts = 1;
    let reply = loop {
        match call.propose(changed(&call, id, if_version, change.clone()).await?).await {
            // Without If-Match the change applies to whatever the address says now.
            Err(problem)
                if problem.code() == Code::VersionMismatch
                    && if_version.is_none()
                    && attempts < ATTEMPTS =>
            {
                attempts += 1;
            }
            reply => break reply?,
        }
    };
    Ok(answer(&call, &reply)?.1)
}

/// The command that makes the change to the address as it is now.
async fn changed(
    call: &Call,
    id: AddressId,
    if_version: Option<u64>,
    change: AddressChange,
) -> Result<Action, Problem> {
    let owner = call.caller()?.id;
    let Read { value, revision } =
        call.read_current(|view| view.get::<Address>((owner, id))).await?;
    let address = value.ok_or_else(|| no_address().at(revision))?;
    let current = address.row.version;
    if if_version.is_some_and(|seen| seen != current) {
        let problem = Problem::new(Code::VersionMismatch).at(revision);
        return Err(problem.member("current_version", current));
    }
    let mut fields = Fields::default();
    let is_default = kept("/is_default", change.is_default, &mut fields);
    let loses_it = address.is_default && is_default == Some(false);
    let detail = "make another address the default instead";
    fields.check(!loses_it, "/is_default", "invalid", detail);
    let owner = call.owner(owner)?;
    let old = open_address(&call.app.keys, &owner, &address.body, id)?;
    let new = change.of(old, &mut fields).clean("", call.app.options.country, &mut fields);
    fields.finish()?;
    Ok(Action::AddressUpdate(AddressUpdate {
        id,
        if_version: current,
        body: seal_address(&call.app.keys, &owner, &new, "")?,
        make_default: is_default == Some(true),
    }))
}

async fn remove(call: Call) -> Result<Answer, Problem> {
    let command = AddressRemove { id: call.id()?, if_version: call.if_match_sent()? };
    let reply = call.propose(Action::AddressRemove(command)).await?;
    let Outcome::Done(Done::AddressRemoved) = reply.outcome else { return Err(unexpected(&reply)) };
    call.wrote(&(), &reply)
}
