//! `firstcome logout`: ends the session of `firstcome login`, on every node.

use serde_json::json;

use crate::client::{Endpoint, Request, SessionEnded};
use crate::exit::Exit;
use crate::output;
use crate::session::SessionFile;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome logout
  firstcome logout --local                 if the cluster is gone")]
pub(crate) struct Args {
    #[command(flatten)]
    endpoint: Endpoint,
    /// Only forget the session here; it stays open until it expires.
    #[arg(long)]
    local: bool,
}

pub(crate) async fn run(args: Args, json: bool) -> anyhow::Result<Exit> {
    let Some(client) = args.endpoint.session_client()? else {
        let url = args.endpoint.client()?;
        tell(json, false, &format!("not logged in at {}", url.base()));
        return Ok(Exit::Done);
    };
    if !args.local {
        let ended = client.send_ok(Request::post("/v1/auth/logout", &json!({}))).await;
        // One that has ended needs no logout.
        if let Err(error) = ended
            && error.downcast_ref::<SessionEnded>().is_none()
        {
            return Err(error.context("the session was kept (--local forgets it)"));
        }
    }
    SessionFile::locate()?.remove(client.base())?;
    tell(json, true, &format!("logged out at {}", client.base()));
    Ok(Exit::Done)
}

fn tell(json: bool, was_logged_in: bool, text: &str) {
    if json {
        output::json(&json!({"object": "logout", "was_logged_in": was_logged_in}));
    } else {
        output::line(text);
    }
}
