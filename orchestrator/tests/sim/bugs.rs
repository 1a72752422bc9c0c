//! Deliberate bugs, one switch each. They are made around the engine and the workers, in what these stand on, so that
//! no switch is in the code itself; the simulator has to find every one of them.

use std::fmt;

macro_rules! bugs {
    ($($(#[doc = $words:literal])+ $name:ident,)+) => {
        /// A deliberate bug.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Bug { $($(#[doc = $words])+ $name),+ }

        impl Bug {
            pub const ALL: &[Bug] = &[$(Bug::$name),+];

            /// What it is, as a sentence.
            pub fn words(self) -> &'static str {
                match self { $(Bug::$name => concat!($($words),+).trim_ascii()),+ }
            }
        }
    };
}

bugs! {
    /// the fence is dropped: a deposed owner commits
    FenceDropped,
    /// a deposed owner is told that its commit is stored
    DeposedNotTold,
    /// the idempotency key is not stored in the transaction
    KeyNotStored,
    /// the answer to an operator is not stored in the transaction
    AnswerNotStored,
    /// a request that was taken back is applied all the same
    WithdrawnApplied,
    /// a request that was answered can be taken back
    AnsweredWithdrawn,
    /// dead letters are not stored
    DeadLetterNotStored,
    /// a second new saga of a batch is answered and not stored
    SecondSagaNotStored,
    /// a commit is acknowledged and not stored
    AcknowledgedNotStored,
    /// a commit of unknown outcome counts as not stored
    UnknownIsNo,
    /// after an unknown outcome no stored saga is found, and it is stored again
    DoubtFindsNothing,
    /// the new state is not stored with its history
    StateNotStored,
    /// a history row loses its domain events
    EventsNotStored,
    /// an attempt is not counted
    AttemptNotCounted,
    /// compensations are asked for in the wrong order
    UndoOrderReversed,
    /// the watermark of sent rows is one too far
    WatermarkTooFar,
    /// the mark of read replies is one too far
    ReplyMarkTooFar,
    /// a saga that lives for long is not flagged
    LingeringNotFlagged,
    /// whoever takes a shard loads one saga too few
    RecoveryForgetsSaga,
    /// whoever takes a shard loads a saga as it was before
    RecoveryLoadsOldState,
    /// whoever takes a shard believes that all was sent
    RecoverySendsNothing,
    /// whoever takes a shard reads replies from their end on
    RecoverySkipsReplies,
    /// events are published before the commit
    PublishBeforeCommit,
    /// a command is acknowledged and not sent
    CommandNotSent,
    /// an event is acknowledged and not sent
    EventNotSent,
    /// messages are sent in the wrong order
    EventsOutOfOrder,
    /// an event that is sent again differs
    EventDiffers,
    /// timers do not wait for replies that are there already
    TimersWaitForNobody,
    /// a step's time runs before its worker has taken the command
    TakenAtOnce,
    /// a worker keeps no tombstone for an action that has not come
    TombstoneDropped,
    /// a worker acts although it has compensated
    LateActionDone,
    /// a worker does not remember that it refused
    RefusalForgotten,
    /// a worker answers a new round with the answer of the old one
    RoundIgnored,
    /// settling a charge does not keep a late one out
    SettleKeepsNobodyOut,
    /// a charge does not know its key
    ChargedTwice,
    /// a refund is answered and not made
    RefundNotMade,
    /// stock is answered as released and is not
    StockNotReleased,
    /// stock that the fast memory forgot is promised again
    EmptiedStockPromised,
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::str::FromStr for Bug {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Bug::ALL.iter().copied().find(|bug| bug.to_string().eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            let names: Vec<String> = Bug::ALL.iter().map(ToString::to_string).collect();
            format!("there is no bug {name:?}; there are {}", names.join(", "))
        })
    }
}
