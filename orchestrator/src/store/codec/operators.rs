//! Operators' requests and dead letters.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use saga_model::ids::ShardId;
use saga_model::{Micros, SagaId};
use uuid::Uuid;

use super::{json, number, plain, refused};
use crate::store::Result;
use crate::store::entity::{admin_request, dead_letter};
use crate::store::rows::{AdminAnswer, AdminRequest, DeadLetter, DeadLetterStatus, RequestStatus};

/// The column's word for how far a request is.
pub fn request_status(status: RequestStatus) -> &'static str {
    match status {
        RequestStatus::Pending => "PENDING",
        RequestStatus::Done => "DONE",
        RequestStatus::Refused => "REFUSED",
        RequestStatus::Withdrawn => "WITHDRAWN",
    }
}

fn read_request_status(word: &str) -> Result<RequestStatus> {
    use RequestStatus::{Done, Pending, Refused, Withdrawn};
    [Pending, Done, Refused, Withdrawn]
        .into_iter()
        .find(|status| request_status(*status) == word)
        .ok_or_else(|| refused("status of a request", word))
}

/// The row of a request.
pub fn request_row(request: &AdminRequest) -> Result<admin_request::Model> {
    let what = format_args!("request {}", request.id);
    Ok(admin_request::Model {
        id: request.id,
        saga_id: request.saga.map(SagaId::uuid),
        shard: request.shard.map(|shard| number(what, shard.0)).transpose()?,
        action: plain(&request.action),
        body: request.body.as_deref().map(plain),
        actor: request.actor.as_deref().map(plain),
        reason: request.reason.as_deref().map(plain),
        if_match: request.revision.map(|revision| number(what, revision)).transpose()?,
        at: request.at.0,
        status: request_status(request.status).to_owned(),
        code: request.code.as_deref().map(plain),
        detail: request.detail.as_deref().map(plain),
    })
}

/// The request of a row.
pub fn request(row: admin_request::Model) -> Result<AdminRequest> {
    let what = format_args!("request {}", row.id);
    Ok(AdminRequest {
        id: row.id,
        at: Micros(row.at),
        actor: row.actor,
        action: row.action,
        saga: row.saga_id.map(SagaId::from),
        shard: row.shard.map(|shard| number(what, shard).map(ShardId)).transpose()?,
        body: row.body,
        reason: row.reason,
        revision: row.if_match.map(|revision| number(what, revision)).transpose()?,
        status: read_request_status(&row.status)?,
        code: row.code,
        detail: row.detail,
    })
}

/// The columns of an answer; the same row as its request.
pub struct AnswerRow {
    pub request: Uuid,
    pub status: &'static str,
    pub code: Option<String>,
    pub detail: Option<String>,
}

/// The columns of an answer.
pub fn answer_row(answer: &AdminAnswer) -> AnswerRow {
    AnswerRow {
        request: answer.request,
        status: request_status(answer.status),
        code: answer.code.as_deref().map(plain),
        detail: answer.detail.as_deref().map(plain),
    }
}

/// The answer in a request's row.
pub fn answer(row: admin_request::Model) -> Result<AdminAnswer> {
    let status = read_request_status(&row.status)?;
    Ok(AdminAnswer { request: row.id, status, code: row.code, detail: row.detail })
}

/// The column's word for what became of a dead letter.
pub fn dead_letter_status(status: DeadLetterStatus) -> &'static str {
    match status {
        DeadLetterStatus::New => "NEW",
        DeadLetterStatus::Replayed => "REPLAYED",
        DeadLetterStatus::Discarded => "DISCARDED",
    }
}

fn read_dead_letter_status(word: &str) -> Result<DeadLetterStatus> {
    use DeadLetterStatus::{Discarded, New, Replayed};
    [New, Replayed, Discarded]
        .into_iter()
        .find(|status| dead_letter_status(*status) == word)
        .ok_or_else(|| refused("status of a dead letter", word))
}

/// The row of a dead letter.
pub fn dead_letter_row(letter: &DeadLetter) -> Result<dead_letter::Model> {
    let headers: Vec<(&str, String)> =
        letter.headers.iter().map(|(name, value)| (name, STANDARD.encode(value))).collect();
    Ok(dead_letter::Model {
        id: letter.id,
        topic: letter.topic.clone(),
        partition: letter.partition,
        offset: letter.offset,
        key: letter.key.clone(),
        value: letter.value.clone(),
        headers: json(format_args!("dead letter {}", letter.id), &headers, 2 * letter.headers.bytes())?,
        code: plain(&letter.code),
        detail: plain(&letter.detail),
        saga_id: letter.saga.map(SagaId::uuid),
        at: letter.at.0,
        status: dead_letter_status(letter.status).to_owned(),
        claimed_until: None,
    })
}

/// The dead letter of a row.
pub fn dead_letter(row: dead_letter::Model) -> Result<DeadLetter> {
    let what = format_args!("dead letter {}", row.id);
    let headers: Vec<(String, String)> = serde_json::from_str(&row.headers).map_err(|error| refused(what, error))?;
    let bytes = |(name, value): (String, String)| match STANDARD.decode(value) {
        Ok(value) => Ok((name, value)),
        Err(error) => Err(refused(what, error)),
    };
    Ok(DeadLetter {
        id: row.id,
        topic: row.topic,
        partition: row.partition,
        offset: row.offset,
        key: row.key,
        value: row.value,
        headers: headers.into_iter().map(bytes).collect::<Result<_>>()?,
        code: row.code,
        detail: row.detail,
        saga: row.saga_id.map(SagaId::from),
        at: Micros(row.at),
        status: read_dead_letter_status(&row.status)?,
    })
}
