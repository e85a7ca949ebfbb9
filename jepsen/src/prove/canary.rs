//! Every checker rejects its recorded invalid histories, so a checker that accepts everything is
//! noticed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, ensure};

use super::Outcome;
use crate::judge::check::{CHECKERS, Checker, Evidence, Verdict};

/// Judges all recorded histories of all checkers, in the repository at `top`.
pub(super) fn prove(top: &Path) -> Outcome {
    let (began, mut count, mut wrong) = (Instant::now(), 0, Vec::new());
    for checker in CHECKERS {
        match accepted(checker, &top.join("jepsen/regressions/invalid").join(checker.name)) {
            Ok((histories, accepted)) => {
                count += histories;
                wrong.extend(accepted);
            }
            Err(error) => return Outcome::Worthless(format!("{}: {error:#}", checker.name)),
        }
    }
    if wrong.is_empty() {
        let words = format!("{count} histories, each rejected by its checker");
        Outcome::Caught(began.elapsed(), words)
    } else {
        Outcome::Missed
    }
}

/// How many histories there are, and which of them the checker accepts.
fn accepted(checker: &Checker, folder: &Path) -> anyhow::Result<(usize, Vec<PathBuf>)> {
    // Coverage never says false: a run that shows little is not wrong.
    let expected = if checker.name == "coverage" { Verdict::Unknown } else { Verdict::False };
    let entries = fs::read_dir(folder).with_context(|| {
        format!("cannot list {}: prove runs at the top of the repository", folder.display())
    })?;
    let places: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<_>>()?;
    ensure!(!places.is_empty(), "{} is empty", folder.display());
    let mut accepted = Vec::new();
    for place in &places {
        if (checker.check)(&Evidence::read(place)?).verdict != expected {
            accepted.push(place.clone());
        }
    }
    Ok((places.len(), accepted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::check::Finding;

    #[test]
    fn a_checker_that_nods_at_everything_is_noticed() {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        assert!(matches!(prove(&top), Outcome::Caught(..)));
        let nods = Checker { name: "once", applies: |_| true, check: |_| Finding::new("once") };
        let folder = top.join("jepsen/regressions/invalid/once");
        let (count, wrong) = accepted(&nods, &folder).unwrap();
        assert!(count > 0);
        assert_eq!(wrong.len(), count);
        assert!(accepted(&nods, &folder.join("nothing")).is_err());
    }
}
