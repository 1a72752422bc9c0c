//! Table `reservation`.

use sea_orm::entity::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "reservation")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub saga_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub step: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub round: i32,
    pub status: i16,
    #[sea_orm(column_type = "Text")]
    pub lines: String,
    pub generation: i64,
    pub held: bool,
    pub released_in: Option<i64>,
    pub at: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
