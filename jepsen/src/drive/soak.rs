//! A long run in segments, each of which continues with the data directories of the last.
//!
//! Every segment is judged like any run, so an error is found within minutes and no history grows
//! without bound.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::drive::child_run::{self, FinishedRun, RunVerdict};
use crate::record::json_file::write_json;
use crate::record::run_metadata;

/// What to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Soak {
    /// Number of segments.
    pub segments: u64,
    /// How many seconds the clients of each segment run.
    pub seconds: u64,
    /// Seed of the first segment; every further one takes the next seed.
    pub seed: u64,
    /// Directory for run directories.
    pub store: PathBuf,
    /// Further arguments of every segment.
    pub further: Vec<String>,
}

/// `soak-<utc>.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Soaked {
    /// When it started.
    pub started: String,
    /// The commit it ran at.
    pub commit: String,
    /// The machine.
    pub machine: String,
    /// How many segments were planned.
    pub wanted: u64,
    /// The result of each segment.
    pub segments: Vec<FinishedRun>,
}

impl Soaked {
    /// The worst result of all segments; unknown if some were not run.
    pub fn worst(&self) -> RunVerdict {
        let missing = (self.segments.len() as u64) < self.wanted;
        let verdicts = self.segments.iter().map(|ran| ran.verdict);
        verdicts.chain(missing.then_some(RunVerdict::Unknown)).max().unwrap_or(RunVerdict::Unknown)
    }
}

/// Runs the segments until one is false or fails; returns the results and the file they were
/// written to.
pub fn run(soak: &Soak, out: &mut impl Write) -> anyhow::Result<(Soaked, PathBuf)> {
    let started = run_metadata::utc_now()?;
    let place = soak.store.join(format!("soak-{started}.json"));
    let mut soaked = Soaked {
        started,
        commit: run_metadata::commit(),
        machine: run_metadata::machine(),
        wanted: soak.segments,
        segments: Vec::new(),
    };
    let mut last: Option<String> = None;
    for (number, seed) in (1..=soak.segments).zip(soak.seed..) {
        write!(out, "segment {number}/{} ... ", soak.segments)?;
        out.flush()?;
        let arguments = arguments(soak, seed, last.as_deref());
        let ran = child_run::run(&arguments, soak.seconds, &soak.store)?;
        writeln!(out, "{} in {} s", ran.verdict.text(), ran.took_seconds)?;
        for line in &ran.output {
            writeln!(out, "    {line}")?;
        }
        let goes_on = matches!(ran.verdict, RunVerdict::True | RunVerdict::Unknown);
        last.clone_from(&ran.dir);
        soaked.segments.push(ran);
        write_json(&place, &soaked)?;
        if !goes_on {
            writeln!(out, "stopped; its data directories are kept as they are")?;
            break;
        }
    }
    Ok((soaked, place))
}

fn arguments(soak: &Soak, seed: u64, last: Option<&str>) -> Vec<String> {
    let mut arguments: Vec<String> = [
        "--keep",
        "--seconds",
        &soak.seconds.to_string(),
        "--seed",
        &seed.to_string(),
        "--store",
        &soak.store.to_string_lossy(),
    ]
    .map(str::to_owned)
    .into();
    arguments.extend(last.into_iter().flat_map(|dir| ["--resume".to_owned(), dir.to_owned()]));
    arguments.extend(soak.further.iter().cloned());
    arguments
}

/// One line for each segment.
pub fn table(soaked: &Soaked, out: &mut impl Write) -> io::Result<()> {
    for (number, ran) in (1..).zip(&soaked.segments) {
        let dir = ran.dir.as_deref().unwrap_or("no directory");
        writeln!(out, "{number:>3}  {:<14} {:>5} s  {dir}", ran.verdict.text(), ran.took_seconds)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_goes_on_with_the_data_of_the_last() {
        let soak = Soak {
            segments: 2,
            seconds: 60,
            seed: 1,
            store: "store".into(),
            further: vec!["--nodes".into(), "5".into()],
        };
        let first = arguments(&soak, 1, None).join(" ");
        assert_eq!(first, "--keep --seconds 60 --seed 1 --store store --nodes 5");
        let second = arguments(&soak, 2, Some("store/one")).join(" ");
        assert!(second.contains("--seed 2 --store store --resume store/one"), "{second}");
    }

    #[test]
    fn segments_that_were_not_run_are_not_true() {
        let ran = FinishedRun {
            verdict: RunVerdict::True,
            dir: None,
            took_seconds: 1,
            arguments: Vec::new(),
            output: Vec::new(),
        };
        let mut soaked = Soaked {
            started: String::new(),
            commit: String::new(),
            machine: String::new(),
            wanted: 2,
            segments: vec![ran.clone()],
        };
        assert_eq!(soaked.worst(), RunVerdict::Unknown);
        soaked.segments.push(ran);
        assert_eq!(soaked.worst(), RunVerdict::True);
    }
}
