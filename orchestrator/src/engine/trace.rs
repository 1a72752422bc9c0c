//! The trace of a saga: which span each of its commands is.

use saga_model::SagaId;
use saga_model::state::{CommandRef, Kind};

/// The span id of a command: derived, so that whoever owns the saga, before and after a restart, names the same one
/// (FNV-1a of saga and attempt).
pub fn span_id(saga: SagaId, command: CommandRef) -> u64 {
    let kind = match command.kind {
        Kind::Action => 1,
        Kind::Compensate => 2,
    };
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let numbers = [[command.step.0, kind, 0, 0], command.round.to_be_bytes(), command.attempt.to_be_bytes()];
    for byte in saga.uuid().as_bytes().iter().chain(numbers.iter().flatten()) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash.max(1) // zero is no span id
}

/// The `traceparent` that a command carries: the saga's trace, the command's own span, the saga's sampling.
pub fn command_traceparent(saga_traceparent: &str, saga: SagaId, command: CommandRef) -> String {
    let mut parts = saga_traceparent.split('-');
    let (version, trace) = (parts.next().unwrap_or("00"), parts.next().unwrap_or_default());
    let flags = parts.nth(1).unwrap_or("01");
    format!("{version}-{trace}-{:016x}-{flags}", span_id(saga, command))
}
