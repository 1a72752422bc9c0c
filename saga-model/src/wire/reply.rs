//! Replies: how a worker writes one and how the orchestrator reads it.

mod plain;

use serde::Serialize;

use super::command::Command;
use super::fields::{Fields, Limits};
use super::{DeadLetterCode, MAX_OUTPUT_BYTES, Unreadable, json};
use crate::ids::SagaId;
use crate::json::{Json, MAX_DEPTH, RawJson};
use crate::state::{Failure, Kind, Outcome};

/// A reply as it is read; whether its saga and step exist is not yet known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplyMessage {
    pub saga_id: SagaId,
    pub step: String,
    pub kind: Kind,
    pub round: u32,
    pub attempt: u32,
    pub token: String,
    pub outcome: Outcome,
    pub output: Option<RawJson>,
    pub error: Option<Failure>,
}

/// Reads a reply.
///
/// # Errors
/// The code of the dead letter that it is.
pub fn parse(bytes: &[u8]) -> Result<ReplyMessage, Unreadable> {
    plain::read(bytes).map_or_else(|| read_whole(bytes), Ok)
}

/// The long way, by which every reply can be read, and which says what is wrong with one that cannot.
fn read_whole(bytes: &[u8]) -> Result<ReplyMessage, Unreadable> {
    let limits = Limits { uncounted: 0, depth: MAX_DEPTH, member: Some(("output", MAX_OUTPUT_BYTES)) };
    let mut fields = Fields::read(bytes, &limits)?;
    let (saga_id, step, kind) = (fields.saga_id()?, fields.text("step")?, fields.kind()?);
    let (round, attempt) = (fields.count("round")?, fields.count("attempt")?);
    let (token, outcome) = (fields.text("token")?, fields.text("outcome")?);
    let output = fields.optional("output", "an object", |json| json.as_object().map(|_| RawJson::from(json.raw)))?;
    let error = fields.optional("error", "an object of two strings, code and message", read_error)?;
    match (saga_id, step, kind, round, attempt, token, outcome) {
        (Some(saga_id), Some(step), Some(kind), Some(round), Some(attempt), Some(token), Some(outcome)) => {
            let outcome = read_outcome(&outcome)?;
            Ok(ReplyMessage { saga_id, step, kind, round, attempt, token, outcome, output, error })
        }
        _ => Err(fields.finish().err().unwrap_or_else(|| {
            // Unreachable: a field that is none was noted as missing.
            Unreadable::new(DeadLetterCode::MissingField, "a field is missing")
        })),
    }
}

/// What is kept of a worker's error: it is shown, searched for and published, so it has bounds, and no NUL,
/// which not every store can keep.
const MAX_CODE_CHARS: usize = 255;
const MAX_ERROR_CHARS: usize = 4096;

fn read_error(json: &Json<'_>) -> Option<Failure> {
    json.as_object()?;
    let text = |name, default: &str, most| match json.get(name) {
        Some(json) => Some(json.as_str()?.chars().take(most).map(|c| if c == '\0' { '\u{fffd}' } else { c }).collect()),
        None => Some(default.to_owned()),
    };
    Some(Failure { code: text("code", "UNSPECIFIED", MAX_CODE_CHARS)?, message: text("message", "", MAX_ERROR_CHARS)? })
}

fn read_outcome(word: &str) -> Result<Outcome, Unreadable> {
    match word {
        "SUCCEEDED" => Ok(Outcome::Succeeded),
        "REJECTED" => Ok(Outcome::Rejected),
        "RETRYABLE" => Ok(Outcome::Retryable),
        "UNKNOWN" => Ok(Outcome::Unknown),
        other => {
            let detail = format!("outcome {other:?} is none of SUCCEEDED, REJECTED, RETRYABLE, UNKNOWN");
            Err(Unreadable::new(DeadLetterCode::UnknownOutcome, detail))
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    saga_id: SagaId,
    step: &'a str,
    kind: Kind,
    round: u32,
    attempt: u32,
    token: &'a str,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a RawJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a Failure>,
}

/// What a reply usually has beside the output and the error.
const USUAL_BYTES: usize = 256;

/// Writes the reply to `command`.
///
/// # Errors
/// Never in practice: a reply is plain data.
pub fn write(
    command: &Command,
    outcome: Outcome,
    output: Option<&RawJson>,
    error: Option<&Failure>,
) -> Result<Vec<u8>, serde_json::Error> {
    let written = Written {
        saga_id: command.saga_id,
        step: &command.step,
        kind: command.kind,
        round: command.round,
        attempt: command.attempt,
        token: &command.token,
        outcome,
        output,
        error,
    };
    let bytes = output.map_or(0, |output| output.get().len()) + error.map_or(0, Failure::bytes);
    json(&written, USUAL_BYTES + bytes)
}
