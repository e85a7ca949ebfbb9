//! `firstcome session ...`: where the user of the session is logged in.

use clap::Subcommand;
use serde_json::Value;

use crate::client::{Remote, Request, more, page, rows, show};
use crate::exit::Exit;
use crate::output::{field, table};

const LIST: &str = "/v1/me/sessions";

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome session list
  firstcome session end ses_...            on every node; firstcome logout ends the current one")]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// List your open sessions.
    List {
        /// Rows per page, 1 to 100.
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Cursor of the next page, as printed with the previous one.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// End one of your sessions.
    End {
        /// Session id (ses_...).
        id: String,
    },
}

pub(crate) async fn run(args: Args, json: bool) -> anyhow::Result<Exit> {
    let client = args.remote.client_of_somebody()?;
    match args.verb {
        Verb::List { limit, cursor } => {
            let path = page(LIST, limit, cursor.as_deref(), &[]);
            show(&client, Request::get(&path), json, list).await
        }
        Verb::End { id } => {
            let path = format!("{LIST}/{id}");
            let done = |_: &Value| format!("{id} has ended\n");
            show(&client, Request::delete(&path, None), json, done).await
        }
    }
}

fn list(answer: &Value) -> String {
    let names = ["id", "kind", "current", "created_at", "last_used_at", "expires_at"];
    let rows: Vec<_> = rows(answer).map(|o| names.map(|name| field(o, name)).to_vec()).collect();
    let headers = ["ID", "KIND", "CURRENT", "CREATED", "LAST USED", "EXPIRES"];
    table(&headers, &rows) + &more(answer)
}
