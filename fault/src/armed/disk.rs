//! A disk that fails, fills up or dawdles on demand.

use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::locked;
use crate::File;

/// How a call goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Action {
    /// `EIO`.
    Eio,
    /// `ENOSPC`.
    Enospc,
    /// It takes longer.
    Slow(Duration),
}

/// As Linux numbers them.
const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// What happens to which calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) action: Action,
    /// `None`: any file.
    pub(super) file: Option<File>,
    /// Every so many calls one goes wrong.
    pub(super) every: u64,
}

struct Disk {
    plan: Option<Plan>,
    calls: u64,
    /// Calls that failed for good, were refused for lack of room, or were late.
    fired: [u64; 3],
}

static PLANNED: AtomicBool = AtomicBool::new(false);
static DISK: Mutex<Disk> = Mutex::new(Disk { plan: None, calls: 0, fired: [0; 3] });

/// Called ahead of every call that changes something on the disk.
pub fn disk_call(file: File) -> io::Result<()> {
    if !PLANNED.load(Ordering::Relaxed) {
        return Ok(());
    }
    match take(file) {
        None => Ok(()),
        Some(Action::Eio) => Err(io::Error::from_raw_os_error(EIO)),
        Some(Action::Enospc) => Err(io::Error::from_raw_os_error(ENOSPC)),
        Some(Action::Slow(pause)) => {
            std::thread::sleep(pause);
            Ok(())
        }
    }
}

fn take(file: File) -> Option<Action> {
    let mut disk = locked(&DISK);
    let plan = disk.plan.filter(|plan| plan.file.is_none_or(|wanted| wanted == file))?;
    disk.calls += 1;
    if !disk.calls.is_multiple_of(plan.every.max(1)) {
        return None;
    }
    let place = match plan.action {
        Action::Eio => 0,
        Action::Enospc => 1,
        Action::Slow(_) => 2,
    };
    disk.fired[place] += 1;
    Some(plan.action)
}

/// Plans what goes wrong; `None`: nothing any more.
pub(super) fn plan(plan: Option<Plan>) {
    let mut disk = locked(&DISK);
    disk.plan = plan;
    disk.calls = 0;
    PLANNED.store(plan.is_some(), Ordering::Relaxed);
}

/// How often each fault happened.
pub(super) fn fired() -> [(&'static str, u64); 3] {
    let [eio, enospc, slow] = locked(&DISK).fired;
    [("eio", eio), ("enospc", enospc), ("slow", slow)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_third_call_on_the_log_fails() {
        let action = Action::Enospc;
        plan(Some(Plan { action, file: Some(File::Log), every: 3 }));
        let failed = |file| disk_call(file).err().and_then(|error| error.raw_os_error());
        assert_eq!(failed(File::State), None);
        let seen: Vec<_> = (0..6).map(|_| failed(File::Log)).collect();
        assert_eq!(seen, [None, None, Some(28), None, None, Some(28)]);
        assert_eq!(fired()[1], ("enospc", 2));
        plan(None);
        assert!((0..9).all(|_| failed(File::Log).is_none()));
    }
}
