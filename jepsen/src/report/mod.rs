//! `report.html`: the results of a run, for people. One file, without network access or scripts.
//!
//! Everything here comes from the run directory and the judgement; nothing is judged here. Reading
//! order: [`summary`] (the words), [`plot`] and [`timeline`] (the charts), [`html`] (the page).

#![expect(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "a page is put together once; `write!` would only add results that cannot fail"
)]

mod html;
mod plot;
mod summary;
mod timeline;

pub use summary::unit;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::judge::check::{Evidence, Judgement, Verdict, wgl};
use crate::record::node_log;

/// Log lines are shown from this long before the first error to this long after it.
const EXCERPT_MS: u64 = 2_000;
/// At most this many lines per node.
const EXCERPT_LINES: usize = 40;

/// Writes the report of a judged run; returns its path.
pub fn write(dir: &Path, evidence: &Evidence, judgement: &Judgement) -> anyhow::Result<PathBuf> {
    let first_error = judgement
        .findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::False)
        .filter_map(|finding| finding.first_at)
        .min();
    let is_stuck = judgement
        .findings
        .iter()
        .any(|finding| finding.checker == "wgl" && finding.verdict == Verdict::False);
    let excerpt = match first_error.and_then(|at| evidence.metadata.unix_ms(at)) {
        Some(ms) => {
            let from = ms.saturating_sub(EXCERPT_MS);
            node_log::between(dir, from, ms + EXCERPT_MS, EXCERPT_LINES)?
        }
        None => Vec::new(),
    };
    let page = html::page(&html::Contents {
        evidence,
        judgement,
        first_error,
        stuck: if is_stuck { wgl::stuck(evidence) } else { Vec::new() },
        excerpt,
    });
    let place = dir.join("report.html");
    fs::write(&place, page).with_context(|| format!("cannot write {}", place.display()))?;
    Ok(place)
}
