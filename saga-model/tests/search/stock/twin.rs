//! Broken twins of the stock.

use super::world::Size;

/// A rule that is left out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Twin {
    /// SQL enters a reservation whatever generation of Redis admitted it.
    NoGenerationCheck,
    /// The table does not refuse to promise more than there is.
    NoTableCheck,
    /// Neither of the two.
    NeitherCheck,
    /// Redis is loaded from what Redis held before, not from SQL.
    RebuildFromRedis,
    /// An undo that finds its reservation released does not tell Redis again.
    ReleaseNotRepeated,
    /// A refusal leaves a worker that was taken for dead free to set the units apart later.
    RefusesWithoutSettling,
    /// A release and a late worker that set a unit apart once more give one unit back between them.
    OneRecordForTwoUnits,
    /// Redis is said to hold a generation without a look whether all of it is still there.
    FlipsBlindly,
    /// A load that was given up, and the next one, have the same number.
    NumberGivenTwice,
    /// A Redis that was restarted from an older file is taken for the one it was.
    NoRunId,
}

impl Twin {
    /// Those that break a promise.
    pub const ALL: [Self; 8] = [
        Self::NeitherCheck,
        Self::RebuildFromRedis,
        Self::ReleaseNotRepeated,
        Self::RefusesWithoutSettling,
        Self::OneRecordForTwoUnits,
        Self::FlipsBlindly,
        Self::NumberGivenTwice,
        Self::NoRunId,
    ];

    /// Those that break none: two guards stand one behind the other.
    pub const HARMLESS: [Self; 2] = [Self::NoGenerationCheck, Self::NoTableCheck];

    pub fn name(self) -> &'static str {
        match self {
            Self::NoGenerationCheck => "no generation check, but the table's own",
            Self::NoTableCheck => "no check by the table, but the generation's",
            Self::NeitherCheck => "no generation check (and a table that believes Redis)",
            Self::RebuildFromRedis => "a rebuild from Redis",
            Self::ReleaseNotRepeated => "a release that is not repeated",
            Self::RefusesWithoutSettling => "a refusal that does not settle an earlier attempt",
            Self::OneRecordForTwoUnits => "one record for two units",
            Self::FlipsBlindly => "a generation that is declared loaded without a look",
            Self::NumberGivenTwice => "a number of a generation that is given twice",
            Self::NoRunId => "a marker without the run id",
        }
    }

    /// A small world in which it shows.
    pub fn size(self) -> Size {
        let size = Size { orders: 2, on_hand: 1, flushes: 0, restarts: 0, pauses: 0, crashes: 0 };
        match self {
            Self::NoGenerationCheck | Self::NoTableCheck | Self::NeitherCheck => Size { flushes: 1, ..size },
            Self::RebuildFromRedis | Self::NoRunId => Size { orders: 1, restarts: 1, ..size },
            Self::ReleaseNotRepeated => Size { orders: 1, crashes: 1, ..size },
            Self::RefusesWithoutSettling => Size { pauses: 1, ..size },
            Self::OneRecordForTwoUnits => Size { orders: 1, flushes: 1, pauses: 2, ..size },
            Self::NumberGivenTwice => Size { orders: 1, on_hand: 2, flushes: 1, pauses: 2, ..size },
            Self::FlipsBlindly => Size { on_hand: 2, flushes: 1, pauses: 1, ..size },
        }
    }

    pub fn checks_generations(twin: Option<Self>) -> bool {
        !matches!(twin, Some(Self::NoGenerationCheck | Self::NeitherCheck))
    }

    pub fn checks_the_table(twin: Option<Self>) -> bool {
        !matches!(twin, Some(Self::NoTableCheck | Self::NeitherCheck))
    }
}
