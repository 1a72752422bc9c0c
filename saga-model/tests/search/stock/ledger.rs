//! The inventory worker's ledger, of one order: `workers/src/ledger/judge.rs`, for one round.

/// What is known of an order's step. `by`: the worker that holds the claim; `alive`: its lease is not over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ledger {
    None,
    Running { by: u8, alive: bool },
    Succeeded,
    Rejected,
    Undoing { by: u8, alive: bool, unsettled: bool },
    Tombstone,
}

/// What has to be done about a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judgement {
    Act {
        repeated: bool,
    },
    Undo {
        settle: bool,
    },
    /// It is decided: the same answer again.
    Decided,
    Busy,
}

impl Ledger {
    /// An ACTION comes to `worker`.
    pub fn act(self, worker: u8) -> (Self, Judgement) {
        let claimed = Self::Running { by: worker, alive: true };
        match self {
            Self::None => (claimed, Judgement::Act { repeated: false }),
            Self::Running { by, alive } if alive && by != worker => (self, Judgement::Busy),
            Self::Running { .. } => (claimed, Judgement::Act { repeated: true }),
            Self::Succeeded | Self::Rejected | Self::Undoing { .. } | Self::Tombstone => (self, Judgement::Decided),
        }
    }

    /// A COMPENSATE comes to `worker`.
    pub fn undo(self, worker: u8) -> (Self, Judgement) {
        let claimed = |unsettled| Self::Undoing { by: worker, alive: true, unsettled };
        match self {
            Self::None => (Self::Tombstone, Judgement::Decided),
            Self::Tombstone => (self, Judgement::Decided),
            Self::Running { by, alive } | Self::Undoing { by, alive, .. } if alive && by != worker => {
                (self, Judgement::Busy)
            }
            Self::Running { .. } => (claimed(true), Judgement::Undo { settle: true }),
            Self::Undoing { unsettled, .. } => (claimed(unsettled), Judgement::Undo { settle: unsettled }),
            Self::Succeeded | Self::Rejected => (claimed(false), Judgement::Undo { settle: false }),
        }
    }

    /// The work of `worker` ended so; the same if it does not hold the claim.
    pub fn ended(self, worker: u8, how: Self) -> Self {
        match self {
            Self::Running { by, .. } | Self::Undoing { by, .. } if by == worker => how,
            Self::None
            | Self::Running { .. }
            | Self::Succeeded
            | Self::Rejected
            | Self::Undoing { .. }
            | Self::Tombstone => self,
        }
    }
}
