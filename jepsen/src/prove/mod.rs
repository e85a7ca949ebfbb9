//! `jepsen prove`: shows that the tests can fail.
//!
//! A test that has never failed shows nothing. So each seeded bug of the product is armed, one at a
//! time, and the test or checker that [`table::ROWS`] names must fail by its own assertion. A
//! crash, an abort or a timeout does not count, and neither does a test that fails without the bug.
//! One fault build serves all rows, and inputs are fixed, so a verdict can be repeated.

mod canary;
mod live;
mod simulation;
pub mod table;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::drive::binary;
use crate::judge::check::Verdict;
use table::{Catcher, Layer, NOT_PROVED, ROWS, Row};

/// Time limit of a test.
const LIMIT: Duration = Duration::from_mins(2);
/// How often a running test is checked.
const POLL_EVERY: Duration = Duration::from_millis(10);
/// Seed of the property tests: any number, as long as it stays the same.
const PROPERTY_SEED: &str = "1";
/// The packages to build: all with tests that rows name, and the one with the feature.
const PACKAGES: [&str; 5] =
    ["firstcome", "firstcome-domain", "firstcome-storage", "firstcome-raft", "firstcome-api"];

/// Options of `jepsen prove`.
#[derive(Clone, Debug)]
pub struct Options {
    /// The repository.
    pub top: PathBuf,
    /// Target directory of the fault build.
    pub target_dir: PathBuf,
    /// File for the table, as JSON.
    pub out: PathBuf,
    /// File for the table, as Markdown.
    pub markdown: Option<PathBuf>,
    /// Only rows that need no cluster.
    pub quick: bool,
    /// Only rows of these bugs; all if empty.
    pub only: Vec<String>,
    /// Only rows of this layer.
    pub layer: Option<Layer>,
    /// A fault build of the product, for real nodes.
    pub fault_binary: Option<PathBuf>,
    /// How many seconds the clients of a run on real nodes run.
    pub seconds: u64,
    /// The seed of the first of these runs.
    pub seed: u64,
    /// Directory for these runs.
    pub store: PathBuf,
    /// The simulation; without it its rows are not run.
    pub sim: PathBuf,
}

/// The result of one row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Noticed, after this time, with this message.
    Caught(Duration, String),
    /// The test passed with the bug in it.
    Missed,
    /// It fails without the bug, or ended in a way that shows nothing.
    Worthless(String),
    /// Something needed for it is missing here.
    NotRun(String),
}

impl Outcome {
    const fn name(&self) -> &'static str {
        match self {
            Self::Caught(..) => "caught",
            Self::Missed => "MISSED",
            Self::Worthless(_) => "WORTHLESS",
            Self::NotRun(_) => "not run",
        }
    }

    const fn verdict(&self) -> Verdict {
        match self {
            Self::Caught(..) => Verdict::True,
            Self::Missed | Self::Worthless(_) => Verdict::False,
            Self::NotRun(_) => Verdict::Unknown,
        }
    }
}

/// Arms one bug at a time; prints and writes the table.
pub fn run(options: &Options) -> anyhow::Result<Verdict> {
    let began = Instant::now();
    let rows = chosen(options)?;
    if let Some(binary) = &options.fault_binary {
        binary::ensure_built(binary, "--fault-binary", binary::BUILD_FAULT)?;
    }
    let binaries = if rows.iter().any(is_test) { build(options)? } else { Binaries::default() };
    let built = began.elapsed();
    let passing = controls(options, &binaries, &rows);
    // Real nodes need the machine to themselves.
    let (live, others): (Vec<Row>, Vec<Row>) = rows.into_iter().partition(is_live);
    let outcomes =
        side_by_side(&others, |row| announce(row, prove(options, &binaries, &passing, row)));
    let mut proved: Vec<(Row, Outcome)> = others.into_iter().zip(outcomes).collect();
    proved.extend(live.into_iter().map(|row| (row, announce(&row, live::prove(options, &row)))));
    proved.sort_by_key(|(row, _)| ROWS.iter().position(|other| other == row));
    let verdict = overall(&proved);
    print(&proved, built, began.elapsed())?;
    write(options, &proved, verdict)?;
    Ok(verdict)
}

/// The rows to run.
fn chosen(options: &Options) -> anyhow::Result<Vec<Row>> {
    for bug in &options.only {
        ensure!(ROWS.iter().any(|row| row.bug == bug), "no row is about the bug {bug:?}");
    }
    let takes_no_cluster = |row: &Row| is_test(row) || row.catcher == Catcher::Recorded;
    let wanted = |row: &Row| {
        (!options.quick || takes_no_cluster(row))
            && (options.only.is_empty() || options.only.iter().any(|bug| bug == row.bug))
            && options.layer.is_none_or(|layer| layer == row.layer)
    };
    Ok(ROWS.iter().copied().filter(wanted).collect())
}

/// Prints the result of a row as soon as it is known.
fn announce(row: &Row, outcome: Outcome) -> Outcome {
    let mut out = io::stdout().lock();
    // The terminal may be gone; the table is written anyway.
    _ = line(&mut out, row, &outcome);
    outcome
}

const fn is_live(row: &Row) -> bool {
    matches!(row.catcher, Catcher::Live { .. })
}

const fn is_test(row: &Row) -> bool {
    matches!(row.catcher, Catcher::Test { .. })
}

/// False beats unknown beats true.
fn overall(proved: &[(Row, Outcome)]) -> Verdict {
    let has = |wanted| proved.iter().any(|(_, outcome)| outcome.verdict() == wanted);
    if has(Verdict::False) {
        Verdict::False
    } else if has(Verdict::Unknown) || proved.is_empty() {
        Verdict::Unknown
    } else {
        Verdict::True
    }
}

/// Test binaries by the folder of their package and their target.
type Binaries = BTreeMap<(String, String), PathBuf>;

fn build(options: &Options) -> anyhow::Result<Binaries> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args([
        "test",
        "--no-run",
        "--message-format=json",
        "--lib",
        "--test",
        "rules",
        "--test",
        "storage",
    ]);
    command.args(PACKAGES.iter().flat_map(|package| ["-p", package]));
    command.args(["--features", "firstcome/fault", "--target-dir"]).arg(&options.target_dir);
    command.current_dir(&options.top).stdin(Stdio::null()).stderr(Stdio::inherit());
    let built = command.output().context("cannot start cargo")?;
    ensure!(built.status.success(), "the fault build failed: {}", built.status);
    let binaries = binaries(&String::from_utf8_lossy(&built.stdout));
    ensure!(!binaries.is_empty(), "cargo named no test binary");
    Ok(binaries)
}

/// Parses the output of cargo, line by line.
fn binaries(messages: &str) -> Binaries {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    messages
        .filter_map(|message| {
            let executable = PathBuf::from(message["executable"].as_str()?);
            let folder = Path::new(message["manifest_path"].as_str()?).parent()?.file_name()?;
            let target = message["target"]["name"].as_str()?.to_owned();
            Some(((folder.to_string_lossy().into_owned(), target), executable))
        })
        .collect()
}

/// Runs every named test without a bug; returns the messages of those that do not pass.
fn controls(options: &Options, binaries: &Binaries, rows: &[Row]) -> BTreeMap<String, String> {
    let mut unique: Vec<Row> = rows.iter().copied().filter(is_test).collect();
    unique.sort_by_key(|row| row.catcher.name());
    unique.dedup_by_key(|row| row.catcher.name());
    let failures = side_by_side(&unique, |row| match test(options, binaries, &row.catcher, "") {
        Ok(TestResult::Passed) => None,
        Ok(TestResult::Failed(why)) => Some(format!("it fails without the bug: {why}")),
        Ok(TestResult::Nothing(why)) => Some(format!("without the bug: {why}")),
        Err(error) => Some(format!("{error:#}")),
    });
    let named = unique.iter().zip(failures);
    named.filter_map(|(row, wrong)| Some((row.catcher.name(), wrong?))).collect()
}

fn prove(
    options: &Options,
    binaries: &Binaries,
    wrong: &BTreeMap<String, String>,
    row: &Row,
) -> Outcome {
    match row.catcher {
        Catcher::Test { .. } => {}
        Catcher::Recorded => return canary::prove(&options.top),
        Catcher::Simulation(checks) => return simulation::prove(&options.sim, row.bug, checks),
        Catcher::Live { .. } => return live::prove(options, row),
    }
    if let Some(why) = wrong.get(&row.catcher.name()) {
        return Outcome::Worthless(why.clone());
    }
    let began = Instant::now();
    match test(options, binaries, &row.catcher, row.bug) {
        Ok(TestResult::Failed(words)) => Outcome::Caught(began.elapsed(), words),
        Ok(TestResult::Passed) => Outcome::Missed,
        Ok(TestResult::Nothing(why)) => Outcome::Worthless(why),
        Err(error) => Outcome::Worthless(format!("{error:#}")),
    }
}

/// The result of one test.
#[derive(Clone, PartialEq, Eq, Debug)]
enum TestResult {
    Passed,
    /// It failed by an assertion of its own, with this message.
    Failed(String),
    /// It ended in another way.
    Nothing(String),
}

fn test(
    options: &Options,
    binaries: &Binaries,
    catcher: &Catcher,
    bug: &str,
) -> anyhow::Result<TestResult> {
    let Catcher::Test { package, target, name } = catcher else { bail!("it is no test") };
    let binary = binaries
        .get(&((*package).to_owned(), (*target).to_owned()))
        .with_context(|| format!("there is no test binary {target} of {package}"))?;
    let mut command = Command::new(binary);
    command.args([name, "--exact", "--test-threads", "1"]);
    command.current_dir(options.top.join(package)).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    command.env("FIRSTCOME_FAULT_BUG", bug).env("RUST_BACKTRACE", "0");
    command.env("PROPTEST_RNG_SEED", PROPERTY_SEED).env_remove("PROPTEST_CASES");
    let child = command.spawn().with_context(|| format!("cannot start {}", binary.display()))?;
    Ok(match finish(child)? {
        Some(said) => judge(name, &said),
        None => TestResult::Nothing(format!("no end within {} s", LIMIT.as_secs())),
    })
}

/// Waits for the end of a test; `None` if it took too long and was killed.
fn finish(mut child: Child) -> io::Result<Option<String>> {
    let mut stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        stdout.read_to_end(&mut said).map(|_| said)
    });
    let end = Instant::now() + LIMIT;
    let mut in_time = true;
    while child.try_wait()?.is_none() {
        if Instant::now() >= end {
            in_time = false;
            child.kill()?;
            child.wait()?;
            break;
        }
        std::thread::sleep(POLL_EVERY);
    }
    let said = reader.join().map_err(|_| io::Error::other("the reader panicked"))??;
    Ok(in_time.then(|| String::from_utf8_lossy(&said).into_owned()))
}

/// Parses what the test harness printed about one test.
fn judge(name: &str, said: &str) -> TestResult {
    let has = |text: &str| said.contains(text);
    if has(&format!("test {name} ... ok")) && has("test result: ok. 1 passed") {
        return TestResult::Passed;
    }
    let failed = has(&format!("test {name} ... FAILED")) && has("test result: FAILED. 0 passed; 1");
    if !failed {
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing");
        return TestResult::Nothing(format!(
            "the test harness does not report its failure; its last line is: {last}"
        ));
    }
    // The last panic ended the test; a property test has others on its way.
    let panics: Vec<&str> = said.split("panicked at ").skip(1).collect();
    let last = panics.last().copied().unwrap_or_default();
    let place = last.lines().next().unwrap_or_default().trim_end_matches(':');
    let words = last.lines().nth(1).unwrap_or_default();
    let words: String = words.chars().take(300).collect();
    // A unit test is in the file of its module.
    let module = name.split_once("::tests::").map_or("suite", |(module, _)| module);
    if place.contains("tests/") || place.contains(&format!("src/{module}.rs")) {
        TestResult::Failed(format!("{place}: {words}"))
    } else {
        TestResult::Nothing(format!("it panicked outside of the test, at {place}: {words}"))
    }
}

/// Works on as many items at once as there are cores; returns results in the order of the items.
fn side_by_side<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((place, item)) = {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    items.get(place).map(|item| (place, item))
                } {
                    let result = work(item);
                    if let Ok(mut done) = done.lock() {
                        done.push((place, result));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

fn line(out: &mut impl io::Write, row: &Row, outcome: &Outcome) -> io::Result<()> {
    let time = match outcome {
        Outcome::Caught(time, _) => format!("{:.2} s", time.as_secs_f64()),
        _ => String::new(),
    };
    let (layer, catcher) = (row.layer.name(), row.catcher.name());
    writeln!(out, "{:<36} {layer:<5} {catcher:<60} {time:>7}  {}", row.bug, outcome.name())?;
    match outcome {
        Outcome::Worthless(why) | Outcome::NotRun(why) => writeln!(out, "    - {why}"),
        Outcome::Caught(_, words) if is_live(row) => writeln!(out, "    - {words}"),
        _ => Ok(()),
    }
}

fn print(proved: &[(Row, Outcome)], built: Duration, all: Duration) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "\n{:<36} {:<5} {:<60} {:>7}  verdict", "bug", "layer", "catcher", "time")?;
    for (row, outcome) in proved {
        line(&mut out, row, outcome)?;
    }
    for (bug, layer, why) in NOT_PROVED {
        writeln!(out, "{bug:<36} {:<5} not proved: {why}", layer.name())?;
    }
    let caught = proved.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Caught(..)));
    let (caught, rows) = (caught.count(), proved.len());
    let (built, ran) = (built.as_secs(), all.saturating_sub(built).as_secs());
    writeln!(out, "{caught} of {rows} rows caught; build {built} s, tests {ran} s")
}

fn write(options: &Options, proved: &[(Row, Outcome)], verdict: Verdict) -> anyhow::Result<()> {
    let rows: Vec<Value> = proved
        .iter()
        .map(|(row, outcome)| {
            let (time, text) = match outcome {
                Outcome::Caught(time, words) => (Some(time.as_secs_f64()), words.as_str()),
                Outcome::Worthless(why) | Outcome::NotRun(why) => (None, why.as_str()),
                Outcome::Missed => (None, ""),
            };
            json!({
                "bug": row.bug,
                "layer": row.layer.name(),
                "catcher": row.catcher.name(),
                "verdict": outcome.name(),
                "seconds": time,
                "told": text,
            })
        })
        .collect();
    let not_proved: Vec<Value> = NOT_PROVED
        .iter()
        .map(|(bug, layer, why)| json!({ "bug": bug, "layer": layer.name(), "why": why }))
        .collect();
    let table = json!({
        "format": 1,
        "verdict": format!("{verdict:?}").to_lowercase(),
        "property_seed": PROPERTY_SEED,
        "rows": rows,
        "not_proved": not_proved,
    });
    if let Some(folder) = options.out.parent() {
        fs::create_dir_all(folder)?;
    }
    let save = |place: &Path, text: String| {
        fs::write(place, text).with_context(|| format!("cannot write {}", place.display()))
    };
    save(&options.out, format!("{}\n", serde_json::to_string_pretty(&table)?))?;
    options.markdown.as_deref().map_or(Ok(()), |place| save(place, markdown(proved)))
}

/// The table for people.
fn markdown(proved: &[(Row, Outcome)]) -> String {
    let mut text =
        String::from("| Bug | Layer | Caught by | Time | Verdict |\n|---|---|---|---:|---|\n");
    for (row, outcome) in proved {
        let time = match outcome {
            Outcome::Caught(time, _) => format!("{:.2} s", time.as_secs_f64()),
            _ => String::new(),
        };
        let (layer, catcher) = (row.layer.name(), row.catcher.name());
        let (bug, word) = (row.bug, outcome.name());
        // Writing to a string cannot fail.
        _ = writeln!(text, "| `{bug}` | {layer} | {catcher} | {time} | {word} |");
    }
    for (bug, layer, why) in NOT_PROVED {
        _ = writeln!(text, "| `{bug}` | {} | | | not proved: {why} |", layer.name());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::table::Layer;
    use super::*;

    const NAME: &str = "properties::p02";

    fn said(ending: &str, place: &str) -> String {
        format!(
            "running 1 test\ntest {NAME} ... FAILED\n\nthread '{NAME}' (7) panicked at \
             {place}:\nassertion failed: replayed\n\n{ending}"
        )
    }

    #[test]
    fn only_a_failed_assertion_of_the_test_counts() {
        let failed = "test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured";
        let own = judge(NAME, &said(failed, "domain/tests/rules/properties.rs:30:52"));
        let announce = "domain/tests/rules/properties.rs:30:52: assertion failed: replayed";
        assert_eq!(own, TestResult::Failed(announce.to_owned()));
        // Aborted before the summary; a panic of the product; another test; no test at all.
        for said in [
            said("", "domain/tests/rules/properties.rs:30:52"),
            said(failed, "domain/src/stock.rs:100:9"),
            said(failed, "domain/tests/x.rs:1:1").replace(NAME, "properties::p03"),
            "running 0 tests\n\ntest result: ok. 0 passed; 0 failed".to_owned(),
            String::new(),
        ] {
            assert!(matches!(judge(NAME, &said), TestResult::Nothing(_)), "{said}");
        }
        let passed = format!("test {NAME} ... ok\n\ntest result: ok. 1 passed; 0 failed");
        assert_eq!(judge(NAME, &passed), TestResult::Passed);
    }

    #[test]
    fn one_missed_bug_makes_the_whole_false_and_one_not_run_unknown() {
        let row = ROWS[0];
        let caught = || (row, Outcome::Caught(Duration::ZERO, String::new()));
        let not_run = || Outcome::NotRun(String::new());
        assert_eq!(overall(&[caught(), caught()]), Verdict::True);
        assert_eq!(overall(&[caught(), (row, not_run())]), Verdict::Unknown);
        let all = [caught(), (row, not_run()), (row, Outcome::Missed)];
        assert_eq!(overall(&all), Verdict::False);
        assert_eq!(overall(&[]), Verdict::Unknown);
        let worthless = Outcome::Worthless("it fails without the bug".to_owned());
        assert_eq!(overall(&[(row, worthless)]), Verdict::False);
    }

    #[test]
    fn binaries_are_found_in_what_cargo_says() {
        let line = json!({
            "reason": "compiler-artifact",
            "manifest_path": "/x/domain/Cargo.toml",
            "target": { "name": "rules", "kind": ["test"] },
            "executable": "/x/target/debug/deps/rules-1",
        });
        let text = format!("{line}\nnot json\n{{\"reason\":\"build-finished\"}}\n");
        let key = ("domain".to_owned(), "rules".to_owned());
        let expected = BTreeMap::from([(key, PathBuf::from("/x/target/debug/deps/rules-1"))]);
        assert_eq!(binaries(&text), expected);
    }

    #[test]
    fn work_side_by_side_is_answered_in_order() {
        let items: Vec<u32> = (0..100).collect();
        assert_eq!(side_by_side(&items, |item| item * 2), (0..200).step_by(2).collect::<Vec<_>>());
    }

    #[test]
    fn tests_are_of_the_two_lower_layers() {
        for row in ROWS {
            assert_eq!(is_test(row), matches!(row.layer, Layer::L1 | Layer::L2), "{row:?}");
        }
    }
}
