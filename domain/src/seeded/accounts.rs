//! Seeded bugs of users, sessions and codes.

use firstcome_fault::{Bug, armed};

use crate::user::row::User;

/// [`Bug::EmailCheckedOutsideLog`]: whether it is enough that the node looked.
pub(crate) fn trusts_the_node() -> bool {
    armed(Bug::EmailCheckedOutsideLog)
}

/// [`Bug::GraceForgotten`]: how long the token before the last one counts.
pub(crate) fn grace_ms(right: i64) -> i64 {
    if armed(Bug::GraceForgotten) { 0 } else { right }
}

/// [`Bug::TriesPerNode`]: how many tries the log counts for a wrong code.
pub(crate) fn one_try() -> u32 {
    u32::from(!armed(Bug::TriesPerNode))
}

/// [`Bug::ResetKeepsEpoch`]: the user after a reset.
pub(crate) fn after_reset(user: &User, next: User) -> User {
    if armed(Bug::ResetKeepsEpoch) { user.clone() } else { next }
}
