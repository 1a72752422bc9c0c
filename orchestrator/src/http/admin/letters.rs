//! `/admin/dead-letters`: messages that changed nothing, and what operators do about them.

mod view;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use service::http::{Fields, JsonBody, PathId, Query, no_query, parse_json};
use service::keys::Caller;
use service::problem::{Code, Problem};
use uuid::Uuid;

use super::audit::{About, Recorded};
use crate::bus::Undelivered;
use crate::engine::{LetterAction, LetterOutcome};
use crate::http::answer::Answer;
use crate::http::cursor::{List, Part};
use crate::http::{Api, away};
use crate::store::rows::{AdminRequest, DeadLetter, DeadLetterFilter, DeadLetterStatus, RequestStatus};
use view::{Letters, Shown};

/// `GET /admin/dead-letters`
pub async fn list(State(api): State<Arc<Api>>, uri: Uri) -> Result<Response, Problem> {
    let mut query = Query::of(&uri);
    let status = query.optional("status", view::status);
    let (topic, code) = (query.text("topic"), query.text("code"));
    let part = Part::of(List::DeadLetters, &mut query);
    let filter =
        query.finish(|| Some(DeadLetterFilter { status, topic, code, before: part.before, limit: part.limit }))?;
    let found = api.read(api.engine.store().dead_letters(&filter)).await?;
    let last = found.items.last().filter(|_| found.more);
    let next_cursor = last.map(|letter| part.after(letter.id));
    Ok(Answer::of(StatusCode::OK, &Letters::of(&found, next_cursor))?.done())
}

/// `GET /admin/dead-letters/{id}`
pub async fn read(State(api): State<Arc<Api>>, PathId(id): PathId, uri: Uri) -> Result<Response, Problem> {
    no_query(&uri)?;
    let letter = find(&api, id).await?;
    Ok(Answer::of(StatusCode::OK, &Shown::with_headers(&letter))?.done())
}

/// `POST /admin/dead-letters/{id}/replay` and `/discard`
pub async fn act(
    api: Arc<Api>,
    action: LetterAction,
    PathId(id): PathId,
    caller: Caller,
    uri: Uri,
    JsonBody(body): JsonBody,
) -> Response {
    let prepared = async {
        no_query(&uri)?;
        let json = parse_json(&body)?;
        let letter = find(&api, id).await?;
        let mut fields = Fields::of(&json, &["reason"])?;
        let reason = fields.reason().map(str::to_owned);
        Ok((letter, fields.finish(|| reason)?))
    };
    let (letter, reason) = match prepared.await {
        Ok(prepared) => prepared,
        Err(problem) => return Problem::into_response(problem),
    };
    let saga = letter.saga;
    let (mut response, recorded) = match settle(&api, action, letter, &caller, reason).await {
        Ok(response) => (response, true),
        Err(problem) => (problem.into_response(), false),
    };
    if recorded {
        response.extensions_mut().insert(Recorded);
    }
    if let Some(saga) = saga {
        response.extensions_mut().insert(About(saga));
    }
    response
}

/// Does it. What is refused is recorded by whoever records refusals.
async fn settle(
    api: &Api,
    action: LetterAction,
    letter: DeadLetter,
    caller: &Caller,
    reason: String,
) -> Result<Response, Problem> {
    let id = letter.id;
    if letter.status != DeadLetterStatus::New {
        return Err(taken(&letter));
    }
    let DeadLetter { topic, partition, offset, .. } = &letter;
    let record = AdminRequest {
        id: Uuid::now_v7(),
        at: api.engine.now(),
        actor: Some(caller.actor()),
        action: word(action).to_owned(),
        saga: letter.saga,
        shard: None,
        body: None,
        reason: Some(reason),
        revision: None,
        status: RequestStatus::Done,
        code: None,
        detail: Some(format!("dead letter {id}: offset {offset} of {topic}, partition {partition}")),
    };
    match api.engine.settle_letter(letter, action, record).await.map_err(|error| away(&error))? {
        LetterOutcome::Done(letter) => Ok(Answer::of(StatusCode::OK, &Shown::of(&letter))?.done()),
        LetterOutcome::Taken => Err(taken(&find(api, id).await?)),
        LetterOutcome::Undelivered(Undelivered::Away(why)) => {
            Err(Problem::new(Code::Unavailable, format!("Kafka does not confirm the message; try again ({why})")))
        }
        LetterOutcome::Undelivered(Undelivered::Refused(why)) => {
            let detail = format!("Dead letter {id} cannot be sent as it is ({why}); it can only be discarded");
            Err(Problem::new(Code::ActionNotAllowed, detail))
        }
    }
}

async fn find(api: &Api, id: Uuid) -> Result<DeadLetter, Problem> {
    let unknown = || Problem::new(Code::DeadLetterNotFound, format!("There is no dead letter {id}"));
    api.read(api.engine.letter(id)).await?.ok_or_else(unknown)
}

/// The word of the path, and of the audit.
pub fn word(action: LetterAction) -> &'static str {
    match action {
        LetterAction::Replay => "replay",
        LetterAction::Discard => "discard",
    }
}

fn taken(letter: &DeadLetter) -> Problem {
    let id = letter.id;
    let detail = match letter.status {
        DeadLetterStatus::New => format!("Somebody else is replaying or discarding dead letter {id}"),
        DeadLetterStatus::Replayed => format!("Dead letter {id} was replayed before"),
        DeadLetterStatus::Discarded => format!("Dead letter {id} was discarded before"),
    };
    Problem::new(Code::ActionNotAllowed, detail)
}
