//! The mail of a development cluster: each node writes what it sends to a folder of its data
//! directory. The leader at the time writes a mail, so all folders are read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of a data directory.
const FOLDER: &str = "mail";
/// What the token of a password reset begins with.
const RESET: &str = "rst_";

/// What the nodes mailed, by recipient.
#[derive(Clone, Debug, Default)]
pub struct Mailbox {
    folders: Vec<PathBuf>,
    read: BTreeSet<PathBuf>,
    codes: BTreeMap<String, String>,
    resets: BTreeMap<String, String>,
}

impl Mailbox {
    /// The mail of nodes with these data directories.
    pub fn new(data_dirs: impl IntoIterator<Item = PathBuf>) -> Self {
        let folders = data_dirs.into_iter().map(|dir| dir.join(FOLDER)).collect();
        Self { folders, ..Self::default() }
    }

    /// The code that was mailed to an address.
    pub(super) fn code(&mut self, to: &str) -> Option<String> {
        self.look();
        self.codes.get(to).cloned()
    }

    /// The token for a new password that was mailed to an address.
    pub(super) fn reset(&mut self, to: &str) -> Option<String> {
        self.look();
        self.resets.get(to).cloned()
    }

    /// Reads what is new. A folder may not exist yet, and a node may lose it together with its disk.
    fn look(&mut self) {
        for folder in self.folders.clone() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.extension().is_some_and(|it| it == "eml") && !self.read.contains(&path) {
                    self.open(&path);
                    self.read.insert(path);
                }
            }
        }
    }

    fn open(&mut self, path: &Path) {
        let Ok(mail) = fs::read_to_string(path) else { return };
        // The end of a line that was only broken for the mail.
        let mail = mail.replace("=\r\n", "");
        let Some(to) = mail.lines().find_map(|line| line.strip_prefix("To: ")) else { return };
        let is_code = |line: &&str| line.len() == 6 && line.bytes().all(|b| b.is_ascii_digit());
        if let Some((_, token)) = mail.split_once(RESET) {
            let is_part = |c: &char| c.is_ascii_alphanumeric() || "._-".contains(*c);
            let token: String = token.chars().take_while(is_part).collect();
            self.resets.insert(to.trim().to_owned(), format!("{RESET}{token}"));
        } else if let Some(code) = mail.lines().map(str::trim).find(is_code) {
            self.codes.insert(to.trim().to_owned(), code.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mail_of_every_node_is_read_once_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let nodes = ["n1", "n2"].map(|node| dir.path().join(node));
        let mut mailbox = Mailbox::new(nodes.clone());
        assert_eq!(mailbox.code("a@example.com"), None);
        let folders = nodes.map(|node| node.join("mail"));
        for folder in &folders {
            fs::create_dir_all(folder).unwrap();
        }
        let code = "To: a@example.com\r\n\r\nYour code is\r\n\r\n012345\r\n";
        fs::write(folders[0].join("eff_1.new"), code.replace("01", "99")).unwrap();
        assert_eq!(mailbox.code("a@example.com"), None, "not whole yet");
        fs::write(folders[1].join("eff_1.eml"), code).unwrap();
        assert_eq!(mailbox.code("a@example.com").as_deref(), Some("012345"));
        let reset = "To: b@example.com\r\n\r\nUse rst_12-ab.c=\r\nd_e now: 123456\r\n";
        fs::write(folders[0].join("eff_2.eml"), reset).unwrap();
        assert_eq!(mailbox.reset("b@example.com").as_deref(), Some("rst_12-ab.cd_e"));
        assert_eq!((mailbox.code("b@example.com"), mailbox.reset("a@example.com")), (None, None));
    }
}
