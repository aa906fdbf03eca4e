//! Deliberate bugs, one at a time, that the simulator has to find: they show what its silence is worth. Without
//! feature `canaries` none can be in force, and the compiler leaves them out.

macro_rules! canaries {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A deliberate bug.
        #[cfg_attr(not(feature = "canaries"), expect(unreachable_pub, reason = "only that feature shows it"))]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum Canary {
            $($(#[$doc])* $name,)*
        }

        #[cfg(feature = "canaries")]
        impl Canary {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name on a command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

canaries! {
    /// The source frees its copy when it commits, not when the target has taken it.
    FreeBeforeTaken = "free-before-taken",
    /// Keys written while their slot is copied are not sent again.
    DropDirtySet = "drop-dirty-set",
    /// Tombstones are not part of a copy.
    ShipNoTombstones = "ship-no-tombstones",
    /// A commit that was taken already is taken once more.
    CommitTwice = "commit-twice",
    /// Every copy of a slot has the same number.
    OneTransferNumber = "one-transfer-number",
    /// A commit is taken although chunks are missing.
    CommitWithGaps = "commit-with-gaps",
    /// A leaver takes commits, and goes although it holds slots.
    LeaveWithSlots = "leave-with-slots",
    /// The target serves as soon as it has everything.
    ServeOnTaken = "serve-on-taken",
    /// The target serves when the source stays silent.
    ReadyServesOnSilence = "ready-serves-on-silence",
    /// A source that knows nothing of a commit tells the target to drop its copy.
    VoidForForgotten = "void-for-forgotten",
    /// The source serves on when the target stays silent.
    ResumeOnSilence = "resume-on-silence",
    /// A source that serves on does so under its old epoch.
    ResumeOldEpoch = "resume-old-epoch",
    /// A commit is taken whatever the floor.
    SkipEpochCheck = "skip-epoch-check",
    /// A refused commit does not raise the floor.
    RefuseKeepsFloor = "refuse-keeps-floor",
    /// A slot is minted after the first answer.
    MintAfterFirstAnswer = "mint-after-first-answer",
    /// "Not here" is said, and nothing else changes: whoever says it goes on asking.
    NoPromise = "no-promise",
    /// Two that claim the same slot tell each other "not here".
    CrossedClaims = "crossed-claims",
    /// A promise is given, and not kept.
    BrokenPromise = "broken-promise",
    /// Slots are asked for and claimed before everybody has been met.
    NoBarrier = "no-barrier",
    /// The same, and answers make nobody known.
    NoBarrierNoClosure = "no-barrier-no-closure",
    /// A claim is answered though its dead are not dead here.
    NoAgreedDeaths = "no-agreed-deaths",
    /// A source that has frozen a slot goes on waiting for its target when that is dead.
    DeadTargetAwaited = "dead-target-awaited",
    /// Writes are applied while the slot is frozen.
    WritesWhileFrozen = "writes-while-frozen",
    /// A write whose answer was lost is sent again.
    RetryLostWrites = "retry-lost-writes",
    /// Any hint is followed, however old, and as often as it comes.
    FollowAnyHint = "follow-any-hint",
    /// An operation that ran out of time in the queue is applied later all the same.
    ApplyExpired = "apply-expired",
    /// An operation waits for its slot however long that takes.
    WaitForEver = "wait-for-ever",
    /// A delete leaves no tombstone.
    NoTombstones = "no-tombstones",
    /// Entries lose their time to live on the way.
    ShipWithoutExpiry = "ship-without-expiry",
    /// A loser of two holders lets go before its entries have been merged.
    MergeLetsGoEarly = "merge-lets-go-early",
    /// Two holders that meet do nothing.
    ForksIgnored = "forks-ignored",
    /// Merged entries count as the newest.
    MergeIgnoresVersions = "merge-ignores-versions",
    /// What the winner of a merge gives up of its own is not counted.
    OwnLossUncounted = "own-loss-uncounted",
    /// What the winner does not take of the loser's is not counted.
    SentLossUncounted = "sent-loss-uncounted",
    /// What a merge has seen of a key before does not matter.
    MergesForget = "merges-forget",
    /// A slot that is being claimed answers "no such key".
    MissWhileClaiming = "miss-while-claiming",
    /// Slots lost in a crash are minted without being counted.
    LossNotCounted = "loss-not-counted",
    /// The target says "taken" only once.
    TakenOnce = "taken-once",
    /// With fewer members in view than the limit, writes are applied all the same.
    FewMembersWrite = "few-members-write",
    /// A process that stood still begins a cluster all the same, without a look at what others sent meanwhile.
    BeginAfterAStop = "begin-after-a-stop",
}

/// Which deliberate bug is in force.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bug(Option<Canary>);

impl Bug {
    #[cfg(feature = "canaries")]
    pub(crate) fn of(canary: Option<Canary>) -> Self {
        Self(canary)
    }

    #[inline]
    pub(crate) fn is(self, canary: Canary) -> bool {
        cfg!(feature = "canaries") && self.0 == Some(canary)
    }
}
