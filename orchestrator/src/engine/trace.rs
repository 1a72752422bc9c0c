//! The trace of a saga: one span for each command, from sending it to its end.
//!
//! A span's id is derived from its command, so that whoever owns the saga, before and after a restart, names the
//! same one: the worker's span stands under it, a compensation's span links to it, and it is made once its end is
//! known, by whoever learns of that.

use std::sync::Arc;

use opentelemetry::trace::SpanKind;
use saga_model::history::RowKind;
use saga_model::ids::ID_BYTES;
use saga_model::state::{CommandRef, Kind, Saga};
use saga_model::{Definition, Micros, SagaId};
use service::telemetry::{Place, SpanStart, Tracer};
use service::traceparent::{SpanId, TraceParent, span_id_of_joined};

use crate::store::rows::{Origin, SagaRecord};

/// An attempt that has ended, one way or another.
#[derive(Debug)]
pub struct EndedAttempt {
    pub saga: SagaId,
    /// Of the saga; its own place is that of the request that started it.
    pub origin: Arc<Origin>,
    pub definition: Arc<Definition>,
    pub command: CommandRef,
    pub sent_at: Micros,
    pub ended_at: Micros,
    /// What ended it.
    pub row: RowKind,
    /// Of a compensation: the last attempt at the action that it undoes.
    pub undoes: Option<CommandRef>,
}

impl EndedAttempt {
    /// The name of its step.
    pub fn step(&self) -> &str {
        &self.definition.step(self.command.step).name
    }
}

/// The span of a command.
fn span_id(saga: SagaId, command: CommandRef) -> SpanId {
    let CommandRef { step, kind, round, attempt } = command;
    let kind = match kind {
        Kind::Action => "Action",
        Kind::Compensate => "Compensate",
    };
    let (mut id, mut numbers) = ([0; ID_BYTES], [itoa::Buffer::new(); 3]);
    let [a, b, c] = &mut numbers;
    let (id, step, round, attempt) = (saga.encode(&mut id), a.format(step.0), b.format(round), c.format(attempt));
    span_id_of_joined([id, "/", step, "/", kind, "/", round, "/", attempt])
}

/// The place of a saga in its trace. (A saga is stored with a valid one.)
pub fn root(record: &SagaRecord) -> Option<TraceParent> {
    record.origin.traceparent.parse().ok()
}

/// The place that a command carries: the saga's trace, the command's own span.
pub fn place_of(record: &SagaRecord, command: CommandRef) -> Option<TraceParent> {
    under(root(record)?, record.saga.id, command)
}

fn under(root: TraceParent, saga: SagaId, command: CommandRef) -> Option<TraceParent> {
    TraceParent::new(root.trace_id(), span_id(saga, command), root.is_sampled())
}

/// The last attempt at the action that a compensation undoes.
pub fn undone_by(command: CommandRef, saga: &Saga) -> Option<CommandRef> {
    let action = &saga.step(command.step).action;
    (command.kind == Kind::Compensate).then_some(CommandRef {
        kind: Kind::Action,
        round: action.round,
        attempt: action.attempts,
        ..command
    })
}

/// Makes the span of an attempt that has ended.
pub fn make_span(tracer: &Tracer, attempt: &EndedAttempt) {
    let Ok(root) = attempt.origin.traceparent.parse::<TraceParent>() else { return }; // a saga is stored with a valid one
    let kind = attempt.command.kind.as_str();
    let mut start = SpanStart::new(format!("{} {kind}", attempt.step()), SpanKind::Producer)
        .id(span_id(attempt.saga, attempt.command))
        .at(attempt.sent_at)
        .with("saga.id", attempt.saga.to_string())
        .with("saga.definition", attempt.definition.name().to_owned())
        .with("saga.step", attempt.step().to_owned())
        .with("saga.kind", kind)
        .with("saga.round", i64::from(attempt.command.round))
        .with("saga.attempt", i64::from(attempt.command.attempt));
    if let Some(undone) = attempt.undoes.and_then(|undone| under(root, attempt.saga, undone)) {
        start = start.link(undone);
    }
    let mut span = tracer.start(Place::Under(root), start);
    if failed(attempt.row) {
        span.failed(format!("{:?}", attempt.row));
    }
    span.end_at(attempt.ended_at);
}

fn failed(row: RowKind) -> bool {
    match row {
        RowKind::StepRejected
        | RowKind::AttemptFailed
        | RowKind::StepUnknown
        | RowKind::CompensationAttemptFailed
        | RowKind::CompensationFailed
        | RowKind::EngineFailed
        | RowKind::DeadlinePassed => true,
        RowKind::SagaStarted
        | RowKind::StepSucceeded
        | RowKind::AttemptStarted
        | RowKind::CompensationSucceeded
        | RowKind::ReplyIgnored
        | RowKind::OperatorActed => false,
    }
}

/// The attempt that a transition of `definition`'s saga from `record` to `after` ends, if it ends one.
pub fn ended(definition: &Arc<Definition>, record: &SagaRecord, after: &Saga, row: RowKind) -> Option<EndedAttempt> {
    use saga_model::state::WakeUp::Reply;
    let before = &record.saga;
    let Some(Reply { command, sent_at }) = before.wake_up(definition) else { return None };
    if matches!(after.wake_up(definition), Some(Reply { command: open, .. }) if open == command) {
        return None;
    }
    Some(EndedAttempt {
        saga: after.id,
        origin: record.origin.clone(),
        definition: definition.clone(),
        command,
        sent_at,
        ended_at: after.updated_at,
        row,
        undoes: undone_by(command, before),
    })
}

#[cfg(test)]
mod tests {
    use saga_model::definition::StepIndex;
    use service::traceparent::span_id_of;

    use super::*;

    /// The name that stands for a span never changes: other instances and versions make the same id of it.
    #[test]
    fn a_span_is_named_by_its_command() {
        let saga: SagaId = "0192a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b".parse().unwrap();
        for (kind, step, round, attempt) in [(Kind::Action, 0, 1, 1), (Kind::Compensate, u8::MAX, u32::MAX, 10)] {
            let command = CommandRef { step: StepIndex(step), kind, round, attempt };
            assert_eq!(span_id(saga, command), span_id_of(&format!("{saga}/{step}/{kind:?}/{round}/{attempt}")));
        }
    }
}
