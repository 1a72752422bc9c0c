//! Sagas.

use std::sync::Arc;

use saga_model::json::RawJson;
use saga_model::state::{Course, Deadline, Flight, Saga};
use saga_model::{Micros, SagaId};
use uuid::Uuid;

use super::{json, number, plain, refused};
use crate::store::Result;
use crate::store::entity::saga::Model;
use crate::store::rows::{DefinitionId, LiveSaga, Origin, SagaRecord, SagaWrite};

/// The columns of a saga that a transition changes.
pub struct Change {
    pub id: Uuid,
    pub state: String,
    pub status: &'static str,
    pub order_status: &'static str,
    pub active: bool,
    pub held: bool,
    pub step: Option<String>,
    pub error_code: Option<String>,
    pub revision: i32,
    pub updated_at: i64,
    pub wake_at: Option<i64>,
    pub lingering: bool,
}

/// All columns of a saga that is new.
pub struct New {
    pub slot: i16,
    pub created_at: i64,
    pub origin: Arc<Origin>,
    pub rest: Change,
}

/// The JSON of a saga beside what workers and operators have put into it: usually this much, and this much a step.
const USUAL_BYTES: usize = 320;
const STEP_BYTES: usize = 160;

/// What is written of a saga that was stored before.
pub fn change(write: &SagaWrite) -> Result<Change> {
    let saga = &*write.record.saga;
    let what = format_args!("saga {}", saga.id);
    Ok(Change {
        id: saga.id.uuid(),
        state: json(what, saga, USUAL_BYTES + STEP_BYTES * saga.steps.len() + saga.bytes())?,
        status: saga.status().as_str(),
        order_status: saga.order.as_str(),
        active: !saga.phase.is_final(),
        held: saga.at_rest() && !saga.phase.is_final(),
        step: write.step.as_deref().map(plain),
        error_code: write.error_code.as_deref().map(plain),
        revision: number(what, saga.revision)?,
        updated_at: saga.updated_at.0,
        wake_at: wake_at(saga).map(|at| at.0),
        lingering: write.lingering,
    })
}

/// What is written of a new saga.
pub fn new(write: &SagaWrite) -> Result<New> {
    let SagaRecord { saga, origin } = &write.record;
    Ok(New {
        slot: i16::from(saga.id.slot().get()),
        created_at: saga.created_at.0,
        origin: origin.clone(),
        rest: change(write)?,
    })
}

/// The row of a saga.
pub fn row(write: &SagaWrite) -> Result<Model> {
    new(write).map(Model::from)
}

impl From<New> for Model {
    fn from(new: New) -> Self {
        let New { slot, created_at, origin, rest } = new;
        Self {
            id: rest.id,
            slot,
            definition_id: origin.definition.0,
            user_id: origin.user_id,
            business_key: origin.business_key.clone(),
            input: origin.input.get().to_owned(),
            state: rest.state,
            status: rest.status.to_owned(),
            order_status: rest.order_status.to_owned(),
            active: rest.active,
            held: rest.held,
            step: rest.step,
            error_code: rest.error_code,
            revision: rest.revision,
            created_at,
            updated_at: rest.updated_at,
            wake_at: rest.wake_at,
            traceparent: origin.traceparent.clone(),
            lingering: rest.lingering,
        }
    }
}

/// The saga of a row.
pub fn record(row: Model) -> Result<SagaRecord> {
    let id = SagaId::from(row.id);
    let saga: Saga = serde_json::from_str(&row.state).map_err(|error| refused(format_args!("saga {id}"), error))?;
    let input = RawJson::from_string(row.input).map_err(|error| refused(format_args!("saga {id}"), error))?;
    Ok(SagaRecord {
        saga: Arc::new(saga),
        origin: Arc::new(Origin {
            definition: DefinitionId(row.definition_id),
            input,
            user_id: row.user_id,
            business_key: row.business_key,
            traceparent: row.traceparent,
        }),
    })
}

/// The live saga of a row.
pub fn live(row: Model) -> Result<LiveSaga> {
    let lingering = row.lingering;
    Ok(LiveSaga { record: record(row)?, lingering })
}

/// When the saga moves on by itself, whatever becomes of its replies: the end of a backoff or its deadline, rounded
/// up to a whole second. For people who look at the table; the engine reads its timers off the state.
fn wake_at(saga: &Saga) -> Option<Micros> {
    if saga.at_rest() {
        return None;
    }
    let courses = saga.steps.iter().flat_map(|step| [Some(&step.action), step.undo.as_ref().map(|undo| &undo.course)]);
    let backoff = |course: &Course| match course.flight {
        Flight::Backoff { until } => until,
        Flight::Sent { .. } | Flight::None => None,
    };
    let deadline = match saga.deadline {
        Deadline::At(at) => Some(at),
        Deadline::None | Deadline::Held { .. } => None,
    };
    let next = courses.flatten().filter_map(backoff).chain(deadline).min()?;
    Some(Micros(next.0.saturating_add(999_999).div_euclid(1_000_000).saturating_mul(1_000_000)))
}
