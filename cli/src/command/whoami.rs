//! `firstcome whoami`: the account that the other commands act for.

use crate::client::{Remote, Request, show};
use crate::exit::Exit;
use crate::output::object;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome whoami
  firstcome whoami --json")]
pub(crate) struct Args {
    #[command(flatten)]
    remote: Remote,
}

pub(crate) async fn run(args: Args, json: bool) -> anyhow::Result<Exit> {
    let client = args.remote.client_of_somebody()?;
    show(&client, Request::get("/v1/me"), json, object).await
}
