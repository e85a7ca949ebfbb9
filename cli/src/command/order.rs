//! `firstcome order ...`: orders, for customers and for staff.

use clap::Subcommand;
use firstcome_domain::Role;
use serde_json::{Value, json};

use super::argument::{fields, parse_json};
use crate::client::{Remote, Request, more, page, rows, show};
use crate::exit::Exit;
use crate::output::{field, object, table};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome order create --sale sal_... --quantity 1
  firstcome order create --sale sal_... --key my-key    retry with the same key if unsure
  firstcome order list --staff --sale sal_...
  firstcome order settle ord_...                        staff: record an external payment
  firstcome order ship ord_... --tracking-no 1Z999

Without a session or a token, each `create` acts as a new customer; use --subject usr_... to act as the same one.")]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Place an order; it holds its units until it is paid or expires.
    Create {
        /// Sale to buy from (sal_...).
        #[arg(long, required_unless_present = "product", conflicts_with = "product")]
        sale: Option<String>,
        /// Product to buy outside of a sale (prd_...), from its general stock.
        #[arg(long)]
        product: Option<String>,
        /// Number of units.
        #[arg(long, default_value_t = 1)]
        quantity: u32,
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
    /// List the caller's orders, or with --staff those of all customers.
    List {
        /// Orders of all customers; needs a staff token.
        #[arg(long)]
        staff: bool,
        /// Only orders with this status: payment_pending, paid, shipping, ...
        #[arg(long)]
        status: Option<String>,
        /// With --staff: only orders of this sale.
        #[arg(long, requires = "staff")]
        sale: Option<String>,
        /// With --staff: only orders of this customer.
        #[arg(long, requires = "staff")]
        customer: Option<String>,
        /// Rows per page, 1 to 100.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Cursor of the next page, as printed with the previous one.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show an order.
    Show {
        /// Order id (ord_...).
        id: String,
        /// Any customer's order; needs a staff token.
        #[arg(long)]
        staff: bool,
    },
    /// Cancel an order.
    Cancel {
        /// Order id (ord_...).
        id: String,
        /// Any customer's order; needs a staff token.
        #[arg(long)]
        staff: bool,
    },
    /// Staff: mark an order as paid, after an external payment.
    Settle {
        /// Order id (ord_...).
        id: String,
        /// Payment reference to record.
        #[arg(long)]
        reference: Option<String>,
    },
    /// Staff: show the delivery address; who asks and why goes into the audit log.
    Reveal {
        /// Order id (ord_...).
        id: String,
        /// Why you need it, 1 to 200 characters.
        #[arg(long)]
        reason: String,
    },
    /// Staff: mark an order as shipped.
    Ship {
        /// Order id (ord_...).
        id: String,
        /// Tracking number of the carrier.
        #[arg(long)]
        tracking_no: Option<String>,
    },
    /// Staff: mark an order as delivered.
    Deliver {
        /// Order id (ord_...).
        id: String,
    },
    /// Return an order.
    Return {
        /// Order id (ord_...).
        id: String,
    },
}

impl Verb {
    /// The role this command needs.
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
            | Self::Reveal { .. }
            | Self::Ship { .. }
            | Self::Deliver { .. } => Role::Admin,
        }
    }
}

pub(crate) async fn run(args: Args, json: bool) -> anyhow::Result<Exit> {
    let client = args.remote.client(args.verb.role())?;
    let act = async |path: String, body: Value| {
        show(&client, Request::post(&path, &body), json, object).await
    };
    match args.verb {
        Verb::Create { sale, product, quantity, key, address, address_id } => {
            let (target, id) = match (sale, product) {
                (Some(sale), _) => ("sale_id", sale),
                (None, product) => ("product_id", product.unwrap_or_default()),
            };
            let body = fields([
                ("lines", Some(json!([{target: id, "quantity": quantity}]))),
                ("address", address),
                ("address_id", address_id.map(Value::from)),
            ]);
            let key = key.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
            show(&client, Request::post_once("/v1/orders", &body, &key), json, placed).await
        }
        Verb::List { staff, status, sale, customer, limit, cursor } => {
            let named = [("status", &status), ("sale_id", &sale), ("customer_id", &customer)];
            let named = named.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
            let filters: Vec<_> = named.collect();
            let path = page(base(staff), limit, cursor.as_deref(), &filters);
            show(&client, Request::get(&path), json, list).await
        }
        Verb::Show { id, staff } => {
            show(&client, Request::get(&format!("{}/{id}", base(staff))), json, object).await
        }
        Verb::Cancel { id, staff } => {
            act(format!("{}/{id}/cancellations", base(staff)), json!({})).await
        }
        Verb::Settle { id, reference } => {
            let body = reference.map_or_else(|| json!({}), |text| json!({"reference": text}));
            act(format!("/v1/admin/orders/{id}/settlements"), body).await
        }
        Verb::Reveal { id, reason } => {
            let (path, body) =
                (format!("/v1/admin/orders/{id}/reveals"), json!({"reason": reason}));
            show(&client, Request::post(&path, &body), json, object).await
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

/// A new order, for people.
pub(super) fn placed(order: &Value) -> String {
    format!(
        "order {} placed: total {}, pay by {} (ticket {})\n",
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
