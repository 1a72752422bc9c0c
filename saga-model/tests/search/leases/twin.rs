//! Broken twins of the engine.

use super::world::Size;

/// A rule that is left out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Twin {
    /// A commit does not look at the epoch.
    NoFence,
    /// The watermark counts the first row whose messages have not all left.
    WatermarkOneTooFar,
    /// Messages are handed to the bus when the transaction begins.
    PublishBeforeCommit,
    /// Whoever takes a shard trusts that everything has left.
    TakeoverWithoutResend,
    /// Whoever takes a shard sends the commands of all rows past the watermark, also those that were answered.
    TakeoverResendsTheAnswered,
    /// How far replies were read is stored before what they did.
    OffsetAheadOfEffect,
}

impl Twin {
    pub const ALL: [Self; 6] = [
        Self::NoFence,
        Self::WatermarkOneTooFar,
        Self::PublishBeforeCommit,
        Self::TakeoverWithoutResend,
        Self::TakeoverResendsTheAnswered,
        Self::OffsetAheadOfEffect,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::NoFence => "a commit without the fence",
            Self::WatermarkOneTooFar => "a watermark one row too far",
            Self::PublishBeforeCommit => "publish before the commit",
            Self::TakeoverWithoutResend => "a takeover that sends nothing again",
            Self::TakeoverResendsTheAnswered => "a takeover that sends answered commands again",
            Self::OffsetAheadOfEffect => "a reply offset stored before the reply's effect",
        }
    }

    /// A small world in which it shows.
    pub fn size(self) -> Size {
        Size { sagas: 1, rows: 3, takeovers: 2, crashes: 1, doubts: 0, repeats: 0 }
    }
}
