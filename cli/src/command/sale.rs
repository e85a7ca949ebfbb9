//! `firstcome sale ...`: limited offers, over REST.

use clap::Subcommand;
use firstcome_domain::Role;
use serde_json::{Value, json};

use super::product::{fields, more, page, parse_money};
use crate::client::{Ask, Client, Remote, rows, show};
use crate::exit::Exit;
use crate::instant;
use crate::output::{field, object, table};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome sale create --product prd_... --title Spring --units 500 --opens-at +10s
  firstcome sale create --product prd_... --title Night --units 50 --opens-at 2026-12-01T20:00:00Z \\
      --closes-at 2026-12-01T22:00:00Z --limit-per-customer 2
  firstcome sale list --state open
  firstcome sale pause sal_...
  firstcome sale allot sal_... --delta 100 --reason \"more from the shelf\"")]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Create a sale; its units come out of the product's available stock.
    Create {
        /// prd_...
        #[arg(long)]
        product: String,
        /// Up to 100 characters.
        #[arg(long)]
        title: String,
        /// Units to set apart for it.
        #[arg(long)]
        units: u64,
        /// RFC 3339, `now`, or a span from now such as +10s.
        #[arg(long, default_value = "now")]
        opens_at: String,
        /// The same; open until closed by staff unless given.
        #[arg(long)]
        closes_at: Option<String>,
        /// Price of one unit; the product's unless given.
        #[arg(long, value_parser = parse_money)]
        price: Option<Value>,
        /// Units one customer may hold or own.
        #[arg(long)]
        limit_per_customer: Option<u32>,
        /// Seconds an order may stay unpaid.
        #[arg(long)]
        pay_within_seconds: Option<u64>,
        /// What the public sees of the stock: exact, bucketed or hidden.
        #[arg(long)]
        disclosure: Option<String>,
    },
    /// List sales.
    List {
        /// scheduled, open, closed or sold_out.
        #[arg(long)]
        state: Option<String>,
        /// Rows a page, 1 to 100.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Where the last page ended.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show one sale and its stock.
    Show {
        /// sal_...
        id: String,
    },
    /// Change a sale; what is not named stays.
    Update {
        /// sal_...
        id: String,
        /// New title.
        #[arg(long)]
        title: Option<String>,
        /// New opening; only before it opened.
        #[arg(long)]
        opens_at: Option<String>,
        /// New closing, later than now.
        #[arg(long)]
        closes_at: Option<String>,
        /// New price; only before it opened.
        #[arg(long, value_parser = parse_money)]
        price: Option<Value>,
        /// New limit; takes no units away.
        #[arg(long)]
        limit_per_customer: Option<u32>,
        /// New time to pay; only before it opened.
        #[arg(long)]
        pay_within_seconds: Option<u64>,
        /// exact, bucketed or hidden.
        #[arg(long)]
        disclosure: Option<String>,
    },
    /// Stop a sale for now.
    Pause {
        /// sal_...
        id: String,
    },
    /// Let a paused sale go on.
    Resume {
        /// sal_...
        id: String,
    },
    /// End a sale for good; what is left returns to the product.
    Close {
        /// sal_...
        id: String,
    },
    /// Add new units to a sale, or take available ones out of the books.
    Restock {
        /// sal_...
        id: String,
        /// Units; negative takes away what is available.
        #[arg(long, allow_negative_numbers = true)]
        delta: i64,
        /// What the ledger will say about it.
        #[arg(long)]
        reason: String,
    },
    /// Move units between a sale and its product's general stock.
    Allot {
        /// sal_...
        id: String,
        /// Units; positive to the sale, negative back to the product.
        #[arg(long, allow_negative_numbers = true)]
        delta: i64,
        /// What the ledger will say about it.
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
            let opens_at = instant(&client, Some(opens_at)).await?;
            let closes_at = instant(&client, closes_at).await?;
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
            show(&client, Ask::post("/v1/admin/sales", &body), json, object).await
        }
        Verb::List { state, limit, cursor } => {
            let state = state.as_deref().map(|state| ("state", state));
            let filters: Vec<_> = state.into_iter().collect();
            let path = page("/v1/sales", limit, cursor.as_deref(), &filters);
            show(&client, Ask::get(&path), json, list).await
        }
        Verb::Show { id } => {
            show(&client, Ask::get(&format!("/v1/sales/{id}")), json, object).await
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
            let opens_at = instant(&client, opens_at).await?;
            let closes_at = instant(&client, closes_at).await?;
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
            show(&client, Ask::patch(&path, &body, etag), json, object).await
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
    show(client, Ask::post(&path, body), json, object).await
}

/// An instant as the API takes it; "now" is the cluster's, not this machine's.
async fn instant(client: &Client, wish: Option<String>) -> anyhow::Result<Option<Value>> {
    let Some(wish) = wish else { return Ok(None) };
    if !instant::is_relative(&wish) {
        return Ok(Some(Value::from(wish)));
    }
    let time = client.must(Ask::get("/v1/time")).await?.body;
    let now = time.get("now").and_then(Value::as_str).and_then(instant::parse);
    let now = now.unwrap_or_else(instant::now_ms);
    instant::wish(&wish, now).map(|instant| Some(Value::from(instant)))
}

fn list(answer: &Value) -> String {
    let names = ["id", "title", "state", "opens_at", "closes_at", "price"];
    let rows: Vec<_> = rows(answer).map(|s| names.map(|name| field(s, name)).to_vec()).collect();
    table(&["ID", "TITLE", "STATE", "OPENS AT", "CLOSES AT", "PRICE"], &rows) + &more(answer)
}
