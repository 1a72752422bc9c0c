//! One row a transition.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "history")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub saga_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i32,
    pub shard: i16,
    pub shard_seq: i64,
    pub at: i64,
    #[sea_orm(column_name = "type")]
    pub kind: String,
    pub step: Option<i16>,
    pub round: Option<i32>,
    pub attempt: Option<i32>,
    pub data: String,
    pub actor: String,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
