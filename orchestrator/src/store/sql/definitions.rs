//! Definitions.

use sea_orm::{
    ActiveValue, ColumnTrait, DatabaseConnection, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder,
};

use saga_model::Definition;

use super::error;
use crate::store::codec::ownership::{DefinitionRow, definition};
use crate::store::entity::definition::{ActiveModel, Column, Entity};
use crate::store::rows::DefinitionId;
use crate::store::{Result, StoreError};

/// Finds or makes the row of a definition; in a transaction that no other one of these overlaps.
pub async fn pin(transaction: &DatabaseTransaction, row: DefinitionRow) -> Result<DefinitionId> {
    let same_number = Entity::find()
        .filter(Column::Name.eq(row.name.as_str()))
        .filter(Column::Version.eq(row.version))
        .all(transaction)
        .await
        .map_err(error::orm)?;
    if same_number.iter().any(|other| other.digest != row.digest) {
        return Err(StoreError::Refused(format!(
            "definition {} {} is in use with another content: give the new one another version",
            row.name, row.version
        )));
    }
    if let Some(same) = same_number.iter().find(|other| other.policy == row.policy) {
        return Ok(DefinitionId(same.id));
    }
    let insert = Entity::insert(ActiveModel {
        id: ActiveValue::NotSet,
        name: ActiveValue::Set(row.name),
        version: ActiveValue::Set(row.version),
        digest: ActiveValue::Set(row.digest),
        blueprint: ActiveValue::Set(row.blueprint),
        policy: ActiveValue::Set(row.policy),
    });
    let inserted = insert.exec(transaction).await.map_err(error::orm)?;
    Ok(DefinitionId(inserted.last_insert_id))
}

/// All definitions ever pinned, in order of id.
pub async fn all(db: &DatabaseConnection) -> Result<Vec<(DefinitionId, Definition)>> {
    let rows = Entity::find().order_by_asc(Column::Id).all(db).await.map_err(error::orm)?;
    rows.iter().map(definition).collect()
}
