//! `firstcome address ...`: where a customer has orders sent.

use clap::Subcommand;
use firstcome_domain::Role;
use serde_json::{Value, json};

use super::argument::fields;
use crate::client::{Remote, Request, more, page, rows, show};
use crate::exit::Exit;
use crate::output::{field, object, table};

const LIST: &str = "/v1/me/addresses";

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome address add --recipient Kim --phone 010-1234-5678 --line1 \"Sejong-daero 110\" --subject usr_...
  firstcome address list --subject usr_...
  firstcome address set adr_... --line2 B1 --label \"\" --subject usr_...     removes the label
  firstcome address default adr_... --subject usr_...
  firstcome order create --sale sal_... --address-id adr_... --subject usr_...

Without a session or a token, each command acts as a new customer; use --subject usr_... to act as the same one.")]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Save an address. A customer's first one becomes the default.
    Add {
        /// Who receives the parcels.
        #[arg(long)]
        recipient: String,
        /// Phone number: digits, + and -.
        #[arg(long)]
        phone: String,
        /// First line.
        #[arg(long)]
        line1: String,
        #[command(flatten)]
        optional: Optional,
        /// Idempotency key; a retry with the same key never saves twice.
        #[arg(long)]
        key: Option<String>,
    },
    /// List the addresses, newest first.
    List {
        /// Rows per page, 1 to 100.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Cursor of the next page, as printed with the previous one.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show an address.
    Show {
        /// Address id (adr_...).
        id: String,
    },
    /// Change the given fields of an address. An empty value removes an optional field.
    Set {
        /// Address id (adr_...).
        id: String,
        /// Who receives the parcels.
        #[arg(long)]
        recipient: Option<String>,
        /// Phone number: digits, + and -.
        #[arg(long)]
        phone: Option<String>,
        /// First line.
        #[arg(long)]
        line1: Option<String>,
        #[command(flatten)]
        optional: Optional,
    },
    /// Remove an address. If it was the default, the oldest one left becomes it.
    Remove {
        /// Address id (adr_...).
        id: String,
    },
    /// Make an address the default.
    Default {
        /// Address id (adr_...).
        id: String,
    },
}

/// The fields that an address need not have.
#[derive(clap::Args)]
struct Optional {
    /// A name for the address.
    #[arg(long)]
    label: Option<String>,
    /// Country code of ISO 3166-1, such as KR; by default that of the deployment.
    #[arg(long)]
    country: Option<String>,
    /// Postcode.
    #[arg(long)]
    postcode: Option<String>,
    /// State, province or the like.
    #[arg(long)]
    region: Option<String>,
    /// City.
    #[arg(long)]
    city: Option<String>,
    /// Second line.
    #[arg(long)]
    line2: Option<String>,
}

/// The body of a request. `empty` stands for an optional field whose text is empty.
fn body(
    [recipient, phone, line1]: [Option<String>; 3],
    optional: Optional,
    empty: &Value,
) -> Value {
    let required = |text: Option<String>| text.map(Value::from);
    let or_empty = |text: String| if text.is_empty() { empty.clone() } else { Value::from(text) };
    fields([
        ("label", optional.label.map(or_empty)),
        ("recipient", required(recipient)),
        ("phone", required(phone)),
        ("country", required(optional.country)),
        ("postcode", optional.postcode.map(or_empty)),
        ("region", optional.region.map(or_empty)),
        ("city", optional.city.map(or_empty)),
        ("line1", required(line1)),
        ("line2", optional.line2.map(or_empty)),
    ])
}

pub(crate) async fn run(args: Args, json: bool) -> anyhow::Result<Exit> {
    let client = args.remote.client(Role::Customer)?;
    let path = |id: &str| format!("{LIST}/{id}");
    match args.verb {
        Verb::Add { recipient, phone, line1, optional, key } => {
            let body = body([recipient, phone, line1].map(Some), optional, &json!(""));
            let key = key.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
            show(&client, Request::post_once(LIST, &body, &key), json, object).await
        }
        Verb::List { limit, cursor } => {
            let path = page(LIST, limit, cursor.as_deref(), &[]);
            show(&client, Request::get(&path), json, list).await
        }
        Verb::Show { id } => show(&client, Request::get(&path(&id)), json, object).await,
        Verb::Set { id, recipient, phone, line1, optional } => {
            let body = body([recipient, phone, line1], optional, &Value::Null);
            let etag = client.etag(&path(&id)).await?;
            show(&client, Request::patch(&path(&id), &body, etag), json, object).await
        }
        Verb::Remove { id } => {
            let done = |_: &Value| format!("{id} was removed\n");
            show(&client, Request::delete(&path(&id), None), json, done).await
        }
        Verb::Default { id } => {
            let (body, etag) = (json!({ "is_default": true }), client.etag(&path(&id)).await?);
            let done = |_: &Value| format!("{id} is the default\n");
            show(&client, Request::patch(&path(&id), &body, etag), json, done).await
        }
    }
}

fn list(answer: &Value) -> String {
    let names = ["id", "is_default", "label", "recipient", "country", "line1"];
    let rows: Vec<_> = rows(answer).map(|o| names.map(|name| field(o, name)).to_vec()).collect();
    table(&["ID", "DEFAULT", "LABEL", "RECIPIENT", "COUNTRY", "LINE1"], &rows) + &more(answer)
}
