//! `firstcome customer ...`: the accounts of a shop, for admins.

use clap::Subcommand;
use firstcome_domain::Role;
use serde_json::{Value, json};

use crate::client::{Client, Remote, Request, more, page, rows, show};
use crate::exit::Exit;
use crate::output::{field, object, table};

const LIST: &str = "/v1/admin/users";

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome customer list --email ann@example.com
  firstcome customer list --role admin
  firstcome customer show usr_...
  firstcome customer block usr_...                  ends their sessions on every node
  firstcome customer unblock usr_...
  firstcome customer role usr_... support           support, operator and admin are staff

E-mail addresses are masked; --email finds a whole address only.")]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List users.
    List {
        /// Only users with this role: customer, support, operator or admin.
        #[arg(long)]
        role: Option<String>,
        /// Only the user with this e-mail address.
        #[arg(long)]
        email: Option<String>,
        /// Rows per page, 1 to 100.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Cursor of the next page, as printed with the previous one.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show a user.
    Show {
        /// User id (usr_...).
        id: String,
    },
    /// Block a user: their sessions end, and they cannot log in.
    Block {
        /// User id (usr_...).
        id: String,
    },
    /// Let a blocked user log in again.
    Unblock {
        /// User id (usr_...).
        id: String,
    },
    /// Show e-mail address, name and phone number; who asks and why goes into the audit log.
    Reveal {
        /// User id (usr_...).
        id: String,
        /// Why you need it, 1 to 200 characters.
        #[arg(long)]
        reason: String,
    },
    /// Erase a user for good: account, addresses, wishlist and sessions.
    Erase {
        /// User id (usr_...).
        id: String,
    },
    /// Change the role of a user.
    Role {
        /// User id (usr_...).
        id: String,
        /// The new role: customer, support, operator or admin.
        role: String,
    },
}

pub(crate) async fn run(args: Args, json: bool) -> anyhow::Result<Exit> {
    let client = args.remote.client(Role::Admin)?;
    match args.verb {
        Verb::List { role, email, limit, cursor } => {
            let filters = [("role", role), ("email", email)];
            let filters: Vec<_> = filters
                .iter()
                .filter_map(|(name, value)| Some((*name, value.as_deref()?)))
                .collect();
            let path = page(LIST, limit, cursor.as_deref(), &filters);
            show(&client, Request::get(&path), json, list).await
        }
        Verb::Show { id } => show(&client, Request::get(&path(&id)), json, object).await,
        Verb::Block { id } => {
            let done = |_: &Value| format!("{id} is blocked\n");
            change(&client, &id, &json!({ "blocked": true }), json, done).await
        }
        Verb::Unblock { id } => {
            let done = |_: &Value| format!("{id} is no longer blocked\n");
            change(&client, &id, &json!({ "blocked": false }), json, done).await
        }
        Verb::Reveal { id, reason } => {
            let (path, body) = (format!("{}/reveals", path(&id)), json!({ "reason": reason }));
            show(&client, Request::post(&path, &body), json, object).await
        }
        Verb::Erase { id } => {
            let etag = client.etag(&path(&id)).await?;
            let done = |_: &Value| format!("{id} is erased\n");
            show(&client, Request::delete(&path(&id), Some(etag)), json, done).await
        }
        Verb::Role { id, role } => {
            let done = |user: &Value| format!("{id} has the role {}\n", field(user, "role"));
            change(&client, &id, &json!({ "role": role }), json, done).await
        }
    }
}

fn path(id: &str) -> String {
    format!("{LIST}/{id}")
}

async fn change(
    client: &Client,
    id: &str,
    body: &Value,
    json: bool,
    human: impl FnOnce(&Value) -> String,
) -> anyhow::Result<Exit> {
    let etag = client.etag(&path(id)).await?;
    show(client, Request::patch(&path(id), body, etag), json, human).await
}

fn list(answer: &Value) -> String {
    let names = ["id", "role", "status", "email", "created_at"];
    let rows: Vec<_> = rows(answer).map(|o| names.map(|name| field(o, name)).to_vec()).collect();
    table(&["ID", "ROLE", "STATUS", "EMAIL", "CREATED"], &rows) + &more(answer)
}
