//! Rows bound as columns: each column is one array.

use sqlx::Postgres;
use sqlx::postgres::{PgArguments, PgBindIterExt};
use sqlx::query::Query;
use uuid::Uuid;

use crate::store::codec::batch::{BatchRows, MarksRow};
use crate::store::codec::history::Entry;
use crate::store::codec::operators::AnswerRow;
use crate::store::codec::saga::{Change, New};
use crate::store::entity::{dead_letter, idempotency};

/// A statement with some of its arguments.
pub type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// Adds columns of `$row` to the arguments of a statement, in the order in which they are named.
macro_rules! columns {
    ($(#[$doc:meta])* $name:ident($row:ident: $type:ty) { $($column:expr),* $(,)? }) => {
        $(#[$doc])*
        pub fn $name<'q>(statement: Statement<'q>, rows: &[$type]) -> Statement<'q> {
            statement$(.bind(rows.iter().map(|$row| $column).bind_iter()))*
        }
    };
}

columns! {
    /// The fence and the new marks of shards.
    marks(row: MarksRow) {
        row.id, row.epoch, row.last_seq, row.published, row.reply_offset, &row.untaken, row.live_from,
    }
}

columns! {
    /// Answers to operators' requests.
    answers(row: AnswerRow) {
        row.request, row.status, &row.code, &row.detail,
    }
}

columns! {
    /// Idempotency keys.
    keys(row: idempotency::Model) {
        &row.caller, &row.path, &row.key, &row.fingerprint, row.saga_id, row.at,
    }
}

columns! {
    /// New sagas: all columns.
    inserts(row: New) {
        row.rest.id, row.slot, row.origin.definition.0, row.origin.user_id, &row.origin.business_key,
        row.origin.input.get(), &row.rest.state, row.rest.status, row.rest.order_status, row.rest.active,
        row.rest.held, &row.rest.step, &row.rest.error_code, row.rest.revision, row.created_at, row.rest.updated_at,
        row.rest.wake_at, &row.origin.traceparent, row.rest.lingering,
    }
}

columns! {
    /// Sagas stored before: the columns that a transition changes.
    updates(row: Change) {
        row.id, &row.state, row.status, row.order_status, row.active, row.held, &row.step, &row.error_code,
        row.revision, row.updated_at, row.wake_at, row.lingering,
    }
}

columns! {
    /// Sagas that are lingering from now on.
    lingering(saga: Uuid) { *saga }
}

columns! {
    /// History rows.
    history(row: Entry) {
        row.saga_id, row.seq, row.shard, row.shard_seq, row.at, row.kind, row.step, row.round, row.attempt,
        &row.data, row.actor.as_ref(),
    }
}

columns! {
    /// Dead letters.
    dead_letters(row: dead_letter::Model) {
        row.id, &row.topic, row.partition, row.offset, &row.key, &row.value, &row.headers, &row.code, &row.detail,
        row.saga_id, row.at, &row.status,
    }
}

/// How many bytes the sagas and the history of a batch take as arguments, as a guess, so that room for them is made
/// once. Beside its texts of any length, a row of each table has so many:
pub fn bytes(rows: &BatchRows) -> usize {
    const ARRAYS: usize = 1024;
    const INSERT: usize = 320;
    const UPDATE: usize = 144;
    const ENTRY: usize = 128;
    let inserts = rows.inserts.iter().map(|row| INSERT + row.rest.state.len() + row.origin.input.get().len());
    let updates = rows.updates.iter().map(|row| UPDATE + row.state.len());
    let history = rows.history.iter().map(|row| ENTRY + row.data.len());
    ARRAYS + inserts.chain(updates).chain(history).sum::<usize>()
}
