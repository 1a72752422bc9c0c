//! Each saga against its history, its columns and the shop's books.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use saga_model::history::{Row, RowKind};
use saga_model::state::{OrderStatus, Phase, Saga, StepStatus};
use saga_model::{Definition, SagaId, invariants};
use uuid::Uuid;

use super::snapshot::Snapshot;
use super::{Books, Checked, Listener, Rule, Standing, Unchecked, Violation};
use crate::store::codec;
use crate::store::entity::{history, saga};
use crate::store::rows::{SagaRecord, SagaWrite};

/// What the other tables say of a page of sagas.
struct Around {
    granted: HashMap<Uuid, i64>,
    books: BTreeMap<Uuid, Standing>,
}

pub async fn check(
    snapshot: &Snapshot,
    books: &dyn Books,
    listener: &mut dyn Listener,
    checked: &mut Checked,
) -> Result<(), Unchecked> {
    let mut after = None;
    loop {
        let page = snapshot.sagas(after).await?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.id);
        let ids: Vec<Uuid> = page.iter().map(|row| row.id).collect();
        let mut histories: HashMap<Uuid, Vec<history::Model>> = HashMap::new();
        for row in snapshot.histories(&ids).await? {
            checked.transitions += 1;
            histories.entry(row.saga_id).or_default().push(row);
        }
        let around = Around {
            granted: snapshot.granted(&ids).await?,
            books: books.standing(&snapshot.transaction, &ids).await?,
        };
        for row in page {
            let id = SagaId::from(row.id);
            let history = histories.remove(&row.id).unwrap_or_default();
            match saga(snapshot, row, history, &around) {
                Ok(broken) => broken.into_iter().for_each(|violation| listener.found(violation)),
                Err(why) => listener.found(Rule::Readable.broken(Some(id), why)),
            }
            checked.sagas += 1;
        }
        listener.checked(*checked);
    }
}

/// What is wrong with one saga; or why that cannot be told.
fn saga(
    snapshot: &Snapshot,
    row: saga::Model,
    history: Vec<history::Model>,
    around: &Around,
) -> Result<Vec<Violation>, String> {
    let id = SagaId::from(row.id);
    let mut broken = Vec::new();
    if let Some(stray) = history.iter().find(|stray| stray.shard != snapshot.shard_of(id)) {
        broken.push(Rule::Shard.broken(Some(id), format!("row {} stands in shard {}", stray.seq, stray.shard)));
    }
    if !snapshot.finds(&row) {
        broken.push(Rule::Found.broken(Some(id), "it lives, and a takeover would not load it".to_owned()));
    }
    let record = codec::saga::record(row.clone()).map_err(|error| error.to_string())?;
    let definition = snapshot
        .definitions
        .get(&record.origin.definition)
        .ok_or_else(|| format!("its definition {} is not there", record.origin.definition.0))?;
    let rows = history.into_iter().map(|row| codec::history::record(row).map(|entry| Arc::unwrap_or_clone(entry.row)));
    let rows: Vec<Row> = rows.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    broken.extend(invariants::check(definition, &record.saga, &rows).into_iter().map(|violation| Violation {
        saga_id: Some(id),
        rule: format!("INV-{}", violation.number),
        name: violation.name.to_owned(),
        found: violation.what,
    }));
    broken.extend(columns(&record, definition, &row).map(|found| Rule::Columns.broken(Some(id), found)));
    let granted = around.granted.get(&row.id).copied().unwrap_or_default();
    let acted = rows.iter().filter(|row| row.kind == RowKind::OperatorActed).count() as i64;
    if granted != acted {
        let found = format!("{granted} requests were granted, {acted} verbs are in the history");
        broken.push(Rule::Verb.broken(Some(id), found));
    }
    let stands = around.books.get(&row.id).copied().unwrap_or_default();
    broken.extend(books(&record.saga, definition, stands).map(|(rule, found)| rule.broken(Some(id), found)));
    Ok(broken)
}

fn columns(record: &SagaRecord, definition: &Definition, stored: &saga::Model) -> Option<String> {
    let write = SagaWrite { lingering: stored.lingering, ..SagaWrite::of(record, definition) };
    match codec::saga::row(&write) {
        Ok(expected) if expected == *stored => None,
        Ok(expected) => Some(format!("they are {:?}, and should be {:?}", brief(stored), brief(&expected))),
        Err(error) => Some(error.to_string()),
    }
}

/// The columns that follow from the state.
fn brief(row: &saga::Model) -> impl std::fmt::Debug + use<> {
    let words = (row.status.clone(), row.order_status.clone(), row.step.clone(), row.error_code.clone());
    (words, row.slot, row.active, row.held, row.revision, row.created_at, row.updated_at, row.wake_at)
}

/// What is wrong with what stands of a saga in the shop's books. What an operator skipped, waived or resolved is theirs.
fn books(saga: &Saga, definition: &Definition, stands: Standing) -> Option<(Rule, String)> {
    let found =
        || format!("{} captures ({} hundredths) and {} units stand", stands.captures, stands.money, stands.units);
    if stands.captures > 1 {
        return Some((Rule::OneCapture, found()));
    }
    match saga.phase {
        Phase::Compensated => (stands != Standing::default()).then(|| (Rule::Compensated, found())),
        Phase::Completed if saga.order == OrderStatus::Confirmed => {
            let skipped = definition.steps().any(|(step, _)| saga.step(step).status != StepStatus::Succeeded);
            let right = stands.captures == 1 && stands.money > 0 && stands.units > 0;
            (!right && !skipped).then(|| (Rule::Confirmed, found()))
        }
        Phase::Completed | Phase::Resolved | Phase::Forward | Phase::Unwinding | Phase::Closing => None,
    }
}
