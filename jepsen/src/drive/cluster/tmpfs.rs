//! Small disks: a tmpfs of limited size as a data directory, which can be filled up.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// Several times what a run needs.
const SIZE: &str = "size=192m";
/// The file that fills the disk.
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
        let stderr = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "cannot mount a tmpfs: {}", stderr.trim());
        Ok(Self { place: place.to_owned() })
    }

    /// Whether this process may mount.
    pub fn works() -> bool {
        let place = std::env::temp_dir().join(format!("firstcome-jepsen-{}", std::process::id()));
        let works = Self::mount(&place).is_ok();
        // An empty directory that is left over does no harm.
        _ = fs::remove_dir(place);
        works
    }

    /// Fills the disk; returns the number of bytes written.
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

    /// Frees the space again.
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
        // Lazy unmount: a node that was just killed may still have files open.
        _ = Command::new("umount").arg("-l").arg(&self.place).status();
    }
}
