//! The table of the ledger as one pure function.

use saga_model::json::RawJson;
use saga_model::state::{Failure, Kind, Outcome};

use super::{Answer, Ending, Judgement, Question};

/// The state of a row, with the code under which it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum Status {
    Running = 0,
    Succeeded = 1,
    Rejected = 2,
    Undoing = 3,
    UndoRefused = 4,
    Tombstone = 5,
}

impl Status {
    /// The state with that code.
    pub fn from_code(code: i16) -> Option<Self> {
        [Self::Running, Self::Succeeded, Self::Rejected, Self::Undoing, Self::UndoRefused, Self::Tombstone]
            .into_iter()
            .find(|status| *status as i16 == code)
    }
}

/// What is known of a (saga, step).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The highest round seen.
    pub round: u32,
    pub status: Status,
    /// Whether the effect of `round` was begun and its outcome is not known.
    pub unsettled: bool,
    pub claim: i64,
    /// Until when, in microseconds since the epoch, the holder of `claim` may be believed alive.
    pub lease_until: i64,
    /// The highest round in which it was asked to undo; 0 if never.
    pub undo_round: u32,
    /// Of a tombstone: whether there was an effect.
    pub undone: bool,
    pub output: Option<RawJson>,
    pub error: Option<Failure>,
    pub trace: Option<String>,
}

/// What a question comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    pub judgement: Judgement,
    /// The row as it has to be stored; none if it stays as it is.
    pub row: Option<Row>,
}

/// Judges `question`, asked as `claim` at `now`, where `row` is what is known; work that has to be done is claimed
/// until `lease_until`.
pub fn judge(row: Option<&Row>, question: &Question, claim: i64, now: i64, lease_until: i64) -> Judged {
    let round = question.key.round;
    match (row, question.kind) {
        (None, Kind::Action) => {
            let row = Row { unsettled: true, claim, lease_until, ..Row::new(round, Status::Running) };
            Judged { judgement: Judgement::Act { repeated: false }, row: Some(row) }
        }
        (None, Kind::Compensate) => {
            let row = Row { undo_round: round, ..Row::new(round, Status::Tombstone) };
            Judged { judgement: Judgement::Answer(undone(false)), row: Some(row) }
        }
        (Some(row), kind) => {
            let judgement = match kind {
                Kind::Action => row.act(round, claim, now),
                Kind::Compensate => row.undo(round, claim, now),
            };
            let claimed = |status, unsettled| Row { status, unsettled, claim, lease_until, ..row.clone() };
            let row = match &judgement {
                Judgement::Answer(_) | Judgement::Busy => None,
                Judgement::Act { .. } => Some(Row { round, error: None, ..claimed(Status::Running, true) }),
                Judgement::Settle { .. } | Judgement::Refuse { .. } => Some(claimed(Status::Running, true)),
                Judgement::Undo { .. } => {
                    Some(Row { undo_round: row.undo_round.max(round), ..claimed(Status::Undoing, row.unsettled) })
                }
            };
            Judged { judgement, row }
        }
    }
}

impl Row {
    fn new(round: u32, status: Status) -> Self {
        Self {
            round,
            status,
            unsettled: false,
            claim: 0,
            lease_until: 0,
            undo_round: 0,
            undone: false,
            output: None,
            error: None,
            trace: None,
        }
    }

    /// An action of `round`, for a row that exists.
    fn act(&self, round: u32, claim: i64, now: i64) -> Judgement {
        match self.status {
            Status::Undoing | Status::UndoRefused | Status::Tombstone => {
                refused("COMPENSATED_ALREADY", "this step was compensated before the action arrived")
            }
            Status::Running | Status::Succeeded | Status::Rejected if round < self.round => {
                refused("SUPERSEDED", format!("round {} of this step was asked for since", self.round))
            }
            Status::Running if self.held(claim, now) => Judgement::Busy,
            Status::Running if round > self.round => Judgement::Settle { round: self.round },
            Status::Running => match &self.error {
                Some(why) => Judgement::Refuse { why: why.clone() },
                None => Judgement::Act { repeated: true },
            },
            Status::Succeeded | Status::Rejected if round == self.round => Judgement::Answer(self.answer()),
            Status::Succeeded | Status::Rejected => Judgement::Act { repeated: true },
        }
    }

    /// A compensation asked for in `round`, for a row that exists.
    fn undo(&self, round: u32, claim: i64, now: i64) -> Judgement {
        match self.status {
            Status::Tombstone => Judgement::Answer(undone(self.undone)),
            Status::UndoRefused if round <= self.undo_round => Judgement::Answer(self.answer()),
            Status::Running | Status::Undoing if self.held(claim, now) => Judgement::Busy,
            Status::Running | Status::Undoing | Status::Succeeded | Status::Rejected | Status::UndoRefused => {
                Judgement::Undo { settle: self.unsettled.then_some(self.round), trace: self.trace.clone() }
            }
        }
    }

    fn held(&self, claim: i64, now: i64) -> bool {
        self.claim != claim && self.lease_until > now
    }

    /// What was answered when it was decided.
    fn answer(&self) -> Answer {
        let outcome = if self.status == Status::Succeeded { Outcome::Succeeded } else { Outcome::Rejected };
        Answer { outcome, output: self.output.clone(), error: self.error.clone() }
    }

    /// This row after the work of `claim` on it ended so; `None` if that claim does not hold it.
    pub fn ended(&self, claim: i64, ending: &Ending, trace: Option<String>) -> Option<Self> {
        let holds = self.claim == claim && matches!(self.status, Status::Running | Status::Undoing);
        let row = Row { lease_until: 0, trace: trace.or(self.trace.clone()), ..self.clone() };
        let decided = Row { unsettled: false, output: None, error: None, ..row.clone() };
        holds.then(|| match ending {
            Ending::Succeeded(output) => Row { status: Status::Succeeded, output: Some(output.clone()), ..decided },
            Ending::Rejected(error) => Row { status: Status::Rejected, error: Some(error.clone()), ..decided },
            Ending::Undone { was_there } => Row { status: Status::Tombstone, undone: *was_there, ..decided },
            Ending::UndoRefused(error) => Row { status: Status::UndoRefused, error: Some(error.clone()), ..decided },
            Ending::Refusing(error) => Row { error: Some(error.clone()), lease_until: self.lease_until, ..row },
            Ending::Open => row,
        })
    }
}

fn refused(code: &str, message: impl Into<String>) -> Judgement {
    Judgement::Answer(Answer { outcome: Outcome::Rejected, output: None, error: Some(Failure::new(code, message)) })
}

/// The answer to a compensation after which nothing stands.
pub fn undone(was_there: bool) -> Answer {
    let text = if was_there { r#"{"undone":true}"# } else { r#"{"undone":false}"# };
    let output = RawJson::from_string(text.to_owned()).expect("both literals are JSON");
    Answer { outcome: Outcome::Succeeded, output: Some(output), error: None }
}
