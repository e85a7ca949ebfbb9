//! `firstcome order ...`: purchases, by customers and by staff, over REST.

use clap::Subcommand;
use firstcome_domain::Role;
use serde_json::{Value, json};

use super::product::{more, page};
use crate::client::{Ask, Remote, rows, show};
use crate::exit::Exit;
use crate::output::{field, object, table};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome order create --sale sal_... --quantity 1
  firstcome order create --sale sal_... --key my-key    repeat with the same key when in doubt
  firstcome order list --staff --sale sal_...
  firstcome order settle ord_...                        staff: paid outside
  firstcome order ship ord_... --tracking-no 1Z999

Without a token each `create` speaks for a fresh customer; --subject usr_... stays one.")]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Set units aside for the caller.
    Create {
        /// sal_...
        #[arg(long, required_unless_present = "product", conflicts_with = "product")]
        sale: Option<String>,
        /// prd_...: buy from the general stock.
        #[arg(long)]
        product: Option<String>,
        /// Units.
        #[arg(long, default_value_t = 1)]
        quantity: u32,
        /// Idempotency key: repeating with it never buys twice.
        #[arg(long)]
        key: Option<String>,
        /// Where it goes, as JSON: {"recipient":...,"phone":...,"line1":...}.
        #[arg(long, value_parser = parse_json)]
        address: Option<Value>,
    },
    /// List the caller's orders, or everybody's.
    List {
        /// Everybody's; needs a staff token.
        #[arg(long)]
        staff: bool,
        /// payment_pending, paid, shipping, ...
        #[arg(long)]
        status: Option<String>,
        /// With --staff: of one sale.
        #[arg(long, requires = "staff")]
        sale: Option<String>,
        /// With --staff: of one customer.
        #[arg(long, requires = "staff")]
        customer: Option<String>,
        /// Rows a page, 1 to 100.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Where the last page ended.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show one order.
    Show {
        /// ord_...
        id: String,
        /// Somebody else's; needs a staff token.
        #[arg(long)]
        staff: bool,
    },
    /// Call an order off.
    Cancel {
        /// ord_...
        id: String,
        /// Somebody else's; needs a staff token.
        #[arg(long)]
        staff: bool,
    },
    /// Staff: it was paid outside.
    Settle {
        /// ord_...
        id: String,
        /// What the books will say about it.
        #[arg(long)]
        reference: Option<String>,
    },
    /// Staff: the parcel left.
    Ship {
        /// ord_...
        id: String,
        /// The carrier's number.
        #[arg(long)]
        tracking_no: Option<String>,
    },
    /// Staff: the parcel arrived.
    Deliver {
        /// ord_...
        id: String,
    },
    /// Send an order back.
    Return {
        /// ord_...
        id: String,
    },
}

impl Verb {
    /// Whose work this is.
    const fn role(&self) -> Role {
        match self {
            Self::Create { .. }
            | Self::Return { .. }
            | Self::List { staff: false, .. }
            | Self::Show { staff: false, .. }
            | Self::Cancel { staff: false, .. } => Role::Customer,
            Self::List { .. }
            | Self::Show { .. }
            | Self::Cancel { .. }
            | Self::Settle { .. }
            | Self::Ship { .. }
            | Self::Deliver { .. } => Role::Admin,
        }
    }
}

pub(crate) async fn run(args: Args, json: bool) -> anyhow::Result<Exit> {
    let client = args.remote.client(args.verb.role())?;
    let act = async |path: String, body: Value| {
        show(&client, Ask::post(&path, &body), json, object).await
    };
    match args.verb {
        Verb::Create { sale, product, quantity, key, address } => {
            let (target, id) = match (sale, product) {
                (Some(sale), _) => ("sale_id", sale),
                (None, product) => ("product_id", product.unwrap_or_default()),
            };
            let mut body = json!({"lines": [{target: id, "quantity": quantity}]});
            if let (Some(fields), Some(address)) = (body.as_object_mut(), address) {
                fields.insert("address".to_owned(), address);
            }
            let key = key.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
            show(&client, Ask::post_once("/v1/orders", &body, &key), json, placed).await
        }
        Verb::List { staff, status, sale, customer, limit, cursor } => {
            let named = [("status", &status), ("sale_id", &sale), ("customer_id", &customer)];
            let named = named.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
            let filters: Vec<_> = named.collect();
            let path = page(base(staff), limit, cursor.as_deref(), &filters);
            show(&client, Ask::get(&path), json, list).await
        }
        Verb::Show { id, staff } => {
            show(&client, Ask::get(&format!("{}/{id}", base(staff))), json, object).await
        }
        Verb::Cancel { id, staff } => {
            act(format!("{}/{id}/cancellations", base(staff)), json!({})).await
        }
        Verb::Settle { id, reference } => {
            let body = reference.map_or_else(|| json!({}), |text| json!({"reference": text}));
            act(format!("/v1/admin/orders/{id}/settlements"), body).await
        }
        Verb::Ship { id, tracking_no } => {
            let body = tracking_no.map_or_else(|| json!({}), |no| json!({"tracking_no": no}));
            act(format!("/v1/admin/orders/{id}/shipments"), body).await
        }
        Verb::Deliver { id } => act(format!("/v1/admin/orders/{id}/deliveries"), json!({})).await,
        Verb::Return { id } => act(format!("/v1/orders/{id}/returns"), json!({})).await,
    }
}

const fn base(staff: bool) -> &'static str {
    if staff { "/v1/admin/orders" } else { "/v1/orders" }
}

fn placed(order: &Value) -> String {
    format!(
        "{} is yours: {}, pay by {} (ticket {})\n",
        field(order, "id"),
        field(order, "total"),
        field(order, "pay_by"),
        field(order, "ticket")
    )
}

fn list(answer: &Value) -> String {
    let names = ["id", "status", "customer_id", "total", "placed_at"];
    let rows: Vec<_> = rows(answer).map(|o| names.map(|name| field(o, name)).to_vec()).collect();
    table(&["ID", "STATUS", "CUSTOMER", "TOTAL", "PLACED AT"], &rows) + &more(answer)
}

fn parse_json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("no JSON: {error}"))
}
