//! The wrong code of the seeded bugs of this crate. None of it runs unless a test arms its bug.
//!
//! Each function stands where the right code calls it, and does nothing otherwise.

use std::collections::{BTreeMap, BTreeSet};

use firstcome_domain::SessionId;
use firstcome_domain::value::EmailIndex;
use firstcome_fault::{Bug, armed};
use parking_lot::Mutex;

/// Tries of a code, as the rules have it.
const TRIES_MAX: u32 = 5;

/// The sessions that logged out here.
static LOGGED_OUT: Mutex<BTreeSet<SessionId>> = Mutex::new(BTreeSet::new());
/// How often a code of an address was tried here.
static TRIES: Mutex<BTreeMap<[u8; 32], u32>> = Mutex::new(BTreeMap::new());

/// [`Bug::RevocationOnOneNode`]: which session the log closes; nobody has session 0.
pub(crate) fn closed(session: SessionId) -> SessionId {
    if !armed(Bug::RevocationOnOneNode) {
        return session;
    }
    LOGGED_OUT.lock().insert(session);
    SessionId::new(0)
}

/// [`Bug::RevocationOnOneNode`]: whether a session logged out here.
pub(crate) fn is_closed_here(session: SessionId) -> bool {
    armed(Bug::RevocationOnOneNode) && LOGGED_OUT.lock().contains(&session)
}

/// [`Bug::TriesPerNode`]: whether no try is left here.
pub(crate) fn is_used_up_here(email: EmailIndex) -> bool {
    if !armed(Bug::TriesPerNode) {
        return false;
    }
    let mut tries = TRIES.lock();
    let tries = tries.entry(email.0).or_default();
    *tries = tries.saturating_add(1);
    *tries > TRIES_MAX
}

/// [`Bug::SealWithoutOwner`]: what a sealed value is bound to.
pub(crate) fn bound_to<'n>(names: &[&'n [u8]; 3]) -> [&'n [u8]; 3] {
    let [kind, owner, field] = *names;
    [kind, if armed(Bug::SealWithoutOwner) { b"" } else { owner }, field]
}
