//! Admins: which version of the master key signs and seals, and which is no longer used.

use std::time::Duration;

use firstcome_domain::address::Address;
use firstcome_domain::audit::AuditEntry;
use firstcome_domain::command::{MasterVersionActivate, MasterVersionRetire};
use firstcome_domain::effect::{Effect, Mail};
use firstcome_domain::keyring::{Keyring, MasterVersion};
use firstcome_domain::order::Order;
use firstcome_domain::registry::Declared;
use firstcome_domain::user::User;
use firstcome_domain::value::Sealed;
use firstcome_domain::{Action, AddressId, Done, EffectId, OrderId, Outcome, UserId, View as _};
use firstcome_raft::Reply;

use super::routes::Routes;
use crate::access::Permission;
use crate::body::EmptyBody;
use crate::budget::Budget;
use crate::call::{Answer, Call, unexpected};
use crate::keyring::wrap_again;
use crate::problem::{Code, Problem};
use crate::resource::keyring::KeyringBody;
use crate::seal;
use crate::spec::{Spec, Success, schema_of};

const GET: Spec = Spec {
    path: "/v1/admin/keys",
    operation: "get_keyring",
    tag: "staff: keys",
    summary: "Returns the versions of the master key, which members have them, and which one is active.",
    permission: Permission::ClusterRead,
    budget: Budget::Admin,
    success: Success::One(schema_of::<KeyringBody>()),
    ..Spec::GET
};
const CHANGE: Spec = Spec {
    tag: "staff: keys",
    permission: Permission::KeysRotate,
    budget: Budget::Admin,
    body: Some(schema_of::<EmptyBody>()),
    body_optional: true,
    success: Success::One(schema_of::<KeyringBody>()),
    ..Spec::POST
};
const ACTIVATE: Spec = Spec {
    path: "/v1/admin/keys/{version}/activations",
    operation: "activate_key_version",
    summary: "Makes a version of the master key that every member has the one that signs and seals.",
    codes: &[Code::NotFound, Code::KeyVersionMissing, Code::KeyVersionRetired],
    ..CHANGE
};
const RETIRE: Spec = Spec {
    path: "/v1/admin/keys/{version}/retirements",
    operation: "retire_key_version",
    summary: "Ends the use of a version of the master key that no row needs. Its tokens are refused from then on.",
    codes: &[Code::NotFound, Code::KeyVersionInUse],
    // It looks at every row.
    time_max: Duration::from_mins(10),
    ..CHANGE
};

/// Adds the routes of this file.
pub(super) fn register(routes: Routes) -> Routes {
    routes.with(&GET, get).with(&ACTIVATE, activate).with(&RETIRE, retire)
}

async fn get(call: Call) -> Result<Answer, Problem> {
    let read = call.read(keyring).await?;
    let shown = call.shown(&KeyringBody::of(&read.value), read.revision)?;
    Ok(shown.tagged(read.value.row.version))
}

fn keyring(rows: &firstcome_storage::query::ReadView) -> Keyring {
    rows.get::<Keyring>(()).map(|row| (*row).clone()).unwrap_or_default()
}

/// The keyring as the cluster has it now, and the version in the path.
async fn current(call: &Call) -> Result<(Keyring, MasterVersion), Problem> {
    let number: u32 = call.id()?;
    let EmptyBody {} = call.json()?;
    call.app.node.linearize().await?;
    let row = call.app.node.read(keyring)?;
    let version = row.version(number).cloned().ok_or_else(|| Problem::new(Code::NotFound))?;
    Ok((row, version))
}

fn answer(call: &Call, reply: &Reply) -> Result<Answer, Problem> {
    let Outcome::Done(Done::Keyring(row)) = &reply.outcome else { return Err(unexpected(reply)) };
    let answer = call.wrote(&KeyringBody::of(row), reply)?;
    Ok(answer.located("/v1/admin/keys".to_owned()).tagged(row.row.version))
}

async fn activate(call: Call) -> Result<Answer, Problem> {
    let (row, version) = current(&call).await?;
    let cluster = call.app.node.cluster(true).await?;
    let lacking = || cluster.members.iter().filter(|it| !version.nodes.contains(&it.id));
    if lacking().next().is_some() {
        let ids: Vec<u64> = lacking().map(|member| member.id).collect();
        let names: Vec<&str> = lacking().map(|member| member.name.as_str()).collect();
        let detail =
            format!("Not every node has version {}: {}.", version.number, names.join(", "));
        let problem = Problem::new(Code::KeyVersionMissing).detail(detail);
        return Err(problem.member("node_ids", ids).member("nodes", names));
    }
    let keys = wrap_again(&call.app.keys, &row, version.number);
    let Some(keys) = keys else { return Err(Problem::new(Code::Internal)) };
    let members = cluster.members.iter().map(|member| member.id).collect();
    let action = MasterVersionActivate { number: version.number, members, keys };
    let reply = call.propose(Action::MasterVersionActivate(action)).await?;
    answer(&call, &reply)
}

async fn retire(call: Call) -> Result<Answer, Problem> {
    let (_, version) = current(&call).await?;
    let number = version.number;
    // Saved addresses before orders: an order keeps a copy of one, so a copy of one that is sealed
    // anew meanwhile is there when the orders are looked at.
    let first = (UserId::new(0), AddressId::new(0));
    let addresses = sealed_with::<Address>(&call, number, first, |address| {
        let next = address.id.get().checked_add(1).map(AddressId::new);
        (Some(&address.body), next.map(|next| (address.customer, next)))
    });
    let addresses = addresses.await?;
    let orders = sealed_with::<Order>(&call, number, OrderId::new(0), |order| {
        (order.address.as_ref(), order.id.get().checked_add(1).map(OrderId::new))
    });
    let orders = orders.await?;
    let accounts = sealed_with::<User>(&call, number, UserId::new(0), |user| {
        let data_key = user.account.as_ref().map(|account| &account.data_key);
        (data_key, user.id.get().checked_add(1).map(UserId::new))
    });
    let accounts = accounts.await?;
    let mails = sealed_with::<Effect>(&call, number, EffectId::new(0), |effect| {
        let letter = match &effect.mail {
            Mail::Letter { sealed, .. } => Some(sealed),
            Mail::Notice { .. } => None,
        };
        (letter, effect.id.get().checked_add(1).map(EffectId::new))
    });
    let mails = mails.await?;
    let reasons = sealed_with::<AuditEntry>(&call, number, 0, |entry| {
        (entry.reason.as_ref(), entry.seq.checked_add(1))
    });
    let reasons = reasons.await?;
    if orders + addresses + accounts + mails + reasons > 0 {
        let detail = format!(
            "{orders} orders have an address that is sealed with version {number}, and \
             {addresses} saved addresses, {accounts} accounts, {mails} mails and {reasons} reasons \
             in the audit log are."
        );
        let problem = Problem::new(Code::KeyVersionInUse).detail(detail);
        let problem = problem.member("orders", orders).member("addresses", addresses);
        let problem = problem.member("accounts", accounts).member("mails", mails);
        return Err(problem.member("reasons", reasons));
    }
    let action = MasterVersionRetire { number };
    let reply = call.propose(Action::MasterVersionRetire(action)).await?;
    answer(&call, &reply)
}

/// Rows looked at in one step.
const STEP: usize = 256;

/// How many rows have something that is sealed with a version. Looks at every row, in steps, so
/// that other requests are served in between. `look` gives what is sealed in a row, and the first
/// key behind it.
async fn sealed_with<R: Declared>(
    call: &Call,
    number: u32,
    first: R::Key,
    look: impl Fn(&R) -> (Option<&Sealed>, Option<R::Key>),
) -> Result<u64, Problem> {
    let mut count = 0;
    let mut from = Some(first);
    while let Some(first) = from {
        let rows = call.app.node.read(|rows| rows.rows::<R>(first, STEP))?;
        let sealed = rows.iter().filter_map(|row| look(row).0);
        let sealed = sealed.filter(|sealed| seal::version_of(sealed) == Some(number)).count();
        count += u64::try_from(sealed).unwrap_or(u64::MAX);
        let last = rows.last().filter(|_| rows.len() == STEP);
        from = last.and_then(|row| look(row).1);
        tokio::task::yield_now().await;
    }
    Ok(count)
}
