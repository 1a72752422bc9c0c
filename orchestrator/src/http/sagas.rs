//! `/sagas`: starting any definition, and looking at a saga.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use saga_model::SagaId;
use saga_model::definition::InputForm;
use saga_model::json::Json;
use service::duration::parse_from_zero;
use service::http::{Fields, JsonBody, PathId, Query, no_query};
use service::problem::{Code, Problem};

use super::answer::Answer;
use super::fingerprint::{self, Part};
use super::path::NameAsId;
use super::start::{Asker, Beginning, Wish};
use super::view::{self, Shown};
use super::{Api, definitions, orders};
use crate::store::rows::SagaRecord;

/// `GET /sagas/{id}`
pub async fn read(State(api): State<Arc<Api>>, PathId(id): PathId, uri: Uri) -> Result<Response, Problem> {
    let mut query = Query::of(&uri);
    let wait = query.optional("wait", wait);
    let wait = query.finish(|| Some(wait.unwrap_or_default()))?;
    let record = api.at_rest(id.into(), wait).await?.ok_or_else(|| unknown(id.into()))?;
    shown(&api, &record, StatusCode::OK).await.map(Answer::done)
}

/// `GET /sagas/{id}/history`
pub async fn history(State(api): State<Arc<Api>>, PathId(id): PathId, uri: Uri) -> Result<Response, Problem> {
    no_query(&uri)?;
    let record = api.saga(id.into()).await?.ok_or_else(|| unknown(id.into()))?;
    let definition = api.definition_of(&record).await?;
    let rows = api.read(api.engine.store().history(record.saga.id)).await?;
    Ok(Answer::of(StatusCode::OK, &view::history(&definition, &rows, &record.origin.input))?.done())
}

/// `POST /sagas/{definition}`
pub async fn start(
    State(api): State<Arc<Api>>,
    beginning: Beginning,
    NameAsId(name): NameAsId,
    uri: Uri,
    headers: HeaderMap,
    body: JsonBody,
) -> Result<Response, Problem> {
    no_query(&uri)?;
    let (_, definition) = api.engine.definitions().active(&name).ok_or_else(|| definitions::unknown(&name))?;
    let asker = Asker::new(format!("/sagas/{name}"), beginning, &headers)?;
    let (wish, fingerprint) = Wish::read(&body.parse()?, &name, definition.blueprint().input)?;
    let started = asker.start(&api, wish, || fingerprint).await?;
    let answer = shown(&api, &started.record, StatusCode::ACCEPTED).await?;
    let answer = answer.location(format!("/sagas/{}", started.record.saga.id))?;
    Ok(answer.replayed(started.replayed).done())
}

/// A saga as an answer.
pub async fn shown(api: &Api, record: &SagaRecord, status: StatusCode) -> Result<Answer, Problem> {
    Answer::of(status, &Shown::of(api, record).await?.view())?.revision(record.saga.revision)
}

/// No saga has this id.
pub fn unknown(id: SagaId) -> Problem {
    Problem::new(Code::SagaNotFound, format!("There is no saga {id}"))
}

fn wait(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_secs(60);
    let wait =
        parse_from_zero(text).map(|millis| Duration::from_millis(millis.0)).map_err(|error| error.to_string())?;
    if wait > LONGEST { Err("wait for at most 60s, and ask again".to_owned()) } else { Ok(wait) }
}

impl Wish {
    /// Reads the body of a start, `{"input", "businessKey"?}`: with its fingerprint.
    fn read(body: &Json<'_>, name: &str, form: InputForm) -> Result<(Self, String), Problem> {
        let mut fields = Fields::of(body, &["input", "businessKey"])?;
        let business_key = fields.name("businessKey");
        let input = fields.required("input");
        match form {
            InputForm::Order => {
                let order = input.and_then(|input| orders::field(&mut fields, "input", input));
                let order = fields.finish(|| order)?;
                let wish = Self::of_order(&order, business_key.map(str::to_owned))?;
                let fingerprint = fingerprint::of(&[Part::Text(&order.fingerprint()), business_key.into()]);
                Ok((Self { definition: name.to_owned(), ..wish }, fingerprint))
            }
            InputForm::Object => {
                let raw = input.and_then(|input| fields.object("input", input));
                let said = input.map_or(Part::Absent, Part::Json);
                let input = fields.finish(|| raw)?;
                let fingerprint = fingerprint::of(&[said, business_key.into()]);
                let (definition, business_key) = (name.to_owned(), business_key.map(str::to_owned));
                Ok((Self { definition, input, user_id: None, business_key }, fingerprint))
            }
        }
    }
}
