//! What tells a node to stop: signals, and the end of its parent process.

use std::io::{self, Read as _};

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::exit::{Exit, leave};

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Starts to listen for both.
    pub(super) fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Exits the process when stdin is closed: the parent process holds it open while it lives.
pub(super) fn exit_with_parent() {
    let mut nothing = [0_u8; 64];
    while matches!(io::stdin().read(&mut nothing), Ok(1..)) {}
    leave(Exit::Done);
}
