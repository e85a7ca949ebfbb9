//! `sim`: the whole cluster in one process and one thread, in virtual time, replayable by seed.
//!
//! What makes it repeatable, from the outside in: one process per seed; one thread; time that only
//! the driver moves (`time`); randomness from the seed alone, also where libraries ask the operating
//! system for it; a network (`net`) and disks of our own. `README.md` says what this shows, what it
//! cannot show, and the evidence.

#[cfg(not(all(simulation, tokio_unstable)))]
compile_error!(
    "build inside jepsen/sim, whose .cargo/config.toml sets `--cfg simulation --cfg tokio_unstable`"
);

mod client;
mod closing;
mod cluster;
mod config;
mod dice;
mod lying;
mod machine;
mod nemesis;
mod net;
mod observer;
mod operator;
mod panics;
mod run;
mod sweep;
mod time;
mod trace;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};
use clap::{Parser, Subcommand};
use rand::SeedableRng as _;

use config::Config;

/// Simulates a whole cluster, with faults, in virtual time.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs one seed.
    Run(RunArgs),
    /// Runs many seeds, each in a process of its own; exit code 1 if any failed.
    Sweep(SweepArgs),
    /// Runs some seeds twice and compares everything that happened.
    Meta {
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// How many.
        #[arg(long, default_value_t = 3)]
        count: u64,
    },
}

#[derive(clap::Args, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
struct RunArgs {
    /// Where everything comes from.
    #[arg(long)]
    seed: u64,
    /// Prints every event, and what nodes log (`RUST_LOG` selects).
    #[arg(long)]
    verbose: bool,
    /// Keeps the run directory of a run that held, too.
    #[arg(long)]
    keep: bool,
    /// Where run directories go.
    #[arg(long, default_value = "store")]
    store: PathBuf,
    /// Arms a seeded bug of the product, to see it caught.
    #[arg(long)]
    bug: Option<String>,
    /// Disks only say that they sync: the run must fail.
    #[arg(long)]
    lying_disks: bool,
    /// A quarter of the chaos, for gates: other runs than without it.
    #[arg(long)]
    short: bool,
}

#[derive(clap::Args)]
struct SweepArgs {
    /// `A..B`: from A to B - 1.
    #[arg(long, value_parser = range)]
    seeds: std::ops::Range<u64>,
    /// Processes at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Real seconds a seed may take.
    #[arg(long, default_value_t = 900.0)]
    limit_seconds: f64,
    /// Where run directories go.
    #[arg(long, default_value = "store")]
    store: PathBuf,
    /// Arms a seeded bug of the product in every run.
    #[arg(long)]
    bug: Option<String>,
    /// A quarter of the chaos in every run.
    #[arg(long)]
    short: bool,
}

fn range(text: &str) -> Result<std::ops::Range<u64>, String> {
    let number = |text: &str| text.trim().parse::<u64>().map_err(|error| error.to_string());
    let (from, to) = text.split_once("..").ok_or("expected A..B")?;
    Ok(number(from)?..number(to)?)
}

fn main() -> anyhow::Result<ExitCode> {
    let held = match Cli::parse().command {
        Verb::Run(args) => {
            // The environment a bug is armed by must be there before anything reads it.
            if let Some(bug) = &args.bug
                && std::env::var_os(BUG).is_none()
            {
                return again_with(bug);
            }
            if let Err(wrong) = firstcome_fault::start() {
                eprintln!("error: {wrong}");
                return Ok(ExitCode::from(EXIT_USAGE));
            }
            firstcome_fault::clock_from(firstcome_raft::simulation::wall_ms);
            // A fresh thread: what this one drew from the operating system is not from the seed.
            let running =
                std::thread::Builder::new().stack_size(16 << 20).spawn(move || one(&args))?;
            running.join().map_err(|_| anyhow::anyhow!("the driver itself panicked"))??
        }
        Verb::Sweep(args) => sweep::sweep(&sweep::Sweep {
            seeds: args.seeds,
            jobs: args.jobs,
            limit_seconds: args.limit_seconds,
            bug: args.bug,
            short: args.short,
            store: args.store,
        })?,
        Verb::Meta { seed, count } => meta(seed, count)?,
    };
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// As for every wrong word on the command line.
const EXIT_USAGE: u8 = 2;
/// Names the armed bug.
const BUG: &str = "FIRSTCOME_FAULT_BUG";

fn again_with(bug: &str) -> anyhow::Result<ExitCode> {
    let status = Command::new(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(BUG, bug)
        .status()?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

fn one(args: &RunArgs) -> anyhow::Result<bool> {
    mad_turmoil::rand::set_rng(rand::rngs::StdRng::seed_from_u64(args.seed));
    let _clocks = mad_turmoil::time::SimClocksGuard::init();
    if args.verbose {
        let filter = tracing_subscriber::EnvFilter::try_from_default_env()
            .unwrap_or_else(|_| "warn,openraft=error".into());
        tracing_subscriber::fmt().with_env_filter(filter).without_time().init();
    }
    let mut config = Config::draw(args.seed);
    if args.short {
        config.shorten();
    }
    let dir = run::directory(&args.store, args.seed)?;
    let outcome = run::run(&config, &dir, args.verbose, args.lying_disks)?;
    let (seed, digest, summary) = (args.seed, outcome.digest, &outcome.summary);
    match &outcome.violation {
        None => {
            println!("seed {seed} held, digest {digest:016x}: {summary}");
            if !args.keep {
                std::fs::remove_dir_all(&dir)?;
            }
            Ok(true)
        }
        Some(violation) => {
            println!("seed {seed} FAILED, digest {digest:016x}: {violation}");
            println!("\n{summary}\n{config:#?}\n\nthe last events:");
            for line in outcome.last {
                println!("{line}");
            }
            let mut bug = args.bug.as_ref().map(|bug| format!(" --bug {bug}")).unwrap_or_default();
            if args.lying_disks {
                bug.push_str(" --lying-disks");
            }
            if args.short {
                bug.push_str(" --short");
            }
            println!("\nfiles: {}", dir.display());
            println!("again: cargo run -- run --seed {seed}{bug} --verbose");
            // The last line is for programs: `jepsen prove` reads it.
            println!("violation: {violation}");
            Ok(false)
        }
    }
}

/// Every seed twice: the same events at the same instants, and other ones under another seed.
fn meta(first: u64, count: u64) -> anyhow::Result<bool> {
    let digest = |seed: u64| -> anyhow::Result<String> {
        let store = std::env::temp_dir();
        let out = Command::new(std::env::current_exe()?)
            .args(["run", "--seed", &seed.to_string(), "--store"])
            .arg(&store)
            .output()?;
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        let line = said.lines().find(|line| line.starts_with("seed ")).context("no digest")?;
        let at = line.find("digest ").context("no digest")? + "digest ".len();
        Ok(line.get(at..at + 16).unwrap_or_default().to_owned())
    };
    let mut seen = Vec::new();
    let mut held = true;
    for seed in first..first + count {
        let (once, twice) = (digest(seed)?, digest(seed)?);
        println!(
            "seed {seed}: {once} {twice} {}",
            if once == twice { "same" } else { "DIFFERENT" }
        );
        held &= once == twice;
        ensure!(!seen.contains(&once), "seed {seed} does what another one did");
        seen.push(once);
    }
    Ok(held)
}
