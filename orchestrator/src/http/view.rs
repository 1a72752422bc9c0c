//! What is shown of sagas: the model's own views, with what the shell knows beside the state.

use std::sync::Arc;

use saga_model::Definition;
use saga_model::definition::InputForm;
use saga_model::json::RawJson;
use saga_model::state::WakeUp;
use saga_model::view::{EventView, OrderView, Parts, SagaView, Taken, order_view};
use serde::Serialize;
use service::http::LAST_PATIENCE;
use service::problem::Problem;

use super::Api;
use crate::store::rows::{HistoryRow, SagaRecord};

/// A saga with all that its view is made of.
#[derive(Debug)]
pub struct Shown<'a> {
    record: &'a SagaRecord,
    definition: Arc<Definition>,
    taken: Taken,
}

/// The history of a saga.
#[derive(Debug, Serialize)]
pub struct History<'a> {
    events: Vec<EventView<'a>>,
}

impl<'a> Shown<'a> {
    /// Looks up what is needed to show a saga.
    ///
    /// # Errors
    /// 503 if the database is away.
    pub async fn of(api: &Api, record: &'a SagaRecord) -> Result<Self, Problem> {
        let definition = api.definition_of(record).await?;
        let taken = taken(api, record, &definition).await;
        Ok(Self { record, definition, taken })
    }

    /// The saga as `GET /sagas/{id}` answers it.
    pub fn view(&self) -> SagaView<'_> {
        let SagaRecord { saga, origin } = self.record;
        SagaView::of(Parts {
            definition: &self.definition,
            saga,
            input: &origin.input,
            business_key: origin.business_key.as_deref(),
            trace_id: origin.traceparent.split('-').nth(1).unwrap_or_default(),
            taken: self.taken,
        })
    }
}

/// Whether a worker has taken the command in flight, as the owner of its shard last said. What was stored is not kept
/// from a client because of it: where it cannot be read it is not known. Nor is the time at which a command was taken,
/// which is stored nowhere: most are taken at once, and of one that was not no time is told that has passed.
async fn taken(api: &Api, record: &SagaRecord, definition: &Definition) -> Taken {
    let saga = &record.saga;
    let in_flight = saga.wake_up(definition).filter(|_| !saga.at_rest());
    let Some(WakeUp::Reply { command, sent_at }) = in_flight else { return Taken::Unknown };
    let untaken = api.engine.store().untaken(api.engine.shard_of(saga.id));
    let Ok(untaken) = api.read_within(LAST_PATIENCE, untaken).await else { return Taken::Unknown };
    let since = untaken.get(&definition.step(command.step).topic);
    if since.is_some_and(|since| sent_at >= *since) {
        return Taken::No;
    }
    let until = sent_at.plus(definition.timeout(command.step).micros());
    if until > api.engine.now() { Taken::Yes { until } } else { Taken::Unknown }
}

/// The order that a saga runs; none if it runs something else.
///
/// # Errors
/// 503 if the database is away.
pub async fn order<'a>(api: &Api, record: &'a SagaRecord) -> Result<Option<OrderView<'a>>, Problem> {
    match api.definition_of(record).await?.blueprint().input {
        InputForm::Order => {
            order_view(&record.saga, &record.origin.input).map(Some).map_err(|error| Problem::internal(&error))
        }
        InputForm::Object => Ok(None),
    }
}

/// Rows of a saga of `definition` that was started with `input`.
pub fn history<'a>(definition: &'a Definition, rows: &'a [HistoryRow], input: &RawJson) -> History<'a> {
    History { events: rows.iter().map(|row| EventView::of(definition, &row.row, input)).collect() }
}
