//! What a client may ask for: the request, and how it is recorded.
//!
//! The value of an invocation holds exactly what the model needs to predict the answer; the request
//! holds what the node needs.

use serde_json::{Value, json};

use crate::record::account;
use crate::record::http::Request;

/// Reads log time, for clients that wait for a deadline. No specification covers it.
pub const TIME: &str = "time";
/// The minimum revision of a read.
pub const MIN_REVISION: &str = "min";

/// A customer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Customer {
    /// `usr_...`
    pub id: String,
    /// Its access token.
    pub token: String,
}

/// One request of a workload.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The operation, as in the history.
    pub f: &'static str,
    /// The sale or product it is about, where that is known.
    pub pool: Option<String>,
    /// The request as recorded in the history.
    pub value: Value,
    /// The request as sent to the node.
    pub request: Request,
}

/// What became of an invocation.
#[derive(Clone, PartialEq, Debug)]
pub enum Reply {
    /// Carried out, with the recorded value.
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
        /// The refusal came from a read: an earlier copy of the request may still be decided
        /// otherwise.
        early: bool,
    },
    /// It did not happen.
    Never,
    /// The outcome is unknown.
    Unknown,
}

impl Reply {
    /// Whether the answer is definite.
    pub const fn is_known(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Refused { .. })
    }

    /// Whether it is a refusal from a read.
    pub const fn is_early(&self) -> bool {
        matches!(self, Self::Refused { early: true, .. })
    }

    /// The code of the refusal, if it is one.
    pub fn refused(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } => Some(code),
            Self::Done { .. } | Self::Never | Self::Unknown => None,
        }
    }

    /// Whether an order was refused because its sale has nothing left or does not exist.
    pub fn has_nothing_left(&self) -> bool {
        matches!(self.refused(), Some("sold_out" | "not_found"))
    }

    /// The revision it was answered at.
    pub const fn rev(&self) -> Option<u64> {
        match self {
            Self::Done { rev, .. } | Self::Refused { rev, .. } => Some(*rev),
            Self::Never | Self::Unknown => None,
        }
    }

    /// A number of the answer, if there is one.
    pub fn number(&self, name: &str) -> Option<u64> {
        match self {
            Self::Done { value, .. } => value.get(name).and_then(Value::as_u64),
            Self::Refused { .. } | Self::Never | Self::Unknown => None,
        }
    }

    /// A text of the answer, if there is one.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self {
            Self::Done { value, .. } => value.get(name).and_then(Value::as_str),
            Self::Refused { .. } | Self::Never | Self::Unknown => None,
        }
    }
}

/// A product to be created.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewProduct {
    /// Its general stock.
    pub units: u64,
    /// Its price.
    pub price: u64,
}

/// A sale to be created.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewSale {
    /// `prd_...`
    pub product: String,
    /// Whether the general stock of the product is judged too.
    pub product_is_judged: bool,
    /// Units cut from the product's general stock.
    pub units: u64,
    /// Units per customer.
    pub limit: u64,
    /// RFC 3339.
    pub opens_at: String,
    /// How long an unpaid order holds its units.
    pub pay_within_seconds: u64,
}

/// How fresh a read must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Consistency {
    /// It shows everything that was acknowledged before.
    Linearizable,
    /// It shows what its node has applied, and at least this revision.
    Since(u64),
}

fn money(amount: u64) -> Value {
    json!({"amount": amount, "currency": "KRW"})
}

/// Staff creates a product.
pub fn product(staff: &str, key: &str, new: NewProduct) -> Invocation {
    let NewProduct { units, price } = new;
    let body = json!({"name": key, "price": money(price), "stock": units, "no_shipping": true});
    Invocation {
        f: "product",
        pool: None,
        value: json!({"units": units, "price": price}),
        request: Request::post("/v1/admin/products", staff, key, body),
    }
}

/// Anyone reads the price and version of a product.
pub fn read(product: &str) -> Invocation {
    Invocation {
        f: "read",
        pool: Some(product.to_owned()),
        value: Value::Null,
        request: Request::get(format!("/v1/products/{product}"), ""),
    }
}

/// Staff changes the price, given the version that was seen.
pub fn price(staff: &str, product: &str, version: u64, price: u64) -> Invocation {
    let path = format!("/v1/admin/products/{product}");
    Invocation {
        f: "price",
        pool: Some(product.to_owned()),
        value: json!({"version": version, "price": price}),
        request: Request::patch(path, staff, version, json!({"price": money(price)})),
    }
}

/// Staff creates a sale.
pub fn sale(staff: &str, key: &str, new: &NewSale) -> Invocation {
    let NewSale { product, units, limit, opens_at, pay_within_seconds, .. } = new;
    let body = json!({
        "product_id": product, "title": format!("{units} units"), "units": units,
        "opens_at": opens_at, "per_customer_limit": limit,
        "pay_within_seconds": pay_within_seconds,
    });
    let mut value = json!({"units": units, "limit": limit});
    if new.product_is_judged {
        value["product"] = json!(product);
    }
    Invocation {
        f: "sale",
        pool: None,
        value,
        request: Request::post("/v1/admin/sales", staff, key, body),
    }
}

/// A customer orders units of a sale.
pub fn order(customer: &Customer, key: &str, sale: &str, quantity: u64) -> Invocation {
    let body = json!({"lines": [{"sale_id": sale, "quantity": quantity}]});
    Invocation {
        f: "order",
        pool: Some(sale.to_owned()),
        value: json!({"customer": customer.id, "qty": quantity}),
        request: Request::post("/v1/orders", &customer.token, key, body),
    }
}

/// A step in the life of an order, by its customer or by staff.
fn step(
    f: &'static str,
    path: String,
    token: &str,
    key: &str,
    sale: &str,
    order: &str,
) -> Invocation {
    Invocation {
        f,
        pool: Some(sale.to_owned()),
        value: json!({"order": order}),
        request: Request::post(path, token, key, json!({})),
    }
}

/// Staff records the payment of an order.
pub fn settle(staff: &str, key: &str, sale: &str, order: &str) -> Invocation {
    step("settle", format!("/v1/admin/orders/{order}/settlements"), staff, key, sale, order)
}

/// Staff ships an order.
pub fn ship(staff: &str, key: &str, sale: &str, order: &str) -> Invocation {
    step("ship", format!("/v1/admin/orders/{order}/shipments"), staff, key, sale, order)
}

/// Staff records that an order was delivered.
pub fn deliver(staff: &str, key: &str, sale: &str, order: &str) -> Invocation {
    step("deliver", format!("/v1/admin/orders/{order}/deliveries"), staff, key, sale, order)
}

/// A customer cancels an order.
pub fn cancel(customer: &Customer, key: &str, sale: &str, order: &str) -> Invocation {
    let path = format!("/v1/orders/{order}/cancellations");
    step("cancel", path, &customer.token, key, sale, order)
}

/// A customer returns an order.
pub fn give_back(customer: &Customer, key: &str, sale: &str, order: &str) -> Invocation {
    let path = format!("/v1/orders/{order}/returns");
    step("return", path, &customer.token, key, sale, order)
}

/// Staff receives a returned order.
pub fn receive(staff: &str, key: &str, sale: &str, order: &str, restock: bool) -> Invocation {
    let body = json!({"restock": restock});
    Invocation {
        f: "receive",
        pool: Some(sale.to_owned()),
        value: json!({"order": order, "restock": restock}),
        request: Request::post(
            format!("/v1/admin/orders/{order}/return-receipts"),
            staff,
            key,
            body,
        ),
    }
}

/// Staff corrects the units of a sale: in or out, or scrapped and back.
pub fn adjust(staff: &str, key: &str, sale: &str, delta: i64, scrap: bool) -> Invocation {
    let body = json!({"delta": delta, "scrap": scrap, "reason": key});
    Invocation {
        f: "adjust",
        pool: Some(sale.to_owned()),
        value: json!({"delta": delta, "scrap": scrap}),
        request: Request::post(
            format!("/v1/admin/sales/{sale}/stock-adjustments"),
            staff,
            key,
            body,
        ),
    }
}

/// Staff moves units between a sale and its product, or new ones into the sale.
pub fn allot(staff: &str, key: &str, sale: &str, delta: i64, fresh: bool) -> Invocation {
    let from = if fresh { "new" } else { "general" };
    let body = json!({"delta": delta, "from": from});
    Invocation {
        f: "allot",
        pool: Some(sale.to_owned()),
        value: json!({"delta": delta, "fresh": fresh}),
        request: Request::post(format!("/v1/admin/sales/{sale}/allotments"), staff, key, body),
    }
}

/// Staff closes a sale.
pub fn close(staff: &str, key: &str, sale: &str) -> Invocation {
    Invocation {
        f: "close",
        pool: Some(sale.to_owned()),
        value: Value::Null,
        request: Request::post(format!("/v1/admin/sales/{sale}/closures"), staff, key, json!({})),
    }
}

/// Staff reads the accounts of a sale.
pub fn stock(staff: &str, sale: &str) -> Invocation {
    Invocation {
        f: "stock",
        pool: Some(sale.to_owned()),
        value: Value::Null,
        request: Request::get(format!("/v1/sales/{sale}/stock"), staff),
    }
}

/// Staff reads the accounts of a product.
pub fn general_stock(staff: &str, product: &str) -> Invocation {
    let request = Request::get(format!("/v1/products/{product}/stock"), staff);
    Invocation { request, ..stock(staff, product) }
}

/// A customer reads an order.
pub fn look(customer: &Customer, sale: &str, order: &str) -> Invocation {
    Invocation {
        f: "look",
        pool: Some(sale.to_owned()),
        value: json!({"order": order}),
        request: Request::get(format!("/v1/orders/{order}"), &customer.token),
    }
}

/// Staff lists the orders of a sale, in one page, so that it shows one revision.
pub fn orders(staff: &str, sale: &str) -> Invocation {
    Invocation {
        f: "orders",
        pool: Some(sale.to_owned()),
        value: Value::Null,
        request: Request::get(format!("/v1/admin/orders?sale_id={sale}&limit=100"), staff),
    }
}

/// Anyone reads log time.
pub fn time() -> Invocation {
    let request = Request::get("/v1/time", "");
    Invocation { f: TIME, pool: None, value: Value::Null, request }
}

impl Invocation {
    /// The same read with this consistency.
    #[must_use]
    pub fn as_fresh_as(mut self, fresh: Consistency) -> Self {
        let Consistency::Since(revision) = fresh else { return self };
        if self.value.is_null() {
            self.value = json!({});
        }
        self.value["local"] = json!(true);
        self.value[MIN_REVISION] = json!(revision);
        let mark = if self.request.path.contains('?') { '&' } else { '?' };
        self.request.path = format!("{}{mark}consistency=local", self.request.path);
        self.request = self.request.with("min-revision", revision.to_string());
        self
    }
}

/// The part of an answer that the model predicts; `None` if it is missing.
pub fn answer(f: &str, body: &Value) -> Option<Value> {
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let version = || body.get("version").and_then(Value::as_u64);
    Some(match f {
        "product" => json!({"product": text("id")?, "version": version()?}),
        "read" | "price" => {
            let price = body.get("price").and_then(|price| price.get("amount")?.as_u64());
            json!({"price": price?, "version": version()?})
        }
        "sale" => json!({"sale": text("id")?}),
        "order" => {
            json!({"order": text("id")?, "status": text("status")?, "pay_by": text("pay_by")?})
        }
        "stock" | "adjust" => accounts(body)?,
        "allot" | "close" => accounts(body.get("stock")?)?,
        "orders" => {
            let whole = body.get("next_cursor").is_some_and(Value::is_null);
            let rows = body.get("data").and_then(Value::as_array).filter(|_| whole)?;
            let row = |row: &Value| Some((row.get("id")?.clone(), row.get("status")?.clone()));
            json!({"orders": rows.iter().map(row).collect::<Option<Vec<_>>>()?})
        }
        TIME => json!({"now": text("now")?}),
        _ if account::covers(f) => account::answer(f, body)?,
        _ => {
            let nested = body.get("order").and_then(|order| order.get("status")?.as_str());
            json!({"status": nested.or_else(|| text("status"))?})
        }
    })
}

/// The accounts of a stock answer.
pub fn accounts(body: &Value) -> Option<Value> {
    let number = |name: &str| body.get(name).and_then(Value::as_u64);
    Some(json!({
        "stocked": number("stocked")?, "available": number("available")?, "held": number("held")?,
        "sold": number("sold")?, "scrapped": number("scrapped")?,
    }))
}
