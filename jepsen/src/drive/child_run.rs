//! One run in a process of its own: if the harness crashes, that is one failed run in a table.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::record::run_metadata;

/// A run takes its seconds, the calm, and at most this long for starting, closing and judging.
const OVERHEAD_MAX: Duration = Duration::from_mins(15);
const POLL_EVERY: Duration = Duration::from_millis(100);
/// How many lines of a run's output are kept for the table.
const SAID_LINES: usize = 12;

/// The result of a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunVerdict {
    /// Nothing wrong was found.
    True,
    /// Not enough was seen.
    Unknown,
    /// The harness failed, so nothing is known.
    HarnessFailed,
    /// Something wrong was seen.
    False,
}

impl RunVerdict {
    /// All results, in the order of the columns of a table.
    pub const ALL: [Self; 4] = [Self::True, Self::False, Self::Unknown, Self::HarnessFailed];

    /// As shown in tables.
    pub const fn text(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::Unknown => "unknown",
            Self::HarnessFailed => "harness failed",
            Self::False => "FALSE",
        }
    }

    /// The exit code for this result.
    pub const fn code(self) -> u8 {
        match self {
            Self::True => 0,
            Self::False => 1,
            Self::Unknown => 2,
            Self::HarnessFailed => 3,
        }
    }

    /// The result that an exit status stands for.
    pub fn of(status: ExitStatus) -> Self {
        match status.code() {
            Some(0) => Self::True,
            Some(1) => Self::False,
            Some(2) => Self::Unknown,
            _ => Self::HarnessFailed,
        }
    }
}

/// One finished run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FinishedRun {
    /// Its result.
    #[serde(rename = "word")]
    pub verdict: RunVerdict,
    /// Its directory, if it got that far.
    pub dir: Option<String>,
    /// How long it took in total.
    pub took_seconds: u64,
    /// The arguments of `jepsen run`.
    pub arguments: Vec<String>,
    /// The last lines it printed, unless its verdict is true.
    #[serde(rename = "said")]
    pub output: Vec<String>,
}

/// Runs `jepsen run` with these arguments. Its output is kept beside the store while it runs.
pub fn run(arguments: &[String], seconds: u64, store: &Path) -> anyhow::Result<FinishedRun> {
    fs::create_dir_all(store).with_context(|| format!("cannot create {}", store.display()))?;
    let place = store.join(format!("{}.out", run_metadata::utc_now()?));
    let out = File::create(&place).with_context(|| format!("cannot write {}", place.display()))?;
    let started = Instant::now();
    let mut child = Command::new(std::env::current_exe().context("where is jepsen?")?)
        .arg("run")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        // In a process group of its own, so that its nodes can be killed with it.
        .process_group(0)
        .spawn()
        .context("cannot start jepsen")?;
    let status = wait(&mut child, Duration::from_secs(seconds) * 2 + OVERHEAD_MAX)?;
    let said = fs::read_to_string(&place).context("cannot read what the run printed")?;
    fs::remove_file(&place)?;
    let verdict = status.map_or(RunVerdict::HarnessFailed, RunVerdict::of);
    let lines = said.lines().filter(|line| verdict != RunVerdict::True && !line.contains(" true "));
    let mut last_lines: Vec<String> = lines.map(str::to_owned).collect();
    last_lines = last_lines.split_off(last_lines.len().saturating_sub(SAID_LINES));
    if status.is_none() {
        last_lines.push("it did not end in time, and was killed".to_owned());
    }
    Ok(FinishedRun {
        verdict,
        dir: directory(&said).map(|dir| dir.display().to_string()),
        took_seconds: started.elapsed().as_secs(),
        arguments: arguments.to_vec(),
        output: last_lines,
    })
}

/// Waits for the end; `None` if it had to be killed.
fn wait(child: &mut Child, limit: Duration) -> anyhow::Result<Option<ExitStatus>> {
    let until = Instant::now() + limit;
    while Instant::now() < until {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        thread::sleep(POLL_EVERY);
    }
    Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status()?;
    child.wait()?;
    Ok(None)
}

/// The run directory, from the last line of the output: `verdict: true (DIR)`.
fn directory(said: &str) -> Option<PathBuf> {
    let line = said.lines().rev().find(|line| line.starts_with("verdict: "))?;
    let (_, rest) = line.split_once('(')?;
    Some(PathBuf::from(rest.strip_suffix(')')?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_is_read_from_the_last_line() {
        let said = "witness true\nverdict: unknown (store/a-b (1))\n";
        assert_eq!(directory(said), Some(PathBuf::from("store/a-b (1)")));
        assert_eq!(directory("jepsen: no binary\n"), None);
    }
}
