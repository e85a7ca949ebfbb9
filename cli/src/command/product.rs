//! `firstcome product ...`: products and their general stock, over REST.

use clap::Subcommand;
use firstcome_domain::Role;
use serde_json::{Map, Value, json};

use crate::client::{Ask, Remote, rows, show};
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
    /// Create a product with its first units.
    Create {
        /// Up to 100 characters.
        #[arg(long)]
        name: String,
        /// Whole minor units and a currency: 15000KRW, 1999USD.
        #[arg(long, value_parser = parse_money)]
        price: Value,
        /// First units.
        #[arg(long, default_value_t = 0)]
        stock: u64,
        #[arg(long)]
        /// Up to 5000 characters.
        description: Option<String>,
        /// Address of a picture.
        #[arg(long)]
        image_url: Option<String>,
        /// Orders of it need no address.
        #[arg(long)]
        no_shipping: bool,
    },
    /// List the products that are offered.
    List {
        /// Rows a page, 1 to 100.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Where the last page ended.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show one product with its stock.
    Show {
        /// prd_...
        id: String,
    },
    /// Change a product; what is not named stays.
    Update {
        /// prd_...
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
        /// New picture.
        #[arg(long)]
        image_url: Option<String>,
        /// Whether orders of it need no address.
        #[arg(long)]
        no_shipping: Option<bool>,
    },
    /// Take a product and its sales off offer.
    Discontinue {
        /// prd_...
        id: String,
    },
    /// Add units to the general stock, or take some away.
    Restock {
        /// prd_...
        id: String,
        /// Units; negative takes away what is available.
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
        Verb::Create { name, price, stock, description, image_url, no_shipping } => {
            let body = fields([
                ("name", Some(Value::from(name))),
                ("price", Some(price)),
                ("stock", Some(Value::from(stock))),
                ("description", description.map(Value::from)),
                ("image_url", image_url.map(Value::from)),
                ("no_shipping", Some(Value::from(no_shipping))),
            ]);
            show(&client, Ask::post("/v1/admin/products", &body), json, object).await
        }
        Verb::List { limit, cursor } => {
            let path = page("/v1/products", limit, cursor.as_deref(), &[]);
            show(&client, Ask::get(&path), json, list).await
        }
        Verb::Show { id } => {
            show(&client, Ask::get(&format!("/v1/products/{id}")), json, object).await
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
            show(&client, Ask::patch(&path, &body, etag), json, object).await
        }
        Verb::Discontinue { id } => {
            let etag = client.etag(&format!("/v1/products/{id}")).await?;
            let path = format!("/v1/admin/products/{id}");
            let done = |_: &Value| format!("{id} is discontinued\n");
            show(&client, Ask::delete(&path, Some(etag)), json, done).await
        }
        Verb::Restock { id, delta, reason } => {
            let body = json!({"delta": delta, "reason": reason});
            let path = format!("/v1/admin/products/{id}/stock-adjustments");
            show(&client, Ask::post(&path, &body), json, object).await
        }
    }
}

fn list(answer: &Value) -> String {
    let row = |p: &Value| ["id", "name", "price", "status"].map(|name| field(p, name)).to_vec();
    let rows: Vec<_> = rows(answer).map(row).collect();
    table(&["ID", "NAME", "PRICE", "STATUS"], &rows) + &more(answer)
}

/// How to go on, if there is more.
pub(crate) fn more(answer: &Value) -> String {
    let cursor = answer.get("next_cursor").and_then(Value::as_str);
    cursor.map(|cursor| format!("more: --cursor {cursor}\n")).unwrap_or_default()
}

/// A body of the fields that were named.
pub(crate) fn fields<const N: usize>(named: [(&str, Option<Value>); N]) -> Value {
    let present = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect::<Map<_, _>>())
}

/// The address of one page of a list.
pub(crate) fn page(
    path: &str,
    limit: u32,
    cursor: Option<&str>,
    filters: &[(&str, &str)],
) -> String {
    let mut path = format!("{path}?limit={limit}");
    let cursor = cursor.map(|cursor| ("cursor", cursor));
    for (name, value) in filters.iter().copied().chain(cursor) {
        path.push_str(&format!("&{name}={}", escape(value)));
    }
    path
}

/// Percent-encodes what is not plain in a query.
fn escape(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    let one = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(one).collect()
}

/// `15000KRW`: whole minor units and three capitals.
pub(crate) fn parse_money(text: &str) -> Result<Value, String> {
    let wrong =
        || format!("{text:?} is no price; write whole minor units and a currency: 15000KRW");
    let letters = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (amount, currency) = text.split_at(letters);
    let currency = currency.trim();
    let amount: i64 = amount.parse().map_err(|_| wrong())?;
    if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(wrong());
    }
    Ok(json!({"amount": amount, "currency": currency}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_minor_units_with_a_currency() {
        assert_eq!(parse_money("15000KRW"), Ok(json!({"amount": 15000, "currency": "KRW"})));
        for bad in ["15000", "KRW", "1.5USD", "15000krw", "-1KRW", "1 KRWX"] {
            assert!(parse_money(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pages_escape_what_a_query_cannot_hold() {
        let path = page("/v1/x", 5, Some("a+b="), &[("q", "two words")]);
        assert_eq!(path, "/v1/x?limit=5&q=two%20words&cursor=a%2Bb%3D");
    }
}
