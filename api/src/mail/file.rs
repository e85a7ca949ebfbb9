//! Writes mail to files, for development.
//!
//! Nothing else in a node writes personal data in plain text.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The folder of the data directory.
const FOLDER: &str = "mail";

/// Writes mails to a folder.
#[derive(Debug)]
pub(super) struct FileTransport {
    folder: PathBuf,
}

impl FileTransport {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { folder: data_dir.join(FOLDER) }
    }

    /// Writes a mail as `<name>.eml`, as a whole or not at all. The same mail replaces its file.
    pub(super) async fn send(&self, name: &str, message: Vec<u8>) -> io::Result<()> {
        let (folder, name) = (self.folder.clone(), name.to_owned());
        let written = tokio::task::spawn_blocking(move || write(&folder, &name, &message)).await;
        written.map_err(io::Error::other)?
    }
}

fn write(folder: &Path, name: &str, message: &[u8]) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    // A name of its own, should the same mail be sent twice at once.
    let new = folder.join(format!("{name}.{:016x}.new", rand::random::<u64>()));
    let written = write_whole(&new, message)
        .and_then(|()| fs::rename(&new, folder.join(format!("{name}.eml"))))
        .and_then(|()| File::open(folder)?.sync_all());
    if written.is_err() {
        // It may not even exist.
        drop(fs::remove_file(&new));
    }
    written
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
