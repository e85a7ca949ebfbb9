//! Staff: users, their roles, and blocking. E-mail addresses are masked.

use std::sync::Arc;

use firstcome_domain::command::{AdminBootstrap, SessionIssue, UserErase, UserManage};
use firstcome_domain::user::{User, by_email};
use firstcome_domain::{Action, Done, Outcome, SessionId, UserId, View as _};
use firstcome_raft::Reply;
use firstcome_storage::query::{Page, Place};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::routes::Routes;
use crate::access::{Permission, role_of};
use crate::account::{self, Profile, email_index};
use crate::budget::Budget;
use crate::call::{Answer, Call, PageRequest, Read, unexpected};
use crate::email::EmailAddress;
use crate::fields::{Fields, phone};
use crate::paging::ListName;
use crate::password::Password;
use crate::problem::{Code, Problem};
use crate::resource::session::IssuedTokenBody;
use crate::resource::user::{StaffUserBody, UserBody};
use crate::rfc3339;
use crate::spec::{KeyRule, Spec, Success, parameter, schema_of};
use crate::token::SessionClaim;

const TAG: &str = "staff: users";

const LIST: Spec = Spec {
    path: "/v1/admin/users",
    operation: "list_users",
    tag: TAG,
    summary: "Lists users, newest first by default. Users without a row are not listed.",
    permission: Permission::UsersManage,
    budget: Budget::Admin,
    query: &[
        parameter("role", "`customer`, `support`, `operator` or `admin`."),
        parameter("email", "The one user with this e-mail address."),
    ],
    sortable: true,
    success: Success::List(schema_of::<StaffUserBody>()),
    ..Spec::GET
};
const GET: Spec = Spec {
    path: "/v1/admin/users/{id}",
    operation: "get_user",
    tag: TAG,
    summary: "Returns a user. An unknown ID is an active customer: a shop's own users have no row at first.",
    permission: Permission::UsersManage,
    budget: Budget::Admin,
    success: Success::One(schema_of::<StaffUserBody>()),
    ..Spec::GET
};
const MANAGE: Spec = Spec {
    path: "/v1/admin/users/{id}",
    operation: "manage_user",
    tag: TAG,
    summary: "Changes a user's role, or blocks or unblocks them. Blocking ends their sessions on every node.",
    permission: Permission::UsersManage,
    budget: Budget::Admin,
    body: Some(schema_of::<UserChange>()),
    success: Success::One(schema_of::<StaffUserBody>()),
    codes: &[Code::LastAdmin],
    ..Spec::PATCH
};
const ERASE: Spec = Spec {
    path: "/v1/admin/users/{id}",
    operation: "erase_user",
    tag: TAG,
    summary: "Erases a user, as `DELETE /v1/me` does.",
    permission: Permission::UsersManage,
    budget: Budget::Admin,
    codes: &[Code::OrdersOpen, Code::LastAdmin],
    ..Spec::DELETE
};
const BOOTSTRAP: Spec = Spec {
    path: "/v1/admin/bootstrap",
    operation: "create_first_admin",
    tag: TAG,
    summary: "Creates the first admin. Needs a token of `firstcome token --role admin`, which takes the master key. Refused once there is an admin.",
    permission: Permission::UsersManage,
    budget: Budget::Admin,
    key: KeyRule::Unused,
    body: Some(schema_of::<AdminRequest>()),
    success: Success::One(schema_of::<UserBody>()),
    codes: &[Code::AdminExists, Code::EmailTaken, Code::IdInUse, Code::AuthBusy],
    ..Spec::POST
};
const ISSUE: Spec = Spec {
    path: "/v1/admin/tokens",
    operation: "issue_token",
    tag: TAG,
    summary: "Makes a short-lived token for a customer, so that a shop's own server needs no keys.",
    permission: Permission::TokensIssue,
    budget: Budget::Admin,
    key: KeyRule::Unused,
    body: Some(schema_of::<TokenRequest>()),
    success: Success::One(schema_of::<IssuedTokenBody>()),
    codes: &[Code::IdInUse],
    ..Spec::POST
};

/// Adds the routes of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes
        .with(&LIST, list)
        .with(&GET, get)
        .with(&MANAGE, manage)
        .with(&ERASE, erase)
        .with(&BOOTSTRAP, bootstrap)
        .with(&ISSUE, issue)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UserChange {
    /// `customer`, `support`, `operator` or `admin`; staff need an account.
    #[serde(default)]
    role: Option<String>,
    /// `true` blocks the user, `false` unblocks them.
    #[serde(default)]
    blocked: Option<bool>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AdminRequest {
    #[schema(min_length = 3, max_length = 254)]
    email: String,
    /// 8 to 128 characters.
    #[schema(value_type = String, min_length = 8, max_length = 128)]
    password: Password,
    /// 1 to 50 characters.
    #[schema(max_length = 50)]
    name: String,
    /// 8 to 20 digits, `+` and `-`.
    #[schema(min_length = 8, max_length = 20)]
    phone: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TokenRequest {
    /// `usr_...`; or name the user by `external_subject`.
    #[serde(default)]
    user_id: Option<String>,
    /// One of `auth.issuers`. It may be left out where exactly one is configured; it is `self` where
    /// none is.
    #[serde(default)]
    issuer: Option<String>,
    /// The shop's own id of the user.
    #[serde(default)]
    #[schema(max_length = 255)]
    external_subject: Option<String>,
    /// 1 to 3600.
    #[schema(minimum = 1, maximum = 3600)]
    ttl_seconds: i64,
}

async fn list(call: Call) -> Result<Answer, Problem> {
    let role = call.query.get("role").map(|word| {
        let detail = "must be customer, support, operator or admin";
        role_of(word).ok_or_else(|| Problem::field("/query/role", "invalid", detail))
    });
    let role = role.transpose()?;
    let email = call.query.get("email").map(|typed| {
        let mut fields = Fields::default();
        let email = EmailAddress::read(typed, "/query/email", &mut fields);
        fields.finish()?;
        let ring = call.app.keys.ring().ok_or_else(|| Problem::new(Code::NotReady))?;
        Ok::<_, Problem>(email.map(|email| email_index(&ring.own, &email)))
    });
    let email = email.transpose()?.flatten();
    let list = ListName::new("users");
    let PageRequest { list, direction, after, limit } = call.page_of(list, &["role", "email"])?;
    let read = call.read(|rows| match email {
        None => rows.users(role, direction, after, limit),
        Some(email) => {
            let user = by_email(rows, email).and_then(|id| rows.get::<User>(id));
            let user = user.filter(|user| role.is_none_or(|role| user.role == role));
            Page { items: user.into_iter().collect(), next: None::<Place<UserId>> }
        }
    });
    let Read { value: page, revision } = read.await?;
    let shown = |user: &Arc<User>| StaffUserBody::of(&call.app.keys, user);
    let items = page.items.iter().map(shown).collect::<Result<Vec<_>, _>>()?;
    call.page(&list, &items, page.next.as_ref(), revision)
}

async fn get(call: Call) -> Result<Answer, Problem> {
    let id: UserId = call.id()?;
    let Read { value, revision } = call.read(|rows| rows.get::<User>(id)).await?;
    let user = value.unwrap_or_else(|| Arc::new(User::unknown(id)));
    let shown = call.shown(&StaffUserBody::of(&call.app.keys, &user)?, revision)?;
    Ok(shown.tagged(user.row.version))
}

async fn manage(call: Call) -> Result<Answer, Problem> {
    let (id, if_version) = (call.id()?, call.if_match()?);
    let UserChange { role, blocked } = call.json()?;
    let role = role.map(|word| {
        let detail = "must be customer, support, operator or admin";
        role_of(&word).ok_or_else(|| Problem::field("/role", "invalid", detail))
    });
    let ask = UserManage { id, if_version, role: role.transpose()?, blocked };
    let reply = call.propose(Action::UserManage(ask)).await?;
    let Outcome::Done(Done::User(user)) = &reply.outcome else { return Err(unexpected(&reply)) };
    Ok(call.wrote(&StaffUserBody::of(&call.app.keys, user)?, &reply)?.tagged(user.row.version))
}

async fn erase(call: Call) -> Result<Answer, Problem> {
    let (id, if_version) = (call.id()?, Some(call.if_match()?));
    let reply = call.propose(Action::UserErase(UserErase { id, if_version })).await?;
    call.wrote(&(), &reply)
}

async fn bootstrap(call: Call) -> Result<Answer, Problem> {
    let body: AdminRequest = call.json()?;
    let mut fields = Fields::default();
    let email = EmailAddress::read(&body.email, "/email", &mut fields);
    let local = email.as_ref().map_or("", EmailAddress::local);
    body.password.check(
        "/password",
        &[local, call.app.options.mail.shop_name.as_str()],
        &mut fields,
    );
    let name = fields.text("/name", &body.name, 50, false);
    let phone = phone("/phone", &body.phone, &mut fields);
    fields.finish()?;
    let email = email.ok_or_else(|| Problem::new(Code::Internal))?;
    if call.caller()?.session.is_some() {
        let detail = "The first admin is made with a token of `firstcome token --role admin`.";
        return Err(Problem::new(Code::PermissionDenied).detail(detail));
    }
    let ring = call.app.keys.ring().ok_or_else(|| Problem::new(Code::NotReady))?;
    let index = email_index(&ring.own, &email);
    let hash = call.app.passwords.hash(body.password).await?;
    let id = UserId::new(Uuid::now_v7().as_u128());
    let (keys, profile) = (&call.app.keys, Profile { name, phone });
    let account = account::seal(keys, id, (&email, index), &profile, &hash, call.language())?;
    let reply = call.propose(Action::AdminBootstrap(AdminBootstrap { id, account })).await?;
    let Outcome::Done(Done::User(user)) = &reply.outcome else { return Err(unexpected(&reply)) };
    let answer = call.wrote(&UserBody::of(keys, user)?, &reply)?;
    Ok(answer.located(format!("{}/{}", LIST.path, user.id)).tagged(user.row.version))
}

async fn issue(call: Call) -> Result<Answer, Problem> {
    let body: TokenRequest = call.json()?;
    let user = customer_of(&call, &body)?;
    let most = body.ttl_seconds.clamp(0, 3_601);
    let id = SessionId::new(Uuid::now_v7().as_u128());
    let ask = SessionIssue { id, user, life_ms: most.saturating_mul(1_000) };
    let reply = call.propose(Action::SessionIssue(ask)).await?;
    issued(&call, &reply)
}

/// The customer that a token is asked for.
fn customer_of(call: &Call, body: &TokenRequest) -> Result<UserId, Problem> {
    let one = "name the customer by user_id or by external_subject";
    match (&body.user_id, &body.external_subject) {
        (Some(id), None) if body.issuer.is_none() => {
            id.parse().map_err(|_| Problem::field("/user_id", "invalid", "must be a usr_... id"))
        }
        (None, Some(subject)) => {
            let issuers = &call.app.options.issuers;
            issuers
                .customer(body.issuer.as_deref(), subject)
                .map_err(|(field, detail)| Problem::field(format!("/{field}"), "invalid", detail))
        }
        _ => Err(Problem::field("/user_id", "required", one)),
    }
}

fn issued(call: &Call, reply: &Reply) -> Result<Answer, Problem> {
    let Outcome::Done(Done::Session(session)) = &reply.outcome else {
        return Err(unexpected(reply));
    };
    let life_ms = session.expires_at.get().saturating_sub(session.row.created.now.get());
    let claim = SessionClaim {
        user: session.user,
        session: session.id,
        epoch: session.epoch,
        revision: session.row.created.revision,
    };
    let token = call.app.keys.mint_for(&claim, u64::try_from(life_ms / 1_000).unwrap_or_default());
    let body = IssuedTokenBody {
        access_token: token.ok_or_else(|| Problem::new(Code::NotReady))?,
        expires_at: rfc3339::format(session.expires_at),
        user_id: session.user.to_string(),
    };
    call.wrote(&body, reply)
}
