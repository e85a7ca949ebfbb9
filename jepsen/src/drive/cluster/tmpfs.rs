//! Small disks: a size-limited tmpfs under a data directory, which can be filled up.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// Room for a run's files several times over.
const SIZE: &str = "size=192m";
/// What takes the room away.
const BALLAST: &str = "ballast";

/// A mounted disk; dropping it unmounts.
#[derive(Debug)]
pub struct Tmpfs {
    place: PathBuf,
}

impl Tmpfs {
    /// Mounts a disk; fails without root.
    pub fn mount(place: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(place)?;
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", SIZE, "firstcome-jepsen"]).arg(place);
        let output = command.stdin(Stdio::null()).output().context("there is no mount")?;
        let reported = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cannot mount a tmpfs: {}", reported.trim());
        Ok(Self { place: place.to_owned() })
    }

    /// Whether this process may mount.
    pub fn works() -> bool {
        let place = std::env::temp_dir().join(format!("firstcome-jepsen-{}", std::process::id()));
        let works = Self::mount(&place).is_ok();
        // An empty folder that stays behind hurts nobody.
        _ = fs::remove_dir(place);
        works
    }

    /// Takes all the room that is left; answers how many bytes that were.
    pub fn fill(&self) -> anyhow::Result<u64> {
        let mut ballast = File::create(self.ballast())?;
        let mut bytes = 0;
        for size in [1 << 20, 4096] {
            let piece = vec![0xA5; size];
            while ballast.write_all(&piece).is_ok() {
                bytes += size as u64;
            }
        }
        Ok(bytes)
    }

    /// Gives the room back.
    pub fn empty(&self) -> anyhow::Result<()> {
        let ballast = self.ballast();
        if ballast.exists() {
            fs::remove_file(ballast)?;
        }
        Ok(())
    }

    fn ballast(&self) -> PathBuf {
        self.place.join(BALLAST)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a node that has just been killed may still be letting go of its files.
        _ = Command::new("umount").arg("-l").arg(&self.place).status();
    }
}
