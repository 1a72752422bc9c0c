//! The audit: operators' requests that have come to an end.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{error, rows};
use crate::store::Result;
use crate::store::codec::operators;
use crate::store::entity::admin_request::{Column, Entity};
use crate::store::rows::{AdminRequest, AuditFilter};

/// Requests that are not pending, newest first.
pub async fn list(db: &DatabaseConnection, filter: &AuditFilter) -> Result<Vec<AdminRequest>> {
    let mut find = Entity::find().filter(Expr::cust("status <> 'PENDING'"));
    if let Some(saga) = filter.saga {
        find = find.filter(Column::SagaId.eq(saga.uuid()));
    }
    for (column, value) in [(Column::Actor, &filter.actor), (Column::Action, &filter.action)] {
        if let Some(value) = value {
            find = find.filter(column.eq(value.as_str()));
        }
    }
    if let Some(before) = filter.before {
        find = find.filter(Column::Id.lt(before));
    }
    let page = find.order_by_desc(Column::Id).limit(rows(filter.limit));
    page.all(db).await.map_err(error::orm)?.into_iter().map(operators::request).collect()
}
