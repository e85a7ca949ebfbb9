//! The command line of `jepsen`.
//!
//! Exit codes: 0 true, 1 false, 2 unknown, 3 the harness failed, 64 usage.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::drive::child_run::RunVerdict;
use crate::drive::matrix::{self, Grid};
use crate::drive::nemesis::Nemesis;
use crate::drive::nemesis::capabilities::FaultOptions;
use crate::drive::run::{self, Plan};
use crate::drive::soak::{self, Soak};
use crate::drive::{binary, workload};
use crate::judge::check::{Evidence, Judgement, Verdict, judge};
use crate::prove;
use crate::record::edn;
use crate::report;

const USAGE: u8 = 64;

/// Runs real nodes under faults and judges what their clients saw.
#[derive(Parser, Debug)]
#[command(
    name = "jepsen",
    version,
    after_help = "Exit codes: 0 true, 1 false, 2 unknown, 3 the harness failed, 64 usage.\n\
                  To start: run `jepsen run`, then open the report it names."
)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand, Debug)]
enum Verb {
    /// Arms one seeded bug at a time and checks that the tests and checkers notice it.
    #[command(after_help = "Examples:\n  \
        jepsen prove --quick                               tests and recorded histories\n  \
        jepsen prove --layer l4 --fault-binary FIRSTCOME   real nodes\n\n\
        A fault build: cargo build --release --features fault --target-dir target/fault")]
    Prove(Prove),
    /// Starts a cluster, runs clients and faults against it, and judges the run.
    #[command(after_help = "Examples:\n  \
        jepsen run                                         30 s of flash_sale under kill\n  \
        jepsen run --nemesis none --seconds 10 --keep      keep the data directories\n\n\
        The run directory holds everything the verdict is based on, and report.html.")]
    Run(Run),
    /// Judges recorded runs again, and rewrites their results.json and report.html.
    #[command(after_help = "Example:\n  jepsen check jepsen/store/*-kill-*\n\n\
        The verdict depends only on the directory, so it is the same every time.")]
    Check {
        /// Run directories.
        #[arg(required = true)]
        dirs: Vec<PathBuf>,
        /// Only prints; writes nothing into the directories.
        #[arg(long)]
        no_write: bool,
    },
    /// Writes report.html of a recorded run and prints its path.
    Report {
        /// The run directory.
        dir: PathBuf,
    },
    /// Prints the history of a recorded run for other checkers.
    History {
        /// As EDN, one map per line, as Jepsen writes them; the only format so far.
        #[arg(long, required = true)]
        edn: bool,
        /// The run directory.
        dir: PathBuf,
    },
    /// Runs every workload under every nemesis, one run at a time, and counts the verdicts.
    #[command(after_help = "Examples:\n  \
        jepsen matrix --seconds 60\n  \
        jepsen matrix --workloads flash_sale --nemeses none,kill --times 3 --seconds 20\n  \
        jepsen matrix --alternate='--nodes 3' --alternate='--nodes 5'    in turn\n\n\
        Arguments after `--` go to every `jepsen run`. After every run the table is also written\n\
        to matrix-<utc>.json in the store.")]
    Matrix(Matrix),
    /// Runs one workload for a long time, in segments that each continue with the data of the last.
    #[command(
        after_help = "Example:\n  jepsen soak --minutes 30 --nemesis chaos --fault-binary FIRSTCOME\n\n\
        Arguments after `--` go to every `jepsen run`. The soak ends at the first segment that is\n\
        false or fails; soak-<utc>.json in the store lists all segments."
    )]
    Soak(SoakArguments),
}

#[derive(Args, Debug)]
struct Prove {
    /// Only what needs no cluster: tests of the rules and of storage, and recorded histories.
    #[arg(long)]
    quick: bool,
    /// Only rows of this bug; may be repeated.
    #[arg(long, value_name = "BUG")]
    only: Vec<String>,
    /// Only rows of this layer.
    #[arg(long, value_enum)]
    layer: Option<prove::table::Layer>,
    /// A fault build of the product; without it the rows on real nodes are not run.
    #[arg(long)]
    fault_binary: Option<PathBuf>,
    /// The simulation; without it its rows are not run.
    #[arg(long, default_value = "jepsen/sim/target/debug/sim")]
    sim: PathBuf,
    /// How many seconds the clients run in each run on real nodes.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(8..=3600))]
    seconds: u64,
    /// Seed of the first of these runs; every further run takes the next seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Directory for these runs.
    #[arg(long, default_value = "jepsen/store/prove")]
    store: PathBuf,
    /// Target directory of the fault build of the tests.
    #[arg(long, default_value = "target/fault")]
    target_dir: PathBuf,
    /// File for the table, as JSON.
    #[arg(long, default_value = "jepsen/store/prove.json")]
    out: PathBuf,
    /// File for the table, as Markdown.
    #[arg(long)]
    markdown: Option<PathBuf>,
}

#[derive(Args, Debug)]
struct Run {
    /// What the clients do.
    #[arg(long, value_enum, default_value_t = workload::Kind::FlashSale)]
    workload: workload::Kind,
    /// Which faults are injected.
    #[arg(long, value_enum, default_value_t = Nemesis::Kill)]
    nemesis: Nemesis,
    /// Number of nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: u8,
    /// How many seconds the clients run; at least 8, so that a fault fits.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(8..=3600))]
    seconds: u64,
    /// Seconds without any request after the last fault.
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(0..=600))]
    calm: u64,
    /// The product's binary.
    #[arg(long, default_value = "target/release/firstcome")]
    binary: PathBuf,
    /// Directory for run directories.
    #[arg(long, default_value = "jepsen/store")]
    store: PathBuf,
    /// Seed of all randomness.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keeps the data directories even if the verdict is true.
    #[arg(long)]
    keep: bool,
    /// Continues with the data directories of this run, which must have been kept.
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
    #[command(flatten)]
    options: FaultOptions,
}

#[derive(Args, Debug)]
struct Matrix {
    /// Workloads, separated by commas; default: all.
    #[arg(long, value_enum, value_delimiter = ',')]
    workloads: Vec<workload::Kind>,
    /// Nemeses, separated by commas; default: all but `none`.
    #[arg(long, value_enum, value_delimiter = ',')]
    nemeses: Vec<Nemesis>,
    /// How often each combination is run.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1000))]
    times: u64,
    /// Arguments of `jepsen run` that are used in turn; may be repeated.
    #[arg(long, value_name = "ARGUMENTS", allow_hyphen_values = true)]
    alternate: Vec<String>,
    #[command(flatten)]
    every: SharedArguments,
    /// How many seconds the clients of each run run.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(8..=3600))]
    seconds: u64,
}

#[derive(Args, Debug)]
struct SoakArguments {
    /// What the clients do.
    #[arg(long, value_enum, default_value_t = workload::Kind::FlashSale)]
    workload: workload::Kind,
    /// Which faults are injected.
    #[arg(long, value_enum, default_value_t = Nemesis::Kill)]
    nemesis: Nemesis,
    /// How many minutes the clients run, all segments together.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// Number of segments; each ends with a sell-out, a shutdown and a verdict.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=200))]
    segments: u64,
    /// Number of nodes.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: u8,
    #[command(flatten)]
    every: SharedArguments,
}

/// What matrix and soak have in common.
#[derive(Args, Debug)]
struct SharedArguments {
    /// The product's binary.
    #[arg(long, default_value = "target/release/firstcome")]
    binary: PathBuf,
    /// The fault build. A soak uses it for all runs; a matrix for power, disk, failpoint and clock,
    /// and for workloads whose holds must expire.
    #[arg(long)]
    fault_binary: Option<PathBuf>,
    /// Directory for run directories.
    #[arg(long, default_value = "jepsen/store")]
    store: PathBuf,
    /// Seed of the first run; every further run takes the next seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Seconds without any request after the last fault of each run.
    #[arg(long, value_name = "SECONDS", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(0..=600))]
    calm: u64,
    /// Further arguments of every `jepsen run`.
    #[arg(last = true)]
    further: Vec<String>,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let wrong = error.use_stderr();
            // The terminal may be gone; then there is nobody to tell.
            _ = error.print();
            return if wrong { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let word = match arguments.verb {
        Verb::Run(run) => start(run),
        Verb::Check { dirs, no_write } => check(&dirs, !no_write),
        Verb::Report { dir } => write_report(&dir),
        Verb::History { edn: _, dir } => export(&dir),
        Verb::Matrix(matrix) => start_matrix(matrix),
        Verb::Soak(soak) => start_soak(soak),
        Verb::Prove(asked) => start_prove(asked),
    };
    match word {
        Ok(word) => ExitCode::from(word.code()),
        Err(error) => {
            _ = writeln!(io::stderr(), "jepsen: {error:#}");
            ExitCode::from(RunVerdict::HarnessFailed.code())
        }
    }
}

const fn run_verdict(verdict: Verdict) -> RunVerdict {
    match verdict {
        Verdict::True => RunVerdict::True,
        Verdict::Unknown => RunVerdict::Unknown,
        Verdict::False => RunVerdict::False,
    }
}

fn start_prove(asked: Prove) -> anyhow::Result<RunVerdict> {
    let Prove { quick, only, layer, seconds, seed, store, target_dir, out, markdown, .. } = asked;
    let options = prove::Options {
        top: PathBuf::from("."),
        target_dir,
        out,
        markdown,
        quick,
        only,
        layer,
        fault_binary: asked.fault_binary,
        sim: asked.sim,
        seconds,
        seed,
        store,
    };
    prove::run(&options).map(run_verdict)
}

fn start(run: Run) -> anyhow::Result<RunVerdict> {
    let Run { workload, nemesis, nodes, seconds, calm, binary, store, seed, keep, resume, options } =
        run;
    let (dir, judgement) = run::run(&Plan {
        binary,
        workload,
        nemesis,
        nodes: nodes.into(),
        seconds,
        calm_seconds: calm,
        seed,
        store,
        options,
        keep,
        previous: resume,
        arguments: std::env::args().skip(1).collect(),
    })?;
    print(&dir, &judgement)?;
    Ok(run_verdict(judgement.verdict))
}

fn check(dirs: &[PathBuf], writes: bool) -> anyhow::Result<RunVerdict> {
    let mut worst = RunVerdict::True;
    for dir in dirs {
        let judged =
            if writes { run::rejudge(dir) } else { Evidence::read(dir).map(|e| judge(&e)) };
        // One directory that cannot be read must not hide the verdicts of the others.
        match judged {
            Ok(judgement) => {
                print(dir, &judgement)?;
                worst = worst.max(run_verdict(judgement.verdict));
            }
            Err(error) => {
                writeln!(io::stderr(), "jepsen: {}: {error:#}", dir.display())?;
                worst = worst.max(RunVerdict::HarnessFailed);
            }
        }
    }
    Ok(worst)
}

fn write_report(dir: &Path) -> anyhow::Result<RunVerdict> {
    let evidence = Evidence::read(dir)?;
    let place = report::write(dir, &evidence, &judge(&evidence))?;
    writeln!(io::stdout(), "{}", place.display())?;
    Ok(RunVerdict::True)
}

fn export(dir: &Path) -> anyhow::Result<RunVerdict> {
    let place = dir.join("history.jsonl");
    let file = File::open(&place)
        .with_context(|| format!("cannot open {}; is this a run directory?", place.display()))?;
    edn::export(BufReader::new(file), &mut io::BufWriter::new(io::stdout().lock()))?;
    Ok(RunVerdict::True)
}

/// Checks that the binaries exist, before the first of many runs fails for the lack of them.
fn check_binaries(every: &SharedArguments) -> anyhow::Result<Vec<String>> {
    binary::ensure_built(&every.binary, "--binary", binary::BUILD)?;
    if let Some(binary) = &every.fault_binary {
        binary::ensure_built(binary, "--fault-binary", binary::BUILD_FAULT)?;
    }
    let own = ["--binary", &every.binary.to_string_lossy(), "--calm", &every.calm.to_string()]
        .map(str::to_owned);
    Ok(own.into_iter().chain(every.further.iter().cloned()).collect())
}

fn start_matrix(matrix: Matrix) -> anyhow::Result<RunVerdict> {
    let Matrix { workloads, nemeses, times, alternate, every, seconds } = matrix;
    let workloads =
        if workloads.is_empty() { workload::Kind::value_variants().to_vec() } else { workloads };
    let nemeses = if nemeses.is_empty() {
        let all = Nemesis::value_variants().iter().copied();
        all.filter(|nemesis| *nemesis != Nemesis::None).collect()
    } else {
        nemeses
    };
    let further = check_binaries(&every)?;
    let grid = Grid {
        workloads: workloads.iter().map(|workload| workload.name().to_owned()).collect(),
        nemeses: nemeses.iter().map(|nemesis| nemesis.name().to_owned()).collect(),
        times,
        seconds,
        seed: every.seed,
        store: every.store,
        further,
        alternate,
        fault_binary: every.fault_binary,
    };
    let mut out = io::stdout().lock();
    let (matrix, place) = matrix::run(&grid, &mut out)?;
    write!(out, "\n{}\n{}\n", matrix::table(&matrix), place.display())?;
    Ok(matrix.worst())
}

fn start_soak(soak: SoakArguments) -> anyhow::Result<RunVerdict> {
    let SoakArguments { workload, nemesis, minutes, segments, nodes, every } = soak;
    let own = ["--workload", workload.name(), "--nemesis", nemesis.name(), "--nodes"];
    let mut further: Vec<String> = own.map(str::to_owned).into();
    further.push(nodes.to_string());
    further.extend(check_binaries(&every)?);
    let fault_binary = every.fault_binary.iter().map(|path| path.to_string_lossy().into_owned());
    further.extend(fault_binary.flat_map(|path| ["--fault-binary".to_owned(), path]));
    let seconds = (minutes * 60).div_ceil(segments).max(8);
    let soak = Soak { segments, seconds, seed: every.seed, store: every.store, further };
    let mut out = io::stdout().lock();
    let (soaked, place) = soak::run(&soak, &mut out)?;
    writeln!(out)?;
    soak::table(&soaked, &mut out)?;
    writeln!(out, "{}\n{}", soaked.worst().text(), place.display())?;
    Ok(soaked.worst())
}

fn print(dir: &Path, judgement: &Judgement) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for finding in &judgement.findings {
        writeln!(
            out,
            "{:<12} {:<8} checked {} {}",
            finding.checker,
            run_verdict(finding.verdict).text(),
            finding.checked,
            report::unit(&finding.checker)
        )?;
        for note in &finding.notes {
            writeln!(out, "             - {note}")?;
        }
    }
    let report = dir.join("report.html");
    if report.is_file() {
        writeln!(out, "report: {}", report.display())?;
    }
    writeln!(out, "verdict: {} ({})", run_verdict(judgement.verdict).text(), dir.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of a shell line, for plain text and single quotes.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut quoted) = (vec![String::new()], false);
        for c in line.chars() {
            let word = words.last_mut().expect("one at least");
            match c {
                '\'' => quoted = !quoted,
                '#' if !quoted && word.is_empty() => break,
                ' ' if !quoted => words.push(String::new()),
                c => word.push(c),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn what_pages_and_recipes_type_is_understood() {
        let places = [
            ("jepsen/README.md", include_str!("../README.md"), 9),
            ("docs/testing.md", include_str!("../../docs/testing.md"), 2),
            ("justfile", include_str!("../../justfile"), 4),
        ];
        for (place, text, at_least) in places {
            let mut found = 0;
            for command in text.lines().flat_map(|line| line.split(['`', '&', '|', '>'])) {
                let Some(typed) = command.trim().strip_prefix("target/release/jepsen ") else {
                    continue;
                };
                found += 1;
                let typed = std::iter::once("jepsen".to_owned()).chain(words(typed));
                if let Err(error) = Arguments::try_parse_from(typed) {
                    panic!("{place}: {command}: {error}");
                }
            }
            assert!(found >= at_least, "{place}: {found}");
        }
    }
}
