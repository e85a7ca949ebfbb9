//! `firstcome admin ...`: the first account that may manage the others.

use std::path::PathBuf;

use clap::Subcommand;
use firstcome_domain::Role;
use serde_json::json;

use crate::client::{Remote, Request, print};
use crate::exit::{Exit, Stop};
use crate::output::{field, object};
use crate::password;

const ADMIN_EXISTS: &str = "\
refused: there is an admin already (admin_exists)
  an admin makes others: firstcome login, then firstcome customer role usr_... admin
  if no admin can log in, the master key can do it: add --as admin to firstcome customer role";

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome admin create --email ann@example.com --name Ann --phone 010-1234-5678
  firstcome login --email ann@example.com

This needs the master key, as firstcome token does, and works once: later admins are users to whom
an admin gives the role, with firstcome customer role.")]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Create the first admin of the cluster.
    Create {
        /// E-mail address to log in with.
        #[arg(long)]
        email: String,
        /// Name.
        #[arg(long)]
        name: String,
        /// Phone number: digits, + and -.
        #[arg(long)]
        phone: String,
        /// File with the password; - is standard input. Without it, it is asked for.
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
}

pub(crate) async fn run(args: Args, json: bool) -> anyhow::Result<Exit> {
    let Verb::Create { email, name, phone, password_file } = args.verb;
    let client = args.remote.client_of_key(Role::Admin)?;
    let password = password::read(password_file.as_deref(), true)?;
    let body = json!({ "email": email, "password": password, "name": name, "phone": phone });
    let response = client.send(Request::post("/v1/admin/bootstrap", &body)).await?;
    if !json && field(&response.body, "code") == "admin_exists" {
        return Err(Stop::new(Exit::Refused, ADMIN_EXISTS).into());
    }
    print(&response, json, object)
}
