//! From the history back to the state: [`advance()`] is run again over the events that the rows tell of.
//!
//! A row says what happened (its data) and when (`at`, `actor`); the definition that the saga pins holds the
//! settings of that time. So the machine decides again as it decided then, and every row is checked to be the
//! one that it writes: a history that was changed by hand, or by a machine that behaves otherwise, is found out.

use super::{Row, RowKind};
use crate::advance::{Advance, advance};
use crate::definition::{Definition, StepIndex};
use crate::event::{Event, PlainVerb, Reply, Verb};
use crate::ids::SagaId;
use crate::state::{CommandRef, Kind, Outcome, Saga, Secret, StuckCause};
use crate::wire;

/// Why a history does not fold.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FoldError {
    #[error("there is no row")]
    Empty,
    #[error("row {seq} does not tell its {what}")]
    Incomplete { seq: u32, what: &'static str },
    #[error("what row {seq} tells of changes nothing: {why}")]
    NoTransition { seq: u32, why: String },
    #[error("row {seq} is not the one that follows from what it tells of, which is {expected:?}")]
    Differs { seq: u32, expected: Box<Row> },
}

/// The saga that this history made.
///
/// # Errors
/// A [`FoldError`] says which row is wrong.
pub fn fold(definition: &Definition, id: SagaId, secret: Secret, rows: &[Row]) -> Result<Saga, FoldError> {
    fold_each(definition, id, secret, rows, |_, _| {})
}

/// As [`fold`]; shows each row with the saga after it.
///
/// # Errors
/// A [`FoldError`] says which row is wrong.
pub fn fold_each(
    definition: &Definition,
    id: SagaId,
    secret: Secret,
    rows: &[Row],
    mut visit: impl FnMut(&Row, &Saga),
) -> Result<Saga, FoldError> {
    let mut saga: Option<Saga> = None;
    for row in rows {
        let event = event_of(definition, id, secret, row)?;
        match advance(definition, saga.as_ref(), &event, &row.actor, row.at) {
            Advance::Changed(made) if made.row == *row => {
                visit(row, &made.saga);
                saga = Some(made.saga);
            }
            Advance::Changed(made) => {
                return Err(FoldError::Differs { seq: row.seq, expected: Box::new(made.row) });
            }
            other @ (Advance::Ignored(_) | Advance::Refused(_) | Advance::DeadLetter(_)) => {
                return Err(FoldError::NoTransition { seq: row.seq, why: format!("{other:?}") });
            }
        }
    }
    saga.ok_or(FoldError::Empty)
}

/// The event that a row tells of.
///
/// # Errors
/// [`FoldError::Incomplete`] if the row lacks what its kind has.
pub fn event_of(definition: &Definition, id: SagaId, secret: Secret, row: &Row) -> Result<Event, FoldError> {
    let told = Told { definition, secret, row };
    let (succeeded, rejected) = (Outcome::Succeeded, Outcome::Rejected);
    Ok(match row.kind {
        RowKind::SagaStarted => Event::Submitted { id, secret },
        RowKind::StepSucceeded => told.reply(Kind::Action, succeeded)?,
        RowKind::StepRejected => told.reply(Kind::Action, rejected)?,
        RowKind::AttemptFailed | RowKind::StepUnknown => told.failed_attempt(Kind::Action)?,
        RowKind::CompensationSucceeded => told.reply(Kind::Compensate, succeeded)?,
        RowKind::CompensationAttemptFailed | RowKind::CompensationFailed => told.failed_attempt(Kind::Compensate)?,
        RowKind::AttemptStarted => {
            let started = told.command(told.kind()?)?;
            Event::BackoffOver(CommandRef { attempt: started.attempt.saturating_sub(1), ..started })
        }
        RowKind::DeadlinePassed => Event::DeadlinePassed,
        RowKind::ReplyIgnored => told.reply(told.kind()?, told.outcome()?)?,
        RowKind::OperatorActed => {
            Event::Verb { verb: told.verb()?, reason: row.data.reason.clone().unwrap_or_default() }
        }
        RowKind::EngineFailed => match row.data.stuck {
            Some(StuckCause::TooBig) => {
                Event::Oversized { command: told.command(told.kind()?)?, outcome: told.outcome()? }
            }
            Some(_) | None => {
                let error = told.need(row.data.error.as_ref(), "error")?;
                Event::EngineFailed { message: error.message.clone() }
            }
        },
    })
}

/// A row under reading.
struct Told<'a> {
    definition: &'a Definition,
    secret: Secret,
    row: &'a Row,
}

impl Told<'_> {
    fn need<T>(&self, field: Option<T>, what: &'static str) -> Result<T, FoldError> {
        field.ok_or(FoldError::Incomplete { seq: self.row.seq, what })
    }

    fn kind(&self) -> Result<Kind, FoldError> {
        self.need(self.row.data.kind, "kind")
    }

    fn outcome(&self) -> Result<Outcome, FoldError> {
        self.need(self.row.data.outcome, "outcome")
    }

    /// The step, if the definition has it: a row of another definition must not panic.
    fn step(&self) -> Result<StepIndex, FoldError> {
        let count = self.definition.blueprint().steps.len();
        self.need(self.row.step.filter(|step| usize::from(step.0) < count), "step")
    }

    fn command(&self, kind: Kind) -> Result<CommandRef, FoldError> {
        Ok(CommandRef {
            step: self.step()?,
            kind,
            round: self.need(self.row.round, "round")?,
            attempt: self.need(self.row.attempt, "attempt")?,
        })
    }

    fn reply(&self, kind: Kind, outcome: Outcome) -> Result<Event, FoldError> {
        let CommandRef { step, kind, round, attempt } = self.command(kind)?;
        let data = &self.row.data;
        Ok(Event::Reply(Reply {
            step,
            kind,
            round,
            attempt,
            token: wire::token(self.secret, &self.definition.step(step).name, kind, round),
            outcome,
            output: data.output.clone(),
            error: data.error.clone(),
            partition: data.partition.unwrap_or(0),
            offset: data.offset.unwrap_or(0),
        }))
    }

    /// A reply; without an outcome, that none came.
    fn failed_attempt(&self, kind: Kind) -> Result<Event, FoldError> {
        match self.row.data.outcome {
            Some(outcome) => self.reply(kind, outcome),
            None => Ok(Event::NoAnswer(self.command(kind)?)),
        }
    }

    fn verb(&self) -> Result<Verb, FoldError> {
        let data = &self.row.data;
        let plain = PlainVerb {
            verb: self.need(data.verb, "verb")?,
            from_step: data.from_step.clone(),
            input: data.input.clone(),
            step: data.step.clone(),
        };
        self.need(plain.try_into().ok(), "step")
    }
}
