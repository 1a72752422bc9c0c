//! One view of a database that goes on changing.

use std::collections::HashMap;

use saga_model::ids::ShardCount;
use saga_model::{Definition, SagaId};
use sea_orm::{
    AccessMode, ColumnTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, EntityTrait, IsolationLevel,
    PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, TransactionOptions, TransactionTrait,
};
use uuid::Uuid;

use super::Unchecked;
use crate::store::StoreError;
use crate::store::codec::operators::request_status;
use crate::store::codec::ownership;
use crate::store::entity::{admin_request, definition, history, saga, shard};
use crate::store::rows::{DefinitionId, RequestStatus};

/// Sagas that one query reads: each may be half a megabyte.
const PAGE: u64 = 200;

/// A transaction that only reads and sees the database as it was when it began.
pub struct Snapshot {
    pub transaction: DatabaseTransaction,
    pub shards: ShardCount,
    pub definitions: HashMap<DefinitionId, Definition>,
    /// From which id on each shard has young sagas.
    live_from: HashMap<i16, Uuid>,
}

impl Snapshot {
    pub async fn take(db: &DatabaseConnection) -> Result<Self, Unchecked> {
        let options = match db.get_database_backend() {
            // SQLite reads from a snapshot by itself.
            DbBackend::Sqlite => TransactionOptions::default(),
            _ => TransactionOptions {
                isolation_level: Some(IsolationLevel::RepeatableRead),
                access_mode: Some(AccessMode::ReadOnly),
                ..TransactionOptions::default()
            },
        };
        let transaction = db.begin_with_options(options).await?;
        let rows = shard::Entity::find().all(&transaction).await?;
        let live_from: HashMap<i16, Uuid> = rows.into_iter().map(|row| (row.id, row.live_from)).collect();
        let shards = u16::try_from(live_from.len())
            .ok()
            .and_then(ShardCount::new)
            .ok_or_else(|| StoreError::Refused("the database has no shards: run `saga migrate`".to_owned()))?;
        let rows = definition::Entity::find().all(&transaction).await?;
        let definitions = rows.iter().map(ownership::definition).collect::<Result<_, _>>()?;
        Ok(Self { transaction, shards, definitions, live_from })
    }

    pub async fn sagas_in_all(&self) -> Result<u64, DbErr> {
        saga::Entity::find().count(&self.transaction).await
    }

    /// The sagas after `after` in order of id.
    pub async fn sagas(&self, after: Option<Uuid>) -> Result<Vec<saga::Model>, DbErr> {
        let mut find = saga::Entity::find();
        if let Some(after) = after {
            find = find.filter(saga::Column::Id.gt(after));
        }
        find.order_by_asc(saga::Column::Id).limit(PAGE).all(&self.transaction).await
    }

    /// The histories of these sagas, in order of saga and seq.
    pub async fn histories(&self, sagas: &[Uuid]) -> Result<Vec<history::Model>, DbErr> {
        use history::Column::{SagaId, Seq};
        let find = history::Entity::find().filter(SagaId.is_in(sagas.iter().copied()));
        find.order_by_asc(SagaId).order_by_asc(Seq).all(&self.transaction).await
    }

    /// How many verbs were granted, by saga.
    pub async fn granted(&self, sagas: &[Uuid]) -> Result<HashMap<Uuid, i64>, DbErr> {
        use admin_request::Column::{Id, SagaId, Shard, Status};
        let find = admin_request::Entity::find()
            .select_only()
            .column(SagaId)
            .column_as(Id.count(), "granted")
            .filter(SagaId.is_in(sagas.iter().copied()))
            .filter(Status.eq(request_status(RequestStatus::Done)))
            // The others are about dead letters.
            .filter(Shard.is_not_null())
            .group_by(SagaId);
        Ok(find.into_tuple::<(Uuid, i64)>().all(&self.transaction).await?.into_iter().collect())
    }

    /// Whether whoever takes its shard finds this saga, as far as it has to.
    pub fn finds(&self, row: &saga::Model) -> bool {
        let from = self.live_from.get(&self.shard_of(SagaId::from(row.id)));
        !row.active || row.lingering || from.is_some_and(|from| row.id >= *from)
    }

    pub async fn close(self) -> Result<(), DbErr> {
        self.transaction.rollback().await
    }

    /// The shard in which the rows of a saga belong.
    pub fn shard_of(&self, saga: SagaId) -> i16 {
        // There are 64 of them at most.
        i16::try_from(saga.slot().shard(self.shards).0).unwrap_or(i16::MAX)
    }
}
