//! `firstcome product ...`: products and their general stock.

use clap::Subcommand;
use firstcome_domain::Role;
use serde_json::{Value, json};

use super::argument::{fields, parse_money};
use crate::client::{Remote, Request, more, page, rows, show};
use crate::exit::Exit;
use crate::output::{field, object, table};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome product create --name Lamp --price 15000KRW --stock 100 --no-shipping
  firstcome product list
  firstcome product restock prd_... --delta 50 --reason \"second delivery\"
  firstcome product update prd_... --price 16000KRW")]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Create a product.
    Create {
        /// Name, at most 100 characters.
        #[arg(long)]
        name: String,
        /// Price in whole minor units with a currency: 15000KRW, or 1999USD for $19.99.
        #[arg(long, value_parser = parse_money)]
        price: Value,
        /// Initial stock.
        #[arg(long, default_value_t = 0)]
        stock: u64,
        /// Description, at most 5000 characters.
        #[arg(long)]
        description: Option<String>,
        /// URL of an image.
        #[arg(long)]
        image_url: Option<String>,
        /// Orders need no shipping address.
        #[arg(long)]
        no_shipping: bool,
    },
    /// List the products on offer.
    List {
        /// Rows per page, 1 to 100.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Cursor of the next page, as printed with the previous one.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show a product and its stock.
    Show {
        /// Product id (prd_...).
        id: String,
    },
    /// Change the given fields of a product.
    Update {
        /// Product id (prd_...).
        id: String,
        /// New name.
        #[arg(long)]
        name: Option<String>,
        /// New price in the same currency.
        #[arg(long, value_parser = parse_money)]
        price: Option<Value>,
        /// New description.
        #[arg(long)]
        description: Option<String>,
        /// New image URL.
        #[arg(long)]
        image_url: Option<String>,
        /// Whether orders need no shipping address.
        #[arg(long)]
        no_shipping: Option<bool>,
    },
    /// Withdraw a product and its sales.
    Discontinue {
        /// Product id (prd_...).
        id: String,
    },
    /// Add units to the general stock, or remove some.
    Restock {
        /// Product id (prd_...).
        id: String,
        /// Units to add; a negative number removes available units.
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
        Verb::Create { name, price, stock, description, image_url, no_shipping } => {
            let body = fields([
                ("name", Some(Value::from(name))),
                ("price", Some(price)),
                ("stock", Some(Value::from(stock))),
                ("description", description.map(Value::from)),
                ("image_url", image_url.map(Value::from)),
                ("no_shipping", Some(Value::from(no_shipping))),
            ]);
            show(&client, Request::post("/v1/admin/products", &body), json, object).await
        }
        Verb::List { limit, cursor } => {
            let path = page("/v1/products", limit, cursor.as_deref(), &[]);
            show(&client, Request::get(&path), json, list).await
        }
        Verb::Show { id } => {
            show(&client, Request::get(&format!("/v1/products/{id}")), json, object).await
        }
        Verb::Update { id, name, price, description, image_url, no_shipping } => {
            let body = fields([
                ("name", name.map(Value::from)),
                ("price", price),
                ("description", description.map(Value::from)),
                ("image_url", image_url.map(Value::from)),
                ("no_shipping", no_shipping.map(Value::from)),
            ]);
            let etag = client.etag(&format!("/v1/products/{id}")).await?;
            let path = format!("/v1/admin/products/{id}");
            show(&client, Request::patch(&path, &body, etag), json, object).await
        }
        Verb::Discontinue { id } => {
            let etag = client.etag(&format!("/v1/products/{id}")).await?;
            let path = format!("/v1/admin/products/{id}");
            let done = |_: &Value| format!("{id} is discontinued\n");
            show(&client, Request::delete(&path, Some(etag)), json, done).await
        }
        Verb::Restock { id, delta, reason } => {
            let body = json!({"delta": delta, "reason": reason});
            let path = format!("/v1/admin/products/{id}/stock-adjustments");
            show(&client, Request::post(&path, &body), json, object).await
        }
    }
}

fn list(answer: &Value) -> String {
    let row = |p: &Value| ["id", "name", "price", "status"].map(|name| field(p, name)).to_vec();
    let rows: Vec<_> = rows(answer).map(row).collect();
    table(&["ID", "NAME", "PRICE", "STATUS"], &rows) + &more(answer)
}
