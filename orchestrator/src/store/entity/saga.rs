//! Sagas. `state` is the whole of one; the other columns are for queries, or never change.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "saga")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub slot: i16,
    pub definition_id: i64,
    pub user_id: Option<Uuid>,
    pub business_key: Option<String>,
    pub input: String,
    pub state: String,
    pub status: String,
    pub order_status: String,
    pub active: bool,
    pub held: bool,
    pub step: Option<String>,
    pub error_code: Option<String>,
    pub revision: i32,
    pub created_at: i64,
    pub updated_at: i64,
    pub wake_at: Option<i64>,
    pub traceparent: String,
    /// Has to be found by this flag while it lives: its id may be below `live_from` of its shard.
    pub lingering: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
