//! Sagas.

use std::sync::Arc;

use saga_model::json::RawJson;
use saga_model::state::{Course, Deadline, Flight, Saga};
use saga_model::{Micros, SagaId};

use super::{json, number, plain, refused, word};
use crate::store::Result;
use crate::store::entity::saga::Model;
use crate::store::rows::{DefinitionId, Origin, SagaRecord, SagaWrite};

/// The row of a saga.
pub fn row(write: &SagaWrite) -> Result<Model> {
    let SagaRecord { saga, origin } = &write.record;
    let what = format_args!("saga {}", saga.id);
    Ok(Model {
        id: saga.id.uuid(),
        slot: i16::from(saga.id.slot().get()),
        definition_id: origin.definition.0,
        user_id: origin.user_id,
        business_key: origin.business_key.clone(),
        input: origin.input.get().to_owned(),
        state: json(what, &**saga)?,
        status: word(what, &saga.status())?,
        order_status: word(what, &saga.order)?,
        active: !saga.phase.is_final(),
        held: saga.at_rest() && !saga.phase.is_final(),
        step: write.step.as_deref().map(plain),
        error_code: write.error_code.as_deref().map(plain),
        revision: number(what, saga.revision)?,
        created_at: saga.created_at.0,
        updated_at: saga.updated_at.0,
        wake_at: wake_at(saga).map(|at| at.0),
        traceparent: origin.traceparent.clone(),
    })
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
