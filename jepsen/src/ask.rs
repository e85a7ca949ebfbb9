//! What a client may ask: the request, and how it is written down.
//!
//! The value of an ask holds what the model needs to predict the answer and nothing else; the
//! request holds what the node needs.

use serde_json::{Value, json};

use crate::client::Request;

/// A buyer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Customer {
    /// `usr_...`
    pub id: String,
    /// Its access token.
    pub token: String,
}

/// One request of a workload.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The operation, as in the history.
    pub f: &'static str,
    /// The sale or product it is about, where that is known.
    pub pool: Option<String>,
    /// What is asked, as in the history.
    pub value: Value,
    /// The same, for the node.
    pub request: Request,
}

/// What came of an ask.
#[derive(Clone, PartialEq, Debug)]
pub enum Told {
    /// Done, with the recorded value.
    Done {
        /// The answer, shortened.
        value: Value,
        /// At which revision.
        rev: u64,
    },
    /// Refused.
    Refused {
        /// By which rule.
        code: String,
        /// At which revision.
        rev: u64,
    },
    /// Did not happen.
    Never,
    /// Nobody knows.
    Unknown,
}

impl Told {
    /// Whether the answer is definite.
    pub const fn is_known(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Refused { .. })
    }

    /// The code of the refusal, if it is one.
    pub fn refused(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            Self::Done { .. } | Self::Never | Self::Unknown => None,
        }
    }

    /// A text of the answer, if it was done and says so.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self {
            Self::Done { value, .. } => value.get(name).and_then(Value::as_str),
            Self::Refused { .. } | Self::Never | Self::Unknown => None,
        }
    }
}

/// A sale to be created.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewSale {
    /// `prd_...`
    pub product: String,
    /// Units cut from the product's general stock.
    pub units: u64,
    /// Units per customer.
    pub limit: u64,
    /// RFC 3339.
    pub opens_at: String,
    /// How long an unpaid order holds its units.
    pub pay_within_seconds: u64,
}

/// Staff creates a sale.
pub fn sale(staff: &str, key: &str, new: &NewSale) -> Ask {
    let NewSale { product, units, limit, opens_at, pay_within_seconds } = new;
    let body = json!({
        "product_id": product, "title": format!("{units} units"), "units": units,
        "opens_at": opens_at, "per_customer_limit": limit,
        "pay_within_seconds": pay_within_seconds,
    });
    Ask {
        f: "sale",
        pool: None,
        value: json!({"units": units, "limit": limit}),
        request: Request::post("/v1/admin/sales", staff, key, body),
    }
}

/// A customer orders units of a sale.
pub fn order(customer: &Customer, key: &str, sale: &str, quantity: u64) -> Ask {
    let body = json!({"lines": [{"sale_id": sale, "quantity": quantity}]});
    Ask {
        f: "order",
        pool: Some(sale.to_owned()),
        value: json!({"customer": customer.id, "qty": quantity}),
        request: Request::post("/v1/orders", &customer.token, key, body),
    }
}

/// Staff took the money of an order.
pub fn settle(staff: &str, key: &str, sale: &str, order: &str) -> Ask {
    let path = format!("/v1/admin/orders/{order}/settlements");
    Ask {
        f: "settle",
        pool: Some(sale.to_owned()),
        value: json!({"order": order}),
        request: Request::post(path, staff, key, json!({})),
    }
}

/// A customer calls an order off.
pub fn cancel(customer: &Customer, key: &str, sale: &str, order: &str) -> Ask {
    let path = format!("/v1/orders/{order}/cancellations");
    Ask {
        f: "cancel",
        pool: Some(sale.to_owned()),
        value: json!({"order": order}),
        request: Request::post(path, &customer.token, key, json!({})),
    }
}

/// Staff reads the accounts of a sale.
pub fn stock(staff: &str, sale: &str) -> Ask {
    Ask {
        f: "stock",
        pool: Some(sale.to_owned()),
        value: Value::Null,
        request: Request::get(format!("/v1/sales/{sale}/stock"), staff),
    }
}

/// The part of an answer that the model predicts; `None` when it is not there.
pub fn answer(f: &str, body: &Value) -> Option<Value> {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    Some(match f {
        "sale" => json!({"sale": text("id")?}),
        "order" => {
            json!({"order": text("id")?, "status": text("status")?, "pay_by": text("pay_by")?})
        }
        "stock" => accounts(body)?,
        _ => {
            let nested = body.get("order").and_then(|order| order.get("status")?.as_str());
            json!({"status": nested.or_else(|| text("status"))?})
        }
    })
}

/// The accounts of an exact stock answer.
pub fn accounts(body: &Value) -> Option<Value> {
    let number = |name: &str| body.get(name).and_then(Value::as_u64);
    Some(json!({
        "stocked": number("stocked")?, "available": number("available")?, "held": number("held")?,
        "sold": number("sold")?, "scrapped": number("scrapped")?,
    }))
}
