//! Which keys exist, and which one a misspelt key probably meant.

use super::settings::{PLANNED, SETTINGS};

/// Keys that are not in the table because they hold lists or maps.
const STRUCTURED: [&str; 3] = ["cluster.nodes", "network.dial", "auth.issuers"];

/// Fails if a key does not exist, with a suggestion.
pub(super) fn check(path: &str) -> Result<(), String> {
    if SETTINGS.iter().any(|setting| setting.key == path) || STRUCTURED.contains(&path) {
        return Ok(());
    }
    if PLANNED.iter().any(|key| path == *key || is_below(path, key)) {
        return Err(format!("{path} has no effect in this version; remove it"));
    }
    if is_section(path) {
        return Err(format!("{path} is a section, not a setting"));
    }
    let known = SETTINGS.iter().map(|setting| setting.key).chain(STRUCTURED);
    Err(format!("unknown key {path:?}{}", nearest(path, known)))
}

/// Whether a key has settings below it.
pub(super) fn is_section(path: &str) -> bool {
    SETTINGS.iter().any(|setting| is_below(setting.key, path))
        || STRUCTURED.iter().any(|key| is_below(key, path))
        || PLANNED.iter().any(|key| is_below(key, path))
}

fn is_below(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}

/// `; did you mean ...?`, if a known key is close enough.
pub(super) fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    let best = known.map(|key| (distance(wrong, key), key)).min();
    // Up to a third of the letters may differ; beyond that a guess only misleads.
    match best {
        Some((edits, key)) if edits <= wrong.len().max(key.len()) / 3 => {
            format!("; did you mean {key:?}?")
        }
        _ => String::new(),
    }
}

/// Levenshtein distance: the number of single-letter edits between two words.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(other.chars()) {
            let substituted = diagonal + usize::from(a != b);
            diagonal = *cell;
            left = substituted.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_key_is_suggested() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        let hint = nearest("raft.hartbeat", ["raft.heartbeat", "raft.election_min"].into_iter());
        assert_eq!(hint, "; did you mean \"raft.heartbeat\"?");
        assert_eq!(nearest("zzz", ["raft.heartbeat"].into_iter()), "");
    }
}
