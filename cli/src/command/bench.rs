//! placeholder
#[derive(clap::Args)]
#[command(after_help = "firstcome bench")]
pub(crate) struct Args {}
pub(crate) async fn run(_args: Args, _json: bool) -> anyhow::Result<crate::exit::Exit> {
    Ok(crate::exit::Exit::Done)
}
