//! Operators' requests, pending and answered.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "admin_request")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub saga_id: Option<Uuid>,
    pub shard: Option<i16>,
    pub action: String,
    pub body: Option<String>,
    pub actor: Option<String>,
    pub reason: Option<String>,
    pub if_match: Option<i32>,
    pub at: i64,
    pub status: String,
    pub code: Option<String>,
    pub detail: Option<String>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
