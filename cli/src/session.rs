//! The sessions of `firstcome login`, one per node address, in a file that only its owner can read.
//!
//! The file is replaced as a whole, so that a reader sees the old or the new one. A lock beside it
//! is held while it is read and written, and never while waiting for a node.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::exit::{Exit, Stop};
use crate::output::field;

/// Environment variable with the path of the file.
const FILE_VARIABLE: &str = "FIRSTCOME_SESSION_FILE";
/// Where it is otherwise, below the directory for state.
const FILE: &str = "firstcome/session.json";

/// One session, as the file has it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Session {
    /// The address that logged in, as it was typed.
    pub(crate) email: String,
    pub(crate) user_id: String,
    /// Of the session.
    pub(crate) id: String,
    pub(crate) access_token: String,
    pub(crate) refresh_token: String,
    pub(crate) refresh_expires_at: String,
}

impl Session {
    /// The session of a response to a login or a refresh.
    pub(crate) fn of(email: &str, body: &Value) -> anyhow::Result<Self> {
        let text = |name: &str| {
            let value = body.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
            value.with_context(|| format!("the node's response has no {name}"))
        };
        Ok(Self {
            email: email.to_owned(),
            user_id: text("user_id")?,
            id: text("session_id")?,
            access_token: text("access_token")?,
            refresh_token: text("refresh_token")?,
            refresh_expires_at: field(body, "refresh_expires_at"),
        })
    }
}

/// The file. By the URL of a node, without a slash at its end.
#[derive(Default, Serialize, Deserialize)]
struct Sessions {
    sessions: BTreeMap<String, Session>,
}

/// Where the sessions are kept.
#[derive(Clone)]
pub(crate) struct SessionFile(PathBuf);

impl SessionFile {
    /// The file of this user; an error if the environment names none.
    pub(crate) fn locate() -> Result<Self, Stop> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(path) = variable(FILE_VARIABLE) {
            return Ok(Self(path.into()));
        }
        let state = variable("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || Some(PathBuf::from(variable("HOME")?).join(".local/state"));
        state.or_else(home).map(|state| Self(state.join(FILE))).ok_or_else(|| {
            Stop::config(format!("no place for the session: set {FILE_VARIABLE}, or HOME"))
        })
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The session at a node.
    pub(crate) fn load(&self, url: &str) -> anyhow::Result<Option<Session>> {
        Ok(self.read()?.sessions.remove(url))
    }

    /// Keeps a new session at a node, instead of any other.
    pub(crate) fn put(&self, url: &str, session: Session) -> anyhow::Result<()> {
        self.change(|sessions| {
            sessions.insert(url.to_owned(), session);
        })
    }

    /// Keeps the successor of a refresh token, unless another process has logged out, or has kept
    /// a successor, meanwhile: going back to an older token would end the session.
    pub(crate) fn renew(&self, url: &str, presented: &str, next: Session) -> anyhow::Result<()> {
        self.change(|sessions| {
            if let Some(kept) = sessions.get_mut(url).filter(|s| s.refresh_token == presented) {
                *kept = next;
            }
        })
    }

    /// Forgets the session at a node.
    pub(crate) fn remove(&self, url: &str) -> anyhow::Result<()> {
        self.change(|sessions| {
            sessions.remove(url);
        })
    }

    fn read(&self) -> anyhow::Result<Sessions> {
        let shown = self.0.display();
        let text = match std::fs::read(&self.0) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Sessions::default()),
            other => other.with_context(|| format!("cannot read {shown}"))?,
        };
        serde_json::from_slice(&text).map_err(|_| {
            let message = format!("{shown} has no sessions: delete it, then log in again");
            Stop::new(Exit::Config, message).into()
        })
    }

    fn change(&self, edit: impl FnOnce(&mut BTreeMap<String, Session>)) -> anyhow::Result<()> {
        let directory = self.0.parent().filter(|path| !path.as_os_str().is_empty());
        let directory = directory.unwrap_or_else(|| Path::new("."));
        let cannot_write = || format!("cannot write {}", self.0.display());
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .with_context(cannot_write)?;
        let _lock = self.lock().with_context(cannot_write)?;
        let mut all = self.read()?;
        edit(&mut all.sessions);
        // A temporary file has mode 0600.
        let mut file = tempfile::NamedTempFile::new_in(directory).with_context(cannot_write)?;
        serde_json::to_writer_pretty(&mut file, &all)?;
        file.write_all(b"\n")
            .and_then(|()| file.as_file().sync_all())
            .with_context(cannot_write)?;
        file.persist(&self.0).with_context(cannot_write)?;
        Ok(())
    }

    /// Waits until no other process changes the file.
    fn lock(&self) -> std::io::Result<File> {
        let mut path = self.0.clone().into_os_string();
        path.push(".lock");
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        file.lock()?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const HERE: &str = "http://127.0.0.1:7400";

    fn session(generation: u32) -> Session {
        Session {
            email: "ann@example.com".to_owned(),
            user_id: "usr_1".to_owned(),
            id: "ses_1".to_owned(),
            access_token: format!("access {generation}"),
            refresh_token: format!("refresh {generation}"),
            refresh_expires_at: "2027-01-01T00:00:00.000Z".to_owned(),
        }
    }

    fn file_in(dir: &tempfile::TempDir) -> SessionFile {
        SessionFile(dir.path().join("state/firstcome/session.json"))
    }

    fn kept(file: &SessionFile, url: &str) -> Option<String> {
        file.load(url).unwrap().map(|session| session.refresh_token)
    }

    #[test]
    fn sessions_are_kept_by_node_and_for_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let file = file_in(&dir);
        assert_eq!(kept(&file, HERE), None);
        file.put(HERE, session(1)).unwrap();
        file.put("http://there", session(2)).unwrap();
        assert_eq!(kept(&file, HERE).as_deref(), Some("refresh 1"));
        file.remove(HERE).unwrap();
        assert_eq!(kept(&file, HERE), None);
        assert_eq!(kept(&file, "http://there").as_deref(), Some("refresh 2"));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(file.path()), 0o600);
        assert_eq!(mode(file.path().parent().unwrap()), 0o700);
    }

    #[test]
    fn a_late_successor_replaces_neither_a_newer_one_nor_a_logout() {
        let dir = tempfile::tempdir().unwrap();
        let file = file_in(&dir);
        file.put(HERE, session(1)).unwrap();
        file.renew(HERE, "refresh 1", session(2)).unwrap();
        file.renew(HERE, "refresh 2", session(3)).unwrap();
        file.renew(HERE, "refresh 1", session(2)).unwrap();
        assert_eq!(kept(&file, HERE).as_deref(), Some("refresh 3"));
        file.remove(HERE).unwrap();
        file.renew(HERE, "refresh 3", session(4)).unwrap();
        assert_eq!(kept(&file, HERE), None);
    }

    #[test]
    fn writers_at_the_same_time_lose_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let file = file_in(&dir);
        std::thread::scope(|scope| {
            for at in 0..8 {
                let file = file.clone();
                scope.spawn(move || file.put(&format!("http://{at}"), session(at)).unwrap());
            }
        });
        assert_eq!(file.read().unwrap().sessions.len(), 8);
    }

    #[test]
    fn a_damaged_file_is_named_and_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let file = SessionFile(dir.path().join("session.json"));
        std::fs::write(file.path(), "{").unwrap();
        let error = file.put(HERE, session(1)).unwrap_err();
        assert!(error.to_string().contains("session.json has no sessions"), "{error}");
        assert_eq!(Exit::of(&error), Exit::Config);
        assert_eq!(std::fs::read(file.path()).unwrap(), b"{");
    }
}
