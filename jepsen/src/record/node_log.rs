//! The node logs `n1.log`, `n2.log`, ... of a run directory.
//!
//! Lines are JSON objects with a time `ts`. Other lines (a panic goes to stderr as text) get the
//! time of the line before them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::timestamp;

/// Words that a healthy node never logs, in lower case. A thread that panicked logs `bug: ...`.
pub const ALARMS: &[&str] = &["panic", "\"bug: ", " bug: ", "invariant", "corrupt"];
/// How many alarms of one run are kept.
const ALARMS_MAX: usize = 1_000;
/// Longer lines are cut for display.
pub const SHOWN_CHARS: usize = 300;

/// One line of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// The node, by the name of its log.
    pub node: String,
    /// Its line number, from 1.
    pub number: u64,
    /// Its time in ms since 1970, if any line so far had one.
    pub at_ms: Option<u64>,
    /// The line.
    pub text: String,
}

/// All logs of a run, read once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scan {
    /// How many logs there are.
    pub logs: u64,
    /// How many lines they have.
    pub lines: u64,
    /// Lines that should not be there.
    pub alarms: Vec<Line>,
}

/// Looks for alarms in every log of a run directory.
pub fn scan(dir: &Path) -> anyhow::Result<Scan> {
    let mut scan = Scan::default();
    for place in logs(dir)? {
        scan.logs += 1;
        each_line(&place, |line| {
            scan.lines += 1;
            let lower = line.text.to_ascii_lowercase();
            if ALARMS.iter().any(|word| lower.contains(word)) && scan.alarms.len() < ALARMS_MAX {
                scan.alarms.push(line);
            }
        })?;
    }
    Ok(scan)
}

/// At most `max` lines of each log from `from_ms` to `to_ms`, in ms since 1970. A repeated message
/// is shown once.
pub fn between(dir: &Path, from_ms: u64, to_ms: u64, max: usize) -> anyhow::Result<Vec<Line>> {
    let mut found = Vec::new();
    for place in logs(dir)? {
        let mut own: Vec<Line> = Vec::new();
        let mut last = String::new();
        each_line(&place, |line| {
            if line.at_ms.is_some_and(|at| (from_ms..=to_ms).contains(&at)) && own.len() < max {
                let message = message(&line.text);
                if message != last {
                    last = message;
                    own.push(line);
                }
            }
        })?;
        found.append(&mut own);
    }
    Ok(found)
}

fn logs(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        let is_node = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('n'));
        if is_node && path.extension().is_some_and(|ext| ext == "log") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn each_line(place: &Path, mut take: impl FnMut(Line)) -> anyhow::Result<()> {
    let node = place.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let file = File::open(place).with_context(|| format!("cannot open {}", place.display()))?;
    let mut at_ms = None;
    for (number, line) in (1..).zip(BufReader::new(file).split(b'\n')) {
        let line = line.with_context(|| format!("cannot read {}", place.display()))?;
        let text = String::from_utf8_lossy(&line);
        at_ms = time_of(&text).or(at_ms);
        take(Line { node: node.clone(), number, at_ms, text: text.into_owned() });
    }
    Ok(())
}

/// The time of a JSON line, without parsing all of it.
fn time_of(text: &str) -> Option<u64> {
    let (_, rest) = text.rsplit_once("\"ts\":\"")?;
    u64::try_from(timestamp::unix_ms(rest.split('"').next()?)?).ok()
}

fn message(text: &str) -> String {
    let from = text.find("\"msg\":").unwrap_or(0);
    text.get(from..).unwrap_or(text).chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_found_and_has_the_time_of_the_line_before() {
        let dir = tempfile::tempdir().unwrap();
        let log = concat!(
            "{\"level\":\"info\",\"msg\":\"serving\",\"ts\":\"1970-01-01T00:00:02.500Z\"}\n",
            "thread 'log' panicked at storage/src/log.rs:1:\n",
        );
        fs::write(dir.path().join("n1.log"), log).unwrap();
        fs::write(dir.path().join("other.txt"), "panic").unwrap();
        let scan = scan(dir.path()).unwrap();
        assert_eq!((scan.logs, scan.lines, scan.alarms.len()), (1, 2, 1));
        assert_eq!((scan.alarms[0].number, scan.alarms[0].at_ms), (2, Some(2_500)));
        assert_eq!(between(dir.path(), 2_000, 3_000, 9).unwrap().len(), 2);
        assert!(between(dir.path(), 2_501, 3_000, 9).unwrap().is_empty());
    }

    #[test]
    fn a_bug_is_found_in_a_long_line_and_is_no_word_within_another() {
        let dir = tempfile::tempdir().unwrap();
        let padding = "x".repeat(2 * SHOWN_CHARS);
        let log = format!(
            "{{\"error\":\"{padding}\",\"msg\":\"bug: index out of bounds\"}}\n\
             firstcome: bug: attempt to subtract with overflow (at src/main.rs:1)\n\
             {{\"msg\":\"debug: nothing\"}}\n"
        );
        fs::write(dir.path().join("n1.log"), log).unwrap();
        let found: Vec<u64> =
            scan(dir.path()).unwrap().alarms.iter().map(|line| line.number).collect();
        assert_eq!(found, [1, 2]);
    }
}
