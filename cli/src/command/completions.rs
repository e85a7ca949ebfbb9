//! `firstcome completions SHELL`: prints a completion script.

use clap_complete::{Shell, generate};

use crate::exit::Exit;
use crate::output;

#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  firstcome completions bash > ~/.local/share/bash-completion/completions/firstcome
  firstcome completions zsh > ~/.zfunc/_firstcome
  firstcome completions fish > ~/.config/fish/completions/firstcome.fish")]
pub(crate) struct Args {
    /// Shell to complete for.
    shell: Shell,
}

/// Prints the script for the command line `cli`.
pub(crate) fn run(args: &Args, mut cli: clap::Command) -> Exit {
    let mut script = Vec::new();
    generate(args.shell, &mut cli, "firstcome", &mut script);
    output::write(&String::from_utf8_lossy(&script));
    Exit::Done
}
