//! `firstcome wishlist ...`: what a customer keeps for later, and ordering all of it.

use clap::Subcommand;
use firstcome_domain::Role;
use serde_json::{Value, json};

use super::argument::{fields, parse_json};
use super::order::placed;
use crate::client::{Remote, Request, more, page, rows, show};
use crate::exit::Exit;
use crate::output::{field, table};

const LIST: &str = "/v1/me/wishlist";

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome wishlist set sal_... --quantity 2 --subject usr_...
  firstcome wishlist list --subject usr_...
  firstcome wishlist order --subject usr_...

Without a session or a token, each command acts as a new customer; use --subject usr_... to act as the same one.")]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List the items with their current prices, newest first.
    List {
        /// Rows per page, 1 to 100.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Cursor of the next page, as printed with the previous one.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Put a sale or product on the wishlist, or change its quantity.
    Set {
        /// Sale or product (sal_..., prd_...).
        id: String,
        /// Number of units.
        #[arg(long, default_value_t = 1)]
        quantity: u32,
    },
    /// Remove a sale or product from the wishlist.
    Remove {
        /// Sale or product (sal_..., prd_...).
        id: String,
    },
    /// Remove everything from the wishlist.
    Clear,
    /// Order everything on the wishlist, or nothing.
    Order {
        /// Idempotency key; a retry with the same key never buys twice.
        #[arg(long)]
        key: Option<String>,
        /// Shipping address as JSON: {"recipient":...,"phone":...,"line1":...}.
        #[arg(long, value_parser = parse_json)]
        address: Option<Value>,
        /// Saved address to ship to (adr_...), instead of --address.
        #[arg(long, conflicts_with = "address")]
        address_id: Option<String>,
    },
}

pub(crate) async fn run(args: Args, json: bool) -> anyhow::Result<Exit> {
    let client = args.remote.client(Role::Customer)?;
    match args.verb {
        Verb::List { limit, cursor } => {
            let path = page(LIST, limit, cursor.as_deref(), &[]);
            show(&client, Request::get(&path), json, list).await
        }
        Verb::Set { id, quantity } => {
            let (path, body) = (format!("{LIST}/{id}"), json!({ "quantity": quantity }));
            let done = |item: &Value| {
                format!(
                    "{} of {} on the wishlist at {} each\n",
                    field(item, "quantity"),
                    field(item, "target_id"),
                    field(item, "unit_price")
                )
            };
            show(&client, Request::put(&path, &body), json, done).await
        }
        Verb::Remove { id } => {
            let path = format!("{LIST}/{id}");
            let done = |_: &Value| format!("{id} was removed from the wishlist\n");
            show(&client, Request::delete(&path, None), json, done).await
        }
        Verb::Clear => {
            let done = |_: &Value| "the wishlist is empty\n".to_owned();
            show(&client, Request::delete(LIST, None), json, done).await
        }
        Verb::Order { key, address, address_id } => {
            let body = fields([("address", address), ("address_id", address_id.map(Value::from))]);
            let key = key.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
            let request = Request::post_once("/v1/me/wishlist/orders", &body, &key);
            show(&client, request, json, placed).await
        }
    }
}

fn list(answer: &Value) -> String {
    let names = ["target_id", "name", "quantity", "unit_price", "state"];
    let rows: Vec<_> = rows(answer).map(|o| names.map(|name| field(o, name)).to_vec()).collect();
    table(&["TARGET", "NAME", "QUANTITY", "PRICE", "STATE"], &rows) + &more(answer)
}
