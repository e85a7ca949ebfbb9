//! The caller's account and sessions.

use std::sync::Arc;

use firstcome_domain::address::Address;
use firstcome_domain::command::{PasswordChange, SessionClose, UserErase, UserUpdate};
use firstcome_domain::session::row::LOGINS_MAX;
use firstcome_domain::user::User;
use firstcome_domain::value::{ADDRESSES_MAX, WISHLIST_ITEMS_MAX};
use firstcome_domain::wishlist::WishlistItem;
use firstcome_domain::{Action, Done, Outcome, SessionId, UserId, View as _};
use firstcome_storage::query::{Direction, OrderFilter, ReadView};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::auth::{new_password_hash, seal_password};
use super::routes::Routes;
use crate::account::{Opened, Profile, seal_profile};
use crate::budget::Budget;
use crate::call::{Answer, Call, PageRequest, Read, unexpected};
use crate::fields::{Fields, phone};
use crate::paging::ListName;
use crate::password::Password;
use crate::problem::{Code, Problem};
use crate::resource::address::AddressBody;
use crate::resource::order::OrderBody;
use crate::resource::session::SessionBody;
use crate::resource::user::UserBody;
use crate::resource::words;
use crate::seal::{Owner, open_address};
use crate::spec::{IfMatch, KeyRule, Spec, Success, schema_of};

const TAG: &str = "accounts and sessions";

const GET: Spec = Spec {
    path: "/v1/me",
    operation: "get_me",
    tag: TAG,
    summary: "Returns the caller.",
    success: Success::One(schema_of::<UserBody>()),
    ..Spec::GET
};
const UPDATE: Spec = Spec {
    path: "/v1/me",
    operation: "update_me",
    tag: TAG,
    summary: "Changes the caller's name or phone number.",
    if_match: IfMatch::Accepted,
    body: Some(schema_of::<ProfileChange>()),
    success: Success::One(schema_of::<UserBody>()),
    codes: &[Code::NotFound],
    ..Spec::PATCH
};
const ERASE: Spec = Spec {
    path: "/v1/me",
    operation: "erase_me",
    tag: TAG,
    summary: "Erases the caller: account, addresses, wishlist and sessions. The facts of their orders stay, without a name or an address.",
    if_match: IfMatch::Accepted,
    codes: &[Code::NotFound, Code::OrdersOpen, Code::LastAdmin],
    ..Spec::DELETE
};
const EXPORT: Spec = Spec {
    path: "/v1/me/export",
    operation: "export_me",
    tag: TAG,
    summary: "Returns what is kept of the caller: profile, addresses, wishlist, sessions, and the newest 1,000 orders.",
    success: Success::One(schema_of::<ExportBody>()),
    ..Spec::GET
};
const PASSWORD: Spec = Spec {
    path: "/v1/me/password",
    operation: "change_password",
    tag: TAG,
    summary: "Sets a new password, and ends all other sessions.",
    budget: Budget::Auth,
    key: KeyRule::Unused,
    body: Some(schema_of::<PasswordRequest>()),
    status: 204,
    success: Success::Empty,
    codes: &[Code::LoginRefused, Code::NotFound, Code::VersionMismatch, Code::AuthBusy],
    ..Spec::POST
};
const SESSIONS: Spec = Spec {
    path: "/v1/me/sessions",
    operation: "list_sessions",
    tag: TAG,
    summary: "Lists the caller's open logins, newest first by default.",
    sortable: true,
    success: Success::List(schema_of::<SessionBody>()),
    ..Spec::GET
};
const END_SESSION: Spec = Spec {
    path: "/v1/me/sessions/{id}",
    operation: "end_session",
    tag: TAG,
    summary: "Ends one of the caller's sessions, on every node.",
    if_match: IfMatch::Unused,
    ..Spec::DELETE
};

/// How often a change without `If-Match` is made anew because another one came first.
const ATTEMPTS: u32 = 5;

/// Adds the routes of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes
        .with(&GET, get)
        .with(&UPDATE, update)
        .with(&ERASE, erase)
        .with(&EXPORT, export)
        .with(&PASSWORD, change_password)
        .with(&SESSIONS, sessions)
        .with(&END_SESSION, end_session)
}

#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProfileChange {
    /// 1 to 50 characters.
    #[serde(default)]
    #[schema(max_length = 50)]
    name: Option<String>,
    /// 8 to 20 digits, `+` and `-`.
    #[serde(default)]
    #[schema(min_length = 8, max_length = 20)]
    phone: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PasswordRequest {
    #[schema(value_type = String, max_length = 128)]
    current_password: Password,
    /// 8 to 128 characters.
    #[schema(value_type = String, min_length = 8, max_length = 128)]
    new_password: Password,
}

async fn get(call: Call) -> Result<Answer, Problem> {
    let caller = call.caller()?;
    let Read { value, revision } = call.read(|rows| rows.get::<User>(caller.id)).await?;
    let unknown = || User { role: caller.role, ..User::unknown(caller.id) };
    let user = value.unwrap_or_else(|| Arc::new(unknown()));
    let shown = call.shown(&UserBody::of(&call.app.keys, &user)?, revision)?;
    Ok(shown.tagged(user.row.version))
}

/// The caller's current row; 404 without an account.
async fn current(call: &Call) -> Result<Arc<User>, Problem> {
    let id: UserId = call.caller()?.id;
    let Read { value, revision } = call.read_current(|rows| rows.get::<User>(id)).await?;
    let user = value.filter(|user| user.account.is_some());
    let none = || Problem::new(Code::NotFound).at(revision).detail("There is no such account.");
    user.ok_or_else(none)
}

async fn update(call: Call) -> Result<Answer, Problem> {
    let if_version = call.if_match_sent()?;
    let change: ProfileChange = call.json()?;
    let mut attempts = 1;
    let reply = loop {
        match call.propose(changed(&call, if_version, change.clone()).await?).await {
            // Without If-Match the change applies to whatever the profile says now.
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
    let Outcome::Done(Done::User(user)) = &reply.outcome else { return Err(unexpected(&reply)) };
    Ok(call.wrote(&UserBody::of(&call.app.keys, user)?, &reply)?.tagged(user.row.version))
}

/// The command that makes the change to the profile as it is now.
async fn changed(
    call: &Call,
    if_version: Option<u64>,
    change: ProfileChange,
) -> Result<Action, Problem> {
    let user = current(call).await?;
    let current = user.row.version;
    if if_version.is_some_and(|seen| seen != current) {
        return Err(Problem::new(Code::VersionMismatch).member("current_version", current));
    }
    let opened = Opened::of(&call.app.keys, &user)?.ok_or_else(|| Problem::new(Code::NotFound))?;
    let old = opened.profile()?;
    let mut fields = Fields::default();
    let name = fields.text("/name", &change.name.unwrap_or(old.name), 50, false);
    let phone = phone("/phone", &change.phone.unwrap_or(old.phone), &mut fields);
    fields.finish()?;
    let profile = seal_profile(&opened.key, &Profile { name, phone })?;
    Ok(Action::UserUpdate(UserUpdate { if_version: current, profile }))
}

async fn erase(call: Call) -> Result<Answer, Problem> {
    let (id, if_version) = (call.caller()?.id, call.if_match_sent()?);
    let reply = call.propose(Action::UserErase(UserErase { id, if_version })).await?;
    call.wrote(&(), &reply)
}

/// What is kept of a person.
#[derive(Serialize, ToSchema)]
#[schema(as = Export)]
struct ExportBody {
    /// Always `export`.
    #[schema(example = "export")]
    object: &'static str,
    user: UserBody,
    addresses: Vec<AddressBody>,
    wishlist: Vec<ExportedWish>,
    sessions: Vec<SessionBody>,
    /// Newest first.
    orders: Vec<OrderBody>,
}

/// What the caller keeps for later.
#[derive(Serialize, ToSchema)]
struct ExportedWish {
    /// `sal_...` or `prd_...`
    target_id: String,
    quantity: u32,
}

/// Orders of an export.
const EXPORTED_ORDERS_MAX: usize = 1_000;
/// Rows that one read takes up.
const EXPORT_STEP: usize = 100;

async fn export(call: Call) -> Result<Answer, Problem> {
    let caller = call.caller()?;
    let (id, down) = (caller.id, Direction::Down);
    let read = call.read(|rows| {
        let user = rows.get::<User>(id);
        let addresses = rows.addresses(id, down, None, ADDRESSES_MAX).items;
        let wishes = rows.wishlist(id, down, None, WISHLIST_ITEMS_MAX).items;
        (user, addresses, wishes, rows.logins(id, down, None, LOGINS_MAX).items)
    });
    let Read { value: (user, addresses, wishes, logins), revision } = read.await?;
    let (keys, now) = (&call.app.keys, call.now());
    let owner = Owner::of(keys, id, user.as_deref())?;
    let address = |row: &Arc<Address>| {
        let body = open_address(keys, &owner, &row.body, row.id)?;
        Ok::<_, Problem>(AddressBody::of(row, body))
    };
    let open = logins.iter().filter(|session| session.is_open(user.as_deref(), now));
    let wish = |item: &Arc<WishlistItem>| ExportedWish {
        target_id: words::pool_text(item.target),
        quantity: item.quantity,
    };
    let body = ExportBody {
        object: "export",
        addresses: addresses.iter().map(address).collect::<Result<_, _>>()?,
        wishlist: wishes.iter().map(wish).collect(),
        sessions: open.map(|session| SessionBody::of(session, caller.session)).collect(),
        orders: exported_orders(&call, id, &owner).await?,
        user: UserBody::of(keys, &user.unwrap_or_else(|| Arc::new(User::unknown(id))))?,
    };
    call.shown(&body, revision)
}

/// The newest orders of the caller, read in steps so that other requests are served in between.
async fn exported_orders(
    call: &Call,
    customer: UserId,
    owner: &Owner,
) -> Result<Vec<OrderBody>, Problem> {
    let filter = OrderFilter { customer: Some(customer), ..OrderFilter::default() };
    let (mut orders, mut after) = (Vec::new(), None);
    loop {
        let page = |rows: &ReadView| rows.orders(filter, Direction::Down, after, EXPORT_STEP);
        let page = call.app.node.read(page)?;
        for order in &page.items {
            let address = order.address.as_ref();
            let address =
                address.map(|sealed| open_address(&call.app.keys, owner, sealed, order.id));
            orders.push(OrderBody::of(order).with_address(address.transpose()?));
        }
        after = page.next;
        if after.is_none() || orders.len() >= EXPORTED_ORDERS_MAX {
            return Ok(orders);
        }
        tokio::task::yield_now().await;
    }
}

async fn change_password(call: Call) -> Result<Answer, Problem> {
    let PasswordRequest { current_password, new_password } = call.json()?;
    let user = current(&call).await?;
    let opened = Opened::of(&call.app.keys, &user)?.ok_or_else(|| Problem::new(Code::NotFound))?;
    let verified = call.app.passwords.verify(current_password, Some(opened.password()?)).await?;
    if !verified.ok {
        let detail = "The current password is wrong.";
        return Err(Problem::new(Code::LoginRefused).detail(detail));
    }
    let hash = new_password_hash(&call, new_password, "/new_password", &opened).await?;
    let ask = PasswordChange {
        password_version: opened.account.password_version,
        password: seal_password(&opened.key, &hash)?,
        session: call.caller()?.session,
    };
    let reply = call.propose(Action::PasswordChange(ask)).await?;
    call.wrote(&(), &reply)
}

async fn sessions(call: Call) -> Result<Answer, Problem> {
    let caller = call.caller()?;
    let list = ListName::new("sessions").filter("user", Some(&caller.id.to_string()));
    let PageRequest { list, direction, after, limit } = call.page_of(list, &[])?;
    let read = call.read(|rows| {
        let user = rows.get::<User>(caller.id);
        (rows.logins(caller.id, direction, after, limit), user)
    });
    let Read { value: (page, user), revision } = read.await?;
    let now = call.now();
    let open = page.items.iter().filter(|session| session.is_open(user.as_deref(), now));
    let items: Vec<_> = open.map(|session| SessionBody::of(session, caller.session)).collect();
    call.page(&list, &items, page.next.as_ref(), revision)
}

async fn end_session(call: Call) -> Result<Answer, Problem> {
    let (id, user): (SessionId, _) = (call.id()?, call.caller()?.id);
    let reply = call.propose(Action::SessionClose(SessionClose { id, user })).await?;
    call.wrote(&(), &reply)
}
