//! Broken twins of the stock.

/// A rule that is left out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Twin {
    /// SQL enters a reservation whatever generation of Redis admitted it, and believes Redis that there is a unit.
    NoGenerationCheck,
    /// The table does not refuse to promise more than there is.
    NoTableCheck,
    /// Redis is loaded from what Redis held before, not from SQL.
    RebuildFromRedis,
    /// An undo that finds its reservation released does not tell Redis again.
    ReleaseNotRepeated,
    /// A refusal leaves a worker that was taken for dead free to set the units apart later.
    RefusesWithoutSettling,
    /// A release and a late worker that set a unit apart once more give one unit back between them.
    OneRecordForTwoUnits,
    /// A settlement that comes again keeps out in Redis what was released meanwhile and is not put back yet.
    SettlesWhatWasReleased,
    /// Redis is said to hold a generation without a look whether all of it is still there.
    FlipsBlindly,
    /// A Redis that was restarted from an older file is taken for the one it was.
    NoRunId,
}

impl Twin {
    pub const ALL: [Self; 9] = [
        Self::NoGenerationCheck,
        Self::NoTableCheck,
        Self::RebuildFromRedis,
        Self::ReleaseNotRepeated,
        Self::RefusesWithoutSettling,
        Self::OneRecordForTwoUnits,
        Self::SettlesWhatWasReleased,
        Self::FlipsBlindly,
        Self::NoRunId,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::NoGenerationCheck => "no generation check",
            Self::NoTableCheck => "no check by the table",
            Self::RebuildFromRedis => "a rebuild from Redis",
            Self::ReleaseNotRepeated => "a release that is not repeated",
            Self::RefusesWithoutSettling => "a refusal that does not settle an earlier attempt",
            Self::OneRecordForTwoUnits => "one record for two units",
            Self::SettlesWhatWasReleased => "a settlement that keeps out what was released",
            Self::FlipsBlindly => "a generation that is declared loaded without a look",
            Self::NoRunId => "a marker without the run id",
        }
    }

    pub fn checks_generations(twin: Option<Self>) -> bool {
        twin != Some(Self::NoGenerationCheck)
    }

    pub fn checks_the_table(twin: Option<Self>) -> bool {
        !matches!(twin, Some(Self::NoGenerationCheck | Self::NoTableCheck))
    }
}
