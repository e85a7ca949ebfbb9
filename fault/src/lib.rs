//! Faults on demand inside a node, for tests that must see it break.
//!
//! The crates of the product ask here: is this bug armed, shall I stop at this point, how wrong is
//! the clock, does the disk fail now? In a plain build every answer is a constant "no" that the
//! compiler folds away: no state, no thread, no socket, no text. A fault build (feature `armed`,
//! turned on by `cargo build --features fault` of the root package, and by the simulation) keeps the
//! answers in this process, changes them over a Unix socket, and begins with the bugs that
//! `FIRSTCOME_FAULT_BUG` names. It stands at the bottom of the order of crates, so that every
//! crate may ask. `README.md` beside this crate has the shapes of all requests.

#[cfg(feature = "armed")]
mod armed;
#[cfg(not(feature = "armed"))]
mod plain;

#[cfg(feature = "armed")]
pub use armed::clock_from;
#[cfg(feature = "armed")]
pub use armed::{
    armed, clock_offset_ms, disk_call, listen, on_trigger, reach, seed, shuffle, start, wall_ms,
};
#[cfg(not(feature = "armed"))]
pub use plain::{
    armed, clock_offset_ms, disk_call, listen, on_trigger, reach, seed, shuffle, start, wall_ms,
};

/// Whether this build can be broken on demand.
pub const IS_FAULT_BUILD: bool = cfg!(feature = "armed");

/// An enum whose variants have names in a fault build, and are only numbers in a plain one.
macro_rules! named {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[cfg_attr(feature = "armed", derive(Debug, PartialOrd, Ord))]
        pub enum $name { $($(#[$doc])* $variant,)* }

        #[cfg(feature = "armed")]
        impl $name {
            /// Every one, with its name.
            pub const ALL: &'static [(&'static str, Self)] = &[$(($text, Self::$variant),)*];

            /// Finds one by its name; otherwise says which there are.
            pub fn named(text: &str) -> Result<Self, String> {
                let found = Self::ALL.iter().find(|(name, _)| *name == text);
                found.map(|(_, found)| *found).ok_or_else(|| {
                    let names: Vec<&str> = Self::ALL.iter().map(|(name, _)| *name).collect();
                    format!("{text:?} is none of: {}", names.join(", "))
                })
            }

            /// Its name.
            pub fn name(self) -> &'static str {
                let found = Self::ALL.iter().find(|(_, other)| *other == self);
                found.map_or("", |(name, _)| name)
            }
        }
    };
}

named! {
    /// A seeded bug: something that the tests must notice once it is armed.
    Bug {
        /// An order takes one unit more than there is.
        OversellOffByOne = "oversell_off_by_one",
        /// An order that expires does not give its units back.
        ExpiryLosesUnit = "expiry_loses_unit",
        /// A canceled order keeps its timer, and releases its units again when that is due.
        CancelAndExpireBothRelease = "cancel_and_expire_both_release",
        /// Money for an expired order makes it a paid one.
        LateCaptureRevivesOrder = "late_capture_revives_order",
        /// The customer's limit is looked at before their receipt.
        LimitBeforeReceipt = "limit_before_receipt",
        /// No outcome is remembered.
        NoReceipt = "no_receipt",
        /// A key answers for any request.
        ReceiptIgnoresBody = "receipt_ignores_body",
        /// The way from a key to its receipt does not travel with a snapshot.
        ReceiptNotInSnapshot = "receipt_not_in_snapshot",
        /// Money for an order that has ended stays.
        RefundForgotten = "refund_forgotten",
        /// The leader's stamp counts as it is, even behind the last one.
        StampGoesBack = "stamp_goes_back",
        /// Each node ends orders by its own clock.
        ExpireByLocalTime = "expire_by_local_time",
        /// Each node applies entries at its own time.
        ApplyReadsWallClock = "apply_reads_wall_clock",
        /// Rows that are due come in an order that differs from node to node.
        UnorderedIteration = "unordered_iteration",
        /// Entries are acknowledged before they are synced.
        AckBeforeFsync = "ack_before_fsync",
        /// A vote is acknowledged before it is synced.
        VoteNotSynced = "vote_not_synced",
        /// The tail of an old leader stays.
        TruncateSkipped = "truncate_skipped",
        /// A checkpoint writes its rows, and then how far they are.
        AppliedIndexInSecondTransaction = "applied_index_in_second_transaction",
        /// A checkpoint does not wait for the log.
        CheckpointAheadOfLog = "checkpoint_ahead_of_log",
        /// A received state gets its name, but the name is not synced.
        RenameWithoutDirSync = "rename_without_dir_sync",
        /// The log forgets entries that no checkpoint has.
        PurgeTooFar = "purge_too_far",
        /// A snapshot says it is further than its rows are.
        SnapshotMetaAhead = "snapshot_meta_ahead",
        /// A failed commit counts as one that worked.
        IoErrorIgnored = "io_error_ignored",
        /// A follower reads what it has, without asking how far "now" is.
        StaleFollowerRead = "stale_follower_read",
        /// A leader reads what it has for as long as it believes to lead.
        LeaseReadAfterPause = "lease_read_after_pause",
        /// An early refusal may be of any age.
        EarlyRefusalTooOld = "early_refusal_too_old",
        /// "Perhaps it ran" is told as "it did not".
        MaybeReportedAsNo = "maybe_reported_as_no",
        /// A command without a key is proposed again after its answer was lost.
        BlindRetryWithoutKey = "blind_retry_without_key",
        /// The key is lost on the way to the leader.
        ForwardDropsKey = "forward_drops_key",
        /// A node that lost its disk comes back as who it was.
        WipedNodeKeepsId = "wiped_node_keeps_id",
        /// A peer that cannot be reached counts as one that has the entries.
        CommitWithoutQuorum = "commit_without_quorum",
        /// A logout is remembered by the node that answered it, and by no other.
        RevocationOnOneNode = "revocation_on_one_node",
        /// A second renewal within the grace period counts as reuse.
        GraceForgotten = "grace_forgotten",
        /// Each node counts the wrong tries of a code that were typed at it.
        TriesPerNode = "tries_per_node",
        /// A sign-up counts if its address was free and proven when its node looked.
        EmailCheckedOutsideLog = "email_checked_outside_log",
        /// A new password leaves the epoch of its user as it was.
        ResetKeepsEpoch = "reset_keeps_epoch",
        /// A sealed value can be opened as somebody else's.
        SealWithoutOwner = "seal_without_owner",
    }
}

named! {
    /// A place in the product where a fault build may stop, or wait.
    Point {
        /// The log thread has taken a batch and not written it.
        LogAppendBefore = "log_append_before",
        /// The batch is durable; nobody knows.
        LogAppendAfter = "log_append_after",
        /// Right before those who wait for the batch are told.
        FlushCallback = "flush_callback",
        /// Committed entries are about to be applied.
        ApplyCommitBefore = "apply_commit_before",
        /// They are applied; nobody was answered.
        ApplyCommitAfter = "apply_commit_after",
        /// The rows of a checkpoint are frozen, the log is durable, nothing is written.
        CheckpointBefore = "checkpoint_before",
        /// The checkpoint is durable, and not in use yet.
        CheckpointAfter = "checkpoint_after",
        /// A received snapshot is whole, under its temporary name.
        SnapshotRenameBefore = "snapshot_rename_before",
        /// It has its name, not yet durable.
        SnapshotRenameAfter = "snapshot_rename_after",
        /// A new membership is about to be applied.
        MembershipSaveBefore = "membership_save_before",
        /// It is applied.
        MembershipSaveAfter = "membership_save_after",
    }
}

named! {
    /// What kind of file a disk call is about.
    File {
        /// The Raft log.
        Log = "log",
        /// The rows, and a snapshot that is to become them.
        State = "state",
        /// Identity, markers and names.
        Other = "other",
    }
}

named! {
    /// What the node can be asked to do.
    Trigger {
        /// Stand for election now.
        Elect = "elect",
        /// Make a checkpoint, move the snapshot mark and purge.
        Snapshot = "snapshot",
    }
}
