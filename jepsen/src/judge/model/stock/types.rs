//! The types of the stock model, and how they are written in a history.

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;
use serde_json::Value;

pub use crate::record::dump::Accounts;

/// What is asked.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Call {
    /// Create a product.
    Product {
        /// Its first units.
        units: u64,
    },
    /// Create a sale.
    Sale {
        /// The product its units are cut from, where that matters.
        product: Option<String>,
        /// Its units.
        units: u64,
        /// Units per customer.
        limit: u64,
    },
    /// Order units of a sale.
    Order {
        /// Who.
        customer: String,
        /// How many.
        quantity: u64,
    },
    /// Staff: the order was paid outside.
    Settle {
        /// Which order.
        order: String,
    },
    /// Cancel an order.
    Cancel {
        /// Which order.
        order: String,
    },
    /// Staff: the parcel left.
    Ship {
        /// Which order.
        order: String,
    },
    /// Staff: the parcel arrived.
    Deliver {
        /// Which order.
        order: String,
    },
    /// The customer sends it back.
    Return {
        /// Which order.
        order: String,
    },
    /// Staff: it came back.
    Receive {
        /// Which order.
        order: String,
        /// Whether its units can be sold again.
        restock: bool,
    },
    /// Staff corrects a pool: units in or out, or scrapped and back.
    Adjust {
        /// How many; negative ones leave `available`.
        delta: i64,
        /// Between `available` and `scrapped`, instead of in and out.
        scrap: bool,
    },
    /// Staff moves units between a sale and its product.
    Allot {
        /// How many; negative ones go back to the product.
        delta: i64,
        /// They are new, instead of the product's available ones.
        fresh: bool,
    },
    /// Staff closes a sale; what is left goes back to the product.
    Close,
    /// Read the accounts of a pool.
    Stock,
    /// Read one order.
    Look {
        /// Which order.
        order: String,
    },
    /// List the orders of a sale.
    Orders,
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Answer {
    /// The new product.
    Product {
        /// Its id.
        product: String,
    },
    /// The new sale.
    Sale {
        /// Its id.
        sale: String,
    },
    /// The new order.
    Ordered {
        /// Its id.
        order: String,
        /// When it expires, RFC 3339.
        pay_by: Option<String>,
    },
    /// The order's status after the call.
    Status(String),
    /// The accounts after the call.
    Stock(Accounts),
    /// Orders with their status, by id.
    Orders(Vec<(String, String)>),
    /// A rule said no.
    Refused(String),
}

/// Where an order is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Status {
    /// Holds its units.
    Pending,
    /// Paid for.
    Paid,
    /// On its way.
    Shipping,
    /// Arrived.
    Delivered,
    /// On its way back.
    ReturnRequested,
    /// Came back.
    Returned,
    /// Canceled.
    Canceled,
    /// Not paid in time.
    Expired,
}

impl Status {
    /// The name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "payment_pending",
            Self::Paid => "paid",
            Self::Shipping => "shipping",
            Self::Delivered => "delivered",
            Self::ReturnRequested => "return_requested",
            Self::Returned => "returned",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
        }
    }
}

impl Call {
    /// The order it is about.
    pub fn order(&self) -> Option<&str> {
        match self {
            Self::Settle { order }
            | Self::Cancel { order }
            | Self::Ship { order }
            | Self::Deliver { order }
            | Self::Return { order }
            | Self::Receive { order, .. }
            | Self::Look { order } => Some(order),
            _ => None,
        }
    }

    /// The status an order enters by it.
    pub const fn enters(&self) -> Option<Status> {
        Some(match self {
            Self::Settle { .. } => Status::Paid,
            Self::Cancel { .. } => Status::Canceled,
            Self::Ship { .. } => Status::Shipping,
            Self::Deliver { .. } => Status::Delivered,
            Self::Return { .. } => Status::ReturnRequested,
            Self::Receive { .. } => Status::Returned,
            _ => return None,
        })
    }

    /// Whether the call is a read.
    pub const fn is_read(&self) -> bool {
        matches!(self, Self::Stock | Self::Look { .. } | Self::Orders)
    }

    /// The name in histories and reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Product { .. } => "product",
            Self::Sale { .. } => "sale",
            Self::Order { .. } => "order",
            Self::Settle { .. } => "settle",
            Self::Cancel { .. } => "cancel",
            Self::Ship { .. } => "ship",
            Self::Deliver { .. } => "deliver",
            Self::Return { .. } => "return",
            Self::Receive { .. } => "receive",
            Self::Adjust { .. } => "adjust",
            Self::Allot { .. } => "allot",
            Self::Close => "close",
            Self::Stock => "stock",
            Self::Look { .. } => "look",
            Self::Orders => "orders",
        }
    }

    /// Parses a request of the history; `None` if it is not about stock.
    pub(super) fn read(f: &str, asked: &Value) -> anyhow::Result<Option<Self>> {
        Ok(Some(match f {
            "product" => Self::Product { units: field(asked, "units")? },
            "sale" => Self::Sale {
                product: asked.get("product").and_then(Value::as_str).map(str::to_owned),
                units: field(asked, "units")?,
                limit: field(asked, "limit")?,
            },
            "order" => {
                Self::Order { customer: field(asked, "customer")?, quantity: field(asked, "qty")? }
            }
            "settle" => Self::Settle { order: field(asked, "order")? },
            "cancel" => Self::Cancel { order: field(asked, "order")? },
            "ship" => Self::Ship { order: field(asked, "order")? },
            "deliver" => Self::Deliver { order: field(asked, "order")? },
            "return" => Self::Return { order: field(asked, "order")? },
            "receive" => {
                Self::Receive { order: field(asked, "order")?, restock: field(asked, "restock")? }
            }
            "adjust" => {
                Self::Adjust { delta: field(asked, "delta")?, scrap: field(asked, "scrap")? }
            }
            "allot" => Self::Allot { delta: field(asked, "delta")?, fresh: field(asked, "fresh")? },
            "close" => Self::Close,
            "stock" => Self::Stock,
            "look" => Self::Look { order: field(asked, "order")? },
            "orders" => Self::Orders,
            _ => return Ok(None),
        }))
    }
}

impl Answer {
    /// The code of a refusal.
    pub fn refused(&self) -> Option<&str> {
        match self {
            Self::Refused(code) => Some(code),
            _ => None,
        }
    }

    /// Parses an answer of the history.
    pub(super) fn read(f: &str, given: &Value) -> anyhow::Result<Self> {
        if given.get("refused").is_some() {
            return Ok(Self::Refused(field(given, "refused")?));
        }
        Ok(match f {
            "product" => Self::Product { product: field(given, "product")? },
            "sale" => Self::Sale { sale: field(given, "sale")? },
            "order" => Self::Ordered {
                order: field(given, "order")?,
                pay_by: given.get("pay_by").and_then(Value::as_str).map(str::to_owned),
            },
            "settle" | "cancel" | "ship" | "deliver" | "return" | "receive" | "look" => {
                Self::Status(field(given, "status")?)
            }
            "stock" | "adjust" | "allot" | "close" => {
                Self::Stock(serde_json::from_value(given.clone())?)
            }
            "orders" => {
                let mut rows: Vec<(String, String)> = field(given, "orders")?;
                rows.sort();
                Self::Orders(rows)
            }
            other => bail!("unknown operation {other:?}"),
        })
    }
}

fn field<T: DeserializeOwned>(value: &Value, name: &str) -> anyhow::Result<T> {
    let field = value.get(name).with_context(|| format!("no {name} in {value}"))?;
    serde_json::from_value(field.clone()).with_context(|| format!("{name} in {value}"))
}
