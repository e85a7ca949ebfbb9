//! `firstcome completions SHELL`: a script that completes commands and options.

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use super::Cli;
use crate::exit::Exit;
use crate::output;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome completions bash > ~/.local/share/bash-completion/completions/firstcome
  firstcome completions zsh > ~/.zfunc/_firstcome
  firstcome completions fish > ~/.config/fish/completions/firstcome.fish")]
pub(crate) struct Args {
    /// The shell that will read the script.
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Exit {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "firstcome", &mut script);
    output::write(&String::from_utf8_lossy(&script));
    Exit::Done
}
