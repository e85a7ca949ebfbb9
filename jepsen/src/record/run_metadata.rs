//! How a run was set up, with which binary and on which machine: `test.json`.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

/// The setup of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RunMetadata {
    /// `flash_sale`.
    pub workload: String,
    /// `kill`, `none`, ...
    pub nemesis: String,
    /// How long the clients ran.
    pub seconds: u64,
    /// The source of all randomness.
    pub seed: u64,
    /// How many nodes.
    pub nodes: usize,
    /// The network between the nodes: `proxy`, `netns` or plain `loopback`.
    #[serde(default)]
    pub network: String,
    /// Faults that must take effect at least once: `kill/leader`.
    #[serde(default)]
    pub required: Vec<String>,
    /// Faults of the nemesis that could not be carried out, and what they need.
    #[serde(default)]
    pub missing: Vec<String>,
    /// Faults that chaos left out, and what they need.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<String>,
    /// How long no request was sent after the last fault.
    #[serde(default)]
    pub calm_seconds: u64,
    /// The product binary.
    #[serde(default)]
    pub binary: String,
    /// The version the binary reports.
    #[serde(default)]
    pub version: String,
    /// SHA-256 of the binary.
    #[serde(default)]
    pub binary_sha256: String,
    /// The commit checked out where the run was started, with `-dirty` if files differ from it.
    #[serde(default)]
    pub commit: String,
    /// The version of the harness.
    #[serde(default)]
    pub jepsen: String,
    /// Cores, memory and kernel.
    #[serde(default)]
    pub machine: String,
    /// The arguments of `jepsen`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
    /// The seeded bug that was armed in every node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bug: Option<String>,
    /// When the history began, ms since 1970.
    #[serde(default)]
    pub started_unix_ms: u64,
    /// The earlier run whose data directories it continued with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// The last revision of that run: rows up to it belong to earlier runs.
    #[serde(default)]
    pub baseline: u64,
}

impl RunMetadata {
    /// Converts a wall-clock time to nanoseconds since the run began.
    pub fn since_start(&self, unix_ms: u64) -> Option<u64> {
        (self.started_unix_ms > 0)
            .then(|| unix_ms.saturating_sub(self.started_unix_ms).saturating_mul(1_000_000))
    }

    /// Converts nanoseconds since the run began to ms since 1970.
    pub fn unix_ms(&self, ns: u64) -> Option<u64> {
        (self.started_unix_ms > 0).then(|| self.started_unix_ms + ns / 1_000_000)
    }

    /// The shell command that repeats the run, if it was recorded.
    pub fn command(&self) -> Option<String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@+".contains(c);
        let quoted = |word: &String| {
            let quotes = format!("'{}'", word.replace('\'', "'\\''"));
            if !word.is_empty() && word.chars().all(plain) { word.clone() } else { quotes }
        };
        let words: Vec<String> = self.arguments.iter().map(quoted).collect();
        (!words.is_empty()).then(|| format!("jepsen {}", words.join(" ")))
    }
}

/// SHA-256 of a file, in hex.
pub fn sha256(path: &Path) -> anyhow::Result<String> {
    let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let (mut hasher, mut block) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match file.read(&mut block) {
            Ok(0) => return Ok(format!("{:x}", hasher.finalize())),
            Ok(count) => hasher.update(block.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        }
    }
}

/// The commit checked out here; empty without git or outside a repository.
pub fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    };
    let Some(mut commit) = git(&["rev-parse", "HEAD"]) else { return String::new() };
    if git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty())
    {
        commit.push_str("-dirty");
    }
    commit
}

/// Cores, memory and kernel, as far as this machine tells.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").ok();
    let kib =
        memory.as_deref().and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores, {} GiB, Linux {}", kib.unwrap_or(0) >> 20, kernel.trim())
}

/// The wall clock, in ms since 1970.
pub fn unix_ms() -> anyhow::Result<u64> {
    Ok(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?)
}

/// The current time as `20261122T214500Z`.
pub fn utc_now() -> anyhow::Result<String> {
    Ok(utc(unix_ms()? / 1_000))
}

/// The same for people: `2026-11-22 21:45:00 UTC`.
pub fn utc_text(unix_seconds: u64) -> String {
    let text = utc(unix_seconds);
    let part = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    format!(
        "{}-{}-{} {}:{}:{} UTC",
        part(0, 4),
        part(4, 6),
        part(6, 8),
        part(9, 11),
        part(11, 13),
        part(13, 15)
    )
}

/// A time as `20261122T214500Z`.
pub fn utc(unix_seconds: u64) -> String {
    let at = i64::try_from(unix_seconds).ok();
    let at = at.and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
    let at = at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    format!(
        "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_named_by_utc() {
        assert_eq!(utc(1_795_383_900), "20261122T214500Z");
        assert_eq!(utc(0), "19700101T000000Z");
        assert_eq!(utc_text(1_795_383_900), "2026-11-22 21:45:00 UTC");
    }

    #[test]
    fn a_file_has_the_digest_everybody_knows() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "abc").unwrap();
        let digest = sha256(file.path()).unwrap();
        assert!(digest.starts_with("ba7816bf8f01cfea414140de5dae2223"), "{digest}");
    }
}
