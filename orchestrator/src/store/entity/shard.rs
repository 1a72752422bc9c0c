//! Shards: owner, epoch and marks.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "shard")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i16,
    pub owner: Option<String>,
    pub epoch: i64,
    pub lease_until: i64,
    pub last_seq: i64,
    pub published: i64,
    pub reply_offset: i64,
    /// JSON: `{topic: micros, …}`.
    pub untaken: String,
    /// No saga with a lower id lives but those that are lingering.
    pub live_from: Uuid,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
