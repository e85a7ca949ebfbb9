//! Runs the binary without the FIRSTCOME_ variables of the caller's environment.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// The program that this test was built with.
pub(crate) const OWN: &str = env!("CARGO_BIN_EXE_firstcome");

/// The program with these arguments, in `directory`.
pub(crate) fn firstcome(directory: &Path, arguments: &[&str]) -> Command {
    program(OWN, directory, arguments)
}

/// A program at `path`, which may be another build, with these arguments, in `directory`.
pub(crate) fn program(path: &str, directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(path);
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FIRSTCOME_")) {
        command.env_remove(name);
    }
    // Not the session of the developer who runs the tests.
    command.env("FIRSTCOME_SESSION_FILE", directory.join("session.json"));
    command.args(arguments).current_dir(directory).stdin(Stdio::null());
    command
}

/// Runs it until it exits.
pub(crate) fn run(directory: &Path, arguments: &[&str]) -> Output {
    firstcome(directory, arguments).output().expect("the program starts")
}

/// Its exit code; -1 for a signal.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

/// Its standard output.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Its standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A process that is killed when the test is over.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has already exited.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
