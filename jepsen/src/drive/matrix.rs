//! Many short, different runs: every workload under every nemesis.
//!
//! Each run is a process of its own, so a crash of the harness is one failed run in the table.
//! `matrix-<utc>.json` is rewritten after every run, so nothing is lost.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};

use crate::drive::child_run::{self, FinishedRun, RunVerdict};
use crate::drive::nemesis::Nemesis;
use crate::drive::workload::Kind;
use crate::record::json_file::write_json;
use crate::record::run_metadata;

/// What to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grid {
    /// Names of the workloads.
    pub workloads: Vec<String>,
    /// Names of the nemeses.
    pub nemeses: Vec<String>,
    /// How often each combination is run.
    pub times: u64,
    /// How many seconds the clients of a run run.
    pub seconds: u64,
    /// Seed of the first run; every further run takes the next seed.
    pub seed: u64,
    /// Directory for run directories.
    pub store: PathBuf,
    /// Further arguments of every run.
    pub further: Vec<String>,
    /// Further arguments used in turn, one of them per run.
    pub alternate: Vec<String>,
    /// The fault build, for runs that need it; all others use the plain binary.
    pub fault_binary: Option<PathBuf>,
}

/// One workload under one nemesis.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cell {
    /// The workload.
    pub workload: String,
    /// The nemesis.
    pub nemesis: String,
    /// The result of each run.
    pub runs: Vec<FinishedRun>,
}

/// `matrix-<utc>.json`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Matrix {
    /// When it started.
    pub started: String,
    /// The commit it ran at.
    pub commit: String,
    /// The machine.
    pub machine: String,
    /// Every cell so far.
    pub cells: Vec<Cell>,
}

impl Matrix {
    /// How many runs ended with this result.
    pub fn count(&self, verdict: RunVerdict) -> usize {
        self.cells.iter().map(|cell| cell.count(verdict)).sum()
    }

    /// The worst result of all runs; unknown if there were none.
    pub fn worst(&self) -> RunVerdict {
        let verdicts = self.cells.iter().flat_map(|cell| &cell.runs).map(|ran| ran.verdict);
        verdicts.max().unwrap_or(RunVerdict::Unknown)
    }
}

impl Cell {
    fn count(&self, verdict: RunVerdict) -> usize {
        self.runs.iter().filter(|ran| ran.verdict == verdict).count()
    }
}

/// The arguments of every run, in order, with the index of its cell.
fn plan(grid: &Grid) -> Vec<(usize, Vec<String>)> {
    let mut runs = Vec::new();
    let cells = || grid.workloads.iter().flat_map(|w| grid.nemeses.iter().map(move |n| (w, n)));
    for (at, seed) in (0..grid.times.saturating_mul(cells().count() as u64)).zip(grid.seed..) {
        let count = cells().count();
        let cell = usize::try_from(at).unwrap_or(0) % count.max(1);
        let Some((workload, nemesis)) = cells().nth(cell) else { continue };
        let mut arguments: Vec<String> = [
            "--workload",
            workload,
            "--nemesis",
            nemesis,
            "--seconds",
            &grid.seconds.to_string(),
            "--seed",
            &seed.to_string(),
            "--store",
            &grid.store.to_string_lossy(),
        ]
        .map(str::to_owned)
        .into();
        arguments.extend(grid.further.iter().cloned());
        if !grid.alternate.is_empty() {
            // Shifted by row, column and round, so that no nemesis always gets the same one.
            let round = usize::try_from(at).unwrap_or(0) / count.max(1);
            let columns = grid.nemeses.len().max(1);
            let turn = (cell / columns + cell % columns + round) % grid.alternate.len();
            let verdicts = grid.alternate.get(turn).map(|text| text.split_whitespace());
            arguments.extend(verdicts.into_iter().flatten().map(str::to_owned));
        }
        let needs_it = Nemesis::from_str(nemesis, false).is_ok_and(Nemesis::needs_fault_build)
            || Kind::from_str(workload, false).is_ok_and(Kind::ends_holds);
        if let Some(binary) = grid.fault_binary.as_ref().filter(|_| needs_it) {
            arguments.extend(["--fault-binary".to_owned(), binary.to_string_lossy().into_owned()]);
        }
        runs.push((cell, arguments));
    }
    runs
}

/// Runs the whole grid; returns the results and the file they were written to.
pub fn run(grid: &Grid, out: &mut impl io::Write) -> anyhow::Result<(Matrix, PathBuf)> {
    let started = run_metadata::utc_now()?;
    let place = grid.store.join(format!("matrix-{started}.json"));
    let cell = |workload: &String, nemesis: &String| Cell {
        workload: workload.clone(),
        nemesis: nemesis.clone(),
        runs: Vec::new(),
    };
    let cells = grid.workloads.iter().flat_map(|w| grid.nemeses.iter().map(move |n| cell(w, n)));
    let mut matrix = Matrix {
        started,
        commit: run_metadata::commit(),
        machine: run_metadata::machine(),
        cells: cells.collect(),
    };
    let runs = plan(grid);
    for (number, (at, arguments)) in (1..).zip(&runs) {
        let Some(cell) = matrix.cells.get_mut(*at) else { continue };
        write!(out, "{number}/{}: {} x {} ... ", runs.len(), cell.workload, cell.nemesis)?;
        out.flush()?;
        let ran = child_run::run(arguments, grid.seconds, &grid.store)?;
        writeln!(out, "{} in {} s", ran.verdict.text(), ran.took_seconds)?;
        for line in &ran.output {
            writeln!(out, "    {line}")?;
        }
        cell.runs.push(ran);
        write_json(&place, &matrix)?;
    }
    Ok((matrix, place))
}

/// The table of a matrix, in Markdown.
pub fn table(matrix: &Matrix) -> String {
    let mut text = String::from(
        "| Workload | Nemesis | Runs | true | FALSE | unknown | harness failed |\n|---|---|---:|---:|---:|---:|---:|\n",
    );
    let mut row = |workload: &str, nemesis: &str, runs: usize, counts: [usize; 4]| {
        let [yes, no, unknown, failed] = counts;
        // Writing to a string does not fail.
        _ = writeln!(
            text,
            "| {workload} | {nemesis} | {runs} | {yes} | {no} | {unknown} | {failed} |"
        );
    };
    for cell in &matrix.cells {
        let counts = RunVerdict::ALL.map(|verdict| cell.count(verdict));
        row(&cell.workload, &cell.nemesis, cell.runs.len(), counts);
    }
    let counts = RunVerdict::ALL.map(|verdict| matrix.count(verdict));
    row("all", "", counts.iter().sum(), counts);
    text
}

/// Reads the file of an earlier matrix.
pub fn read(place: &Path) -> anyhow::Result<Matrix> {
    Ok(serde_json::from_str(&std::fs::read_to_string(place)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        Grid {
            workloads: vec!["a".into(), "b".into()],
            nemeses: vec!["x".into(), "y".into()],
            times: 2,
            seconds: 60,
            seed: 10,
            store: "store".into(),
            further: vec!["--calm".into(), "2".into()],
            alternate: vec!["--network proxy".into(), "--network netns".into(), String::new()],
            fault_binary: Some("fault".into()),
        }
    }

    #[test]
    fn only_cells_that_need_the_fault_build_get_it() {
        let grid = Grid {
            workloads: vec!["flash_sale".into(), "conservation".into()],
            nemeses: vec!["kill".into(), "power".into()],
            times: 1,
            ..grid()
        };
        let given = plan(&grid);
        let has = |arguments: &Vec<String>| arguments.iter().any(|a| a == "--fault-binary");
        let has: Vec<bool> = given.iter().map(|(_, arguments)| has(arguments)).collect();
        assert_eq!(has, [false, true, true, true], "{given:?}");
    }

    #[test]
    fn every_cell_is_run_as_often_as_asked_each_time_with_another_seed() {
        let runs = plan(&grid());
        let cells: Vec<usize> = runs.iter().map(|(cell, _)| *cell).collect();
        assert_eq!(cells, [0, 1, 2, 3, 0, 1, 2, 3]);
        let text: Vec<String> = runs.iter().map(|(_, arguments)| arguments.join(" ")).collect();
        let head = "--workload a --nemesis x --seconds 60 --seed 10 --store store --calm 2";
        assert_eq!(text[0], format!("{head} --network proxy"));
        assert!(text[1].contains("--nemesis y") && text[1].ends_with("--network netns"));
        assert!(text[2].contains("--seed 12") && text[2].ends_with("--network netns"));
        assert!(text[7].contains("--workload b --nemesis y") && text[7].contains("--seed 17"));
    }

    /// Story: with two networks and eight nemeses, `partition` always ran over proxies and `link`
    /// always over namespaces.
    #[test]
    fn every_nemesis_meets_every_alternative() {
        let networks = ["proxy", "netns"];
        let alternate = networks.map(|network| format!("--network {network}")).into();
        let grid = Grid { times: 1, alternate, ..grid() };
        for (nemesis, network) in ["x", "y"].iter().flat_map(|n| networks.map(|w| (n, w))) {
            let met = plan(&grid).into_iter().any(|(_, arguments)| {
                let has = |verdict: &str| arguments.iter().any(|argument| argument == verdict);
                has(nemesis) && has(network)
            });
            assert!(met, "{nemesis} over {network}");
        }
    }

    #[test]
    fn the_worst_run_speaks_for_the_matrix_and_failures_are_counted() {
        let ran = |verdict| FinishedRun {
            verdict,
            dir: None,
            took_seconds: 1,
            arguments: Vec::new(),
            output: Vec::new(),
        };
        let cell = |verdicts: &[RunVerdict]| Cell {
            workload: "a".into(),
            nemesis: "x".into(),
            runs: verdicts.iter().map(|verdict| ran(*verdict)).collect(),
        };
        let matrix = |cells| Matrix {
            started: String::new(),
            commit: String::new(),
            machine: String::new(),
            cells,
        };
        let one = matrix(vec![
            cell(&[RunVerdict::True, RunVerdict::HarnessFailed]),
            cell(&[RunVerdict::Unknown]),
        ]);
        assert_eq!(one.worst(), RunVerdict::HarnessFailed);
        assert!(table(&one).ends_with("| all |  | 3 | 1 | 0 | 1 | 1 |\n"), "{}", table(&one));
        assert_eq!(
            matrix(vec![cell(&[RunVerdict::False, RunVerdict::HarnessFailed])]).worst(),
            RunVerdict::False
        );
        assert_eq!(matrix(Vec::new()).worst(), RunVerdict::Unknown);
    }
}
