//! `firstcome sale ...`: sales of a limited number of units.

use clap::Subcommand;
use firstcome_domain::Role;
use serde_json::{Value, json};

use super::argument::{absolute, fields, is_relative, parse_money};
use crate::client::{Client, Remote, Request, more, page, rows, show};
use crate::exit::Exit;
use crate::output::{field, object, table};
use crate::rfc3339;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome sale create --product prd_... --title Spring --units 500 --opens-at +10s
  firstcome sale create --product prd_... --title Night --units 50 --opens-at 2026-12-01T20:00:00Z \\
      --closes-at 2026-12-01T22:00:00Z --limit-per-customer 2
  firstcome sale list --state open
  firstcome sale pause sal_...
  firstcome sale allot sal_... --delta 100 --reason \"second batch\"")]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Create a sale, with units from the product's available stock.
    Create {
        /// Product id (prd_...).
        #[arg(long)]
        product: String,
        /// Title, at most 100 characters.
        #[arg(long)]
        title: String,
        /// Units to sell.
        #[arg(long)]
        units: u64,
        /// Opening time: RFC 3339, `now`, or a duration from now such as +10s.
        #[arg(long, default_value = "now")]
        opens_at: String,
        /// Closing time, in the same form; without it the sale stays open until closed by staff.
        #[arg(long)]
        closes_at: Option<String>,
        /// Price per unit, such as 15000KRW [default: the product's price].
        #[arg(long, value_parser = parse_money)]
        price: Option<Value>,
        /// Maximum number of units per customer.
        #[arg(long)]
        limit_per_customer: Option<u32>,
        /// Seconds until an unpaid order expires.
        #[arg(long)]
        pay_within_seconds: Option<u64>,
        /// How the public sees the stock: exact, bucketed or hidden.
        #[arg(long)]
        disclosure: Option<String>,
    },
    /// List sales.
    List {
        /// Only sales in this state: scheduled, open, closed or sold_out.
        #[arg(long)]
        state: Option<String>,
        /// Rows per page, 1 to 100.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Cursor of the next page, as printed with the previous one.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show a sale and its stock.
    Show {
        /// Sale id (sal_...).
        id: String,
    },
    /// Change the given fields of a sale.
    Update {
        /// Sale id (sal_...).
        id: String,
        /// New title.
        #[arg(long)]
        title: Option<String>,
        /// New opening time; only before the sale has opened.
        #[arg(long)]
        opens_at: Option<String>,
        /// New closing time; must be in the future.
        #[arg(long)]
        closes_at: Option<String>,
        /// New price; only before the sale has opened.
        #[arg(long, value_parser = parse_money)]
        price: Option<Value>,
        /// New limit; customers keep the units they already have.
        #[arg(long)]
        limit_per_customer: Option<u32>,
        /// New payment time; only before the sale has opened.
        #[arg(long)]
        pay_within_seconds: Option<u64>,
        /// How the public sees the stock: exact, bucketed or hidden.
        #[arg(long)]
        disclosure: Option<String>,
    },
    /// Pause a sale.
    Pause {
        /// Sale id (sal_...).
        id: String,
    },
    /// Resume a paused sale.
    Resume {
        /// Sale id (sal_...).
        id: String,
    },
    /// Close a sale for good; unsold units return to the product.
    Close {
        /// Sale id (sal_...).
        id: String,
    },
    /// Add new units to a sale, or write off available ones.
    Restock {
        /// Sale id (sal_...).
        id: String,
        /// Units to add; a negative number removes available units.
        #[arg(long, allow_negative_numbers = true)]
        delta: i64,
        /// Reason, recorded in the ledger.
        #[arg(long)]
        reason: String,
    },
    /// Move units between a sale and its product's general stock.
    Allot {
        /// Sale id (sal_...).
        id: String,
        /// Units to move to the sale; a negative number moves them back to the product.
        #[arg(long, allow_negative_numbers = true)]
        delta: i64,
        /// Reason, recorded in the ledger.
        #[arg(long)]
        reason: String,
    },
}

pub(crate) async fn run(args: Args, json: bool) -> anyhow::Result<Exit> {
    let client = args.remote.client(Role::Admin)?;
    match args.verb {
        Verb::Create {
            product,
            title,
            units,
            opens_at,
            closes_at,
            price,
            limit_per_customer,
            pay_within_seconds,
            disclosure,
        } => {
            let opens_at = resolve_time(&client, Some(opens_at)).await?;
            let closes_at = resolve_time(&client, closes_at).await?;
            let body = fields([
                ("product_id", Some(Value::from(product))),
                ("title", Some(Value::from(title))),
                ("units", Some(Value::from(units))),
                ("opens_at", opens_at),
                ("closes_at", closes_at),
                ("price", price),
                ("per_customer_limit", limit_per_customer.map(Value::from)),
                ("pay_within_seconds", pay_within_seconds.map(Value::from)),
                ("disclosure", disclosure.map(Value::from)),
            ]);
            show(&client, Request::post("/v1/admin/sales", &body), json, object).await
        }
        Verb::List { state, limit, cursor } => {
            let state = state.as_deref().map(|state| ("state", state));
            let filters: Vec<_> = state.into_iter().collect();
            let path = page("/v1/sales", limit, cursor.as_deref(), &filters);
            show(&client, Request::get(&path), json, list).await
        }
        Verb::Show { id } => {
            show(&client, Request::get(&format!("/v1/sales/{id}")), json, object).await
        }
        Verb::Update {
            id,
            title,
            opens_at,
            closes_at,
            price,
            limit_per_customer,
            pay_within_seconds,
            disclosure,
        } => {
            let opens_at = resolve_time(&client, opens_at).await?;
            let closes_at = resolve_time(&client, closes_at).await?;
            let body = fields([
                ("title", title.map(Value::from)),
                ("opens_at", opens_at),
                ("closes_at", closes_at),
                ("price", price),
                ("per_customer_limit", limit_per_customer.map(Value::from)),
                ("pay_within_seconds", pay_within_seconds.map(Value::from)),
                ("disclosure", disclosure.map(Value::from)),
            ]);
            let etag = client.etag(&format!("/v1/sales/{id}")).await?;
            let path = format!("/v1/admin/sales/{id}");
            show(&client, Request::patch(&path, &body, etag), json, object).await
        }
        Verb::Pause { id } => act(&client, &id, "pauses", &json!({}), json).await,
        Verb::Resume { id } => act(&client, &id, "resumptions", &json!({}), json).await,
        Verb::Close { id } => act(&client, &id, "closures", &json!({}), json).await,
        Verb::Restock { id, delta, reason } => {
            let body = json!({"delta": delta, "reason": reason});
            act(&client, &id, "stock-adjustments", &body, json).await
        }
        Verb::Allot { id, delta, reason } => {
            let body = json!({"delta": delta, "reason": reason});
            act(&client, &id, "allotments", &body, json).await
        }
    }
}

async fn act(
    client: &Client,
    id: &str,
    what: &str,
    body: &Value,
    json: bool,
) -> anyhow::Result<Exit> {
    let path = format!("/v1/admin/sales/{id}/{what}");
    show(client, Request::post(&path, body), json, object).await
}

/// A time for the API. Relative times count from the cluster's clock, not this machine's.
async fn resolve_time(client: &Client, time: Option<String>) -> anyhow::Result<Option<Value>> {
    let Some(time) = time else { return Ok(None) };
    if !is_relative(&time) {
        return Ok(Some(Value::from(time)));
    }
    let clock = client.send_ok(Request::get("/v1/time")).await?.body;
    let now = clock.get("now").and_then(Value::as_str).and_then(rfc3339::parse);
    let now = now.unwrap_or_else(rfc3339::now_ms);
    absolute(&time, now).map(|time| Some(Value::from(time)))
}

fn list(answer: &Value) -> String {
    let names = ["id", "title", "state", "opens_at", "closes_at", "price"];
    let rows: Vec<_> = rows(answer).map(|s| names.map(|name| field(s, name)).to_vec()).collect();
    table(&["ID", "TITLE", "STATE", "OPENS AT", "CLOSES AT", "PRICE"], &rows) + &more(answer)
}
