//! The tables against each other.

use saga_model::SagaId;
use sea_orm::ConnectionTrait;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, FromQueryResult, QuerySelect, Statement};
use uuid::Uuid;

use super::snapshot::Snapshot;
use super::{Books, Checked, Listener, Rule, Unchecked};
use crate::store::entity::{history, shard};

const ORPHANS: &str = "SELECT DISTINCT h.saga_id AS saga FROM history h \
    WHERE NOT EXISTS (SELECT 1 FROM saga s WHERE s.id = h.saga_id) LIMIT 100";
const KEYS: &str = "SELECT i.saga_id AS saga FROM idempotency i \
    WHERE NOT EXISTS (SELECT 1 FROM saga s WHERE s.id = i.saga_id) LIMIT 100";

#[derive(FromQueryResult)]
struct Stray {
    saga: Uuid,
}

pub async fn check(
    snapshot: &Snapshot,
    books: &dyn Books,
    listener: &mut dyn Listener,
    checked: &mut Checked,
) -> Result<(), Unchecked> {
    marks(snapshot, listener).await?;
    for saga in strays(snapshot, ORPHANS).await? {
        listener.found(Rule::Orphan.broken(Some(saga), "its history is there, and the saga is not".to_owned()));
    }
    for saga in strays(snapshot, KEYS).await? {
        listener.found(Rule::Key.broken(Some(saga), "a key stands for it, and it is not there".to_owned()));
    }
    let mut read = |reservations| {
        checked.reservations += reservations;
        listener.checked(*checked);
    };
    for wrong in books.wrong(&snapshot.transaction, &mut read).await? {
        listener.found(Rule::Sums.broken(None, wrong));
    }
    Ok(())
}

async fn strays(snapshot: &Snapshot, sql: &str) -> Result<Vec<SagaId>, DbErr> {
    let statement = Statement::from_string(snapshot.transaction.get_database_backend(), sql);
    let strays = Stray::find_by_statement(statement).all(&snapshot.transaction).await?;
    Ok(strays.into_iter().map(|stray| SagaId::from(stray.saga)).collect())
}

/// The last row of a shard is the last that it knows of.
async fn marks(snapshot: &Snapshot, listener: &mut dyn Listener) -> Result<(), DbErr> {
    use history::Column::{Shard, ShardSeq};
    let last = history::Entity::find()
        .select_only()
        .column(Shard)
        .column_as(ShardSeq.max(), "last")
        .group_by(Shard)
        .into_tuple::<(i16, i64)>()
        .all(&snapshot.transaction)
        .await?;
    for row in shard::Entity::find().all(&snapshot.transaction).await? {
        let there = last.iter().find(|(shard, _)| *shard == row.id).map_or(0, |(_, last)| *last);
        if there != row.last_seq {
            let found = format!("shard {}: its last row is {there}, and should be {}", row.id, row.last_seq);
            listener.found(Rule::Marks.broken(None, found));
        }
    }
    Ok(())
}
