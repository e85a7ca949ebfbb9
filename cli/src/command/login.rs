//! `firstcome login`: opens a session that the other commands use.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use serde_json::json;

use crate::client::{Endpoint, Request};
use crate::exit::{Exit, Stop};
use crate::session::{Session, SessionFile};
use crate::{output, password};

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome login --email ann@example.com                 asks for the password
  firstcome login --email ann@example.com --password-file password.txt
  pass show shop | firstcome login --email ann@example.com
  firstcome order list                                    as ann@example.com
  firstcome logout

The session is kept per node address in FIRSTCOME_SESSION_FILE or, without it, in
~/.local/state/firstcome/session.json (below XDG_STATE_HOME if that is set), readable only by you.
Commands use it unless they get --token, --subject, --as or --key-file.")]
pub(crate) struct Args {
    #[command(flatten)]
    endpoint: Endpoint,
    /// E-mail address of the account; asked for if there is a terminal.
    #[arg(long)]
    email: Option<String>,
    /// File with the password; - is standard input.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

pub(crate) async fn run(args: Args, json: bool) -> anyhow::Result<Exit> {
    let client = args.endpoint.client()?;
    // Before there is a session that nobody could keep.
    let file = SessionFile::locate()?;
    let email = match args.email {
        Some(email) => email,
        None if std::io::stdin().is_terminal() => output::ask("E-mail: ")?,
        None => return Err(Stop::new(Exit::Usage, "no e-mail address: pass --email").into()),
    };
    let password = password::read(args.password_file.as_deref(), false)?;
    let body = json!({ "email": email, "password": password });
    let response = client.send_ok(Request::post("/v1/auth/login", &body)).await?;
    let session = Session::of(&email, &response.body)?;
    file.put(client.base(), session.clone())?;
    if json {
        output::json(&json!({
            "object": "session", "id": session.id, "user_id": session.user_id,
            "email": email, "url": client.base(), "expires_at": session.refresh_expires_at,
            "file": file.path(),
        }));
    } else {
        output::line(&format!("logged in as {email} at {}", client.base()));
    }
    Ok(Exit::Done)
}
