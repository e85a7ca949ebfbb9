//! The command line: `jepsen run`, `jepsen prove` and `jepsen check`.
//!
//! Exit codes: 0 true, 1 false, 2 unknown, 3 the harness failed, 64 usage.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::check::{Evidence, Judgement, Verdict, judge};
use crate::nemesis::Nemesis;
use crate::prove;
use crate::run::{self, Plan};

const HARNESS_FAILED: u8 = 3;
const USAGE: u8 = 64;

/// Runs real nodes under faults and judges what their clients saw.
#[derive(Parser, Debug)]
#[command(name = "jepsen", version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Starts three nodes, sells on them under faults, and judges the run.
    Run {
        /// What the clients do.
        #[arg(long, value_enum, default_value_t = Workload::FlashSale)]
        workload: Workload,
        /// What is broken meanwhile.
        #[arg(long, value_enum, default_value_t = Nemesis::Kill)]
        nemesis: Nemesis,
        /// How long the clients run; at least 8, so that a fault fits.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(8..=3600))]
        seconds: u64,
        /// The product's binary.
        #[arg(long, default_value = "target/release/firstcome")]
        binary: PathBuf,
        /// Where run directories go.
        #[arg(long, default_value = "jepsen/store")]
        store: PathBuf,
        /// Where all randomness comes from.
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Arms one seeded bug after the other, and wants the tests to notice each.
    Prove {
        /// Only what tests of the rules and of storage must notice.
        #[arg(long)]
        quick: bool,
        /// Where the fault build goes.
        #[arg(long, default_value = "target/fault")]
        target_dir: PathBuf,
        /// Where the table goes.
        #[arg(long, default_value = "jepsen/store/prove.json")]
        out: PathBuf,
    },
    /// Judges a recorded run again.
    Check {
        /// The run directory.
        dir: PathBuf,
    },
}

#[derive(Clone, Copy, ValueEnum, Debug)]
#[value(rename_all = "snake_case")]
enum Workload {
    FlashSale,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let wrong = error.use_stderr();
            // Nobody is left to tell when the terminal is gone.
            _ = error.print();
            return if wrong { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let judged = match arguments.verb {
        Verb::Prove { quick, target_dir, out } => {
            let options = prove::Options { top: PathBuf::from("."), target_dir, out, quick };
            return exit(prove::run(&options));
        }
        Verb::Run { workload: Workload::FlashSale, nemesis, seconds, binary, store, seed } => {
            run::run(&Plan { binary, nemesis, seconds, seed, store })
        }
        Verb::Check { dir } => {
            Evidence::read(&dir).map(|evidence| judge(&evidence)).map(|judgement| (dir, judgement))
        }
    };
    exit(judged.and_then(|(dir, judgement)| {
        print(&dir, &judgement)?;
        Ok(judgement.verdict)
    }))
}

/// The exit code of a verdict.
fn exit(verdict: anyhow::Result<Verdict>) -> ExitCode {
    match verdict {
        Ok(Verdict::True) => ExitCode::SUCCESS,
        Ok(Verdict::False) => ExitCode::from(1),
        Ok(Verdict::Unknown) => ExitCode::from(2),
        Err(error) => {
            _ = writeln!(io::stderr(), "jepsen: {error:#}");
            ExitCode::from(HARNESS_FAILED)
        }
    }
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::True => "true",
        Verdict::Unknown => "unknown",
        Verdict::False => "FALSE",
    }
}

fn print(dir: &Path, judgement: &Judgement) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for finding in &judgement.findings {
        writeln!(
            out,
            "{:<12} {:<8} looked at {}",
            finding.checker,
            word(finding.verdict),
            finding.looked_at
        )?;
        for note in &finding.notes {
            writeln!(out, "             - {note}")?;
        }
    }
    writeln!(out, "verdict: {} ({})", word(judgement.verdict), dir.display())
}
