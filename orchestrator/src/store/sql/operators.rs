//! Operators' requests.

use saga_model::ids::ShardId;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder};
use uuid::Uuid;

use super::{any_of, error};
use crate::store::Result;
use crate::store::codec::{operators, ownership};
use crate::store::entity::admin_request;
use crate::store::rows::{AdminAnswer, AdminRequest, RequestStatus};

/// Stores a request.
pub async fn put_request(db: &DatabaseConnection, request: &AdminRequest) -> Result<()> {
    let row = operators::request_row(request)?.into_active_model();
    let insert = admin_request::Entity::insert(row).exec_without_returning(db);
    insert.await.map(drop).map_err(error::orm)
}

/// Pending requests for these shards, oldest first.
pub async fn pending_requests(db: &DatabaseConnection, shards: &[ShardId]) -> Result<Vec<AdminRequest>> {
    use admin_request::{Column, Entity};
    if shards.is_empty() {
        return Ok(Vec::new());
    }
    let shards = shards.iter().map(|shard| ownership::shard_id(*shard)).collect::<Result<Vec<i16>>>()?;
    let rows = Entity::find()
        // As the partial index has it: a bound value would not be seen to match.
        .filter(Expr::cust("status = 'PENDING'"))
        .filter(any_of(db, Column::Shard, shards))
        .order_by_asc(Column::Id)
        .all(db)
        .await
        .map_err(error::orm)?;
    rows.into_iter().map(operators::request).collect()
}

/// The answers to these requests.
pub async fn answers(db: &DatabaseConnection, requests: &[Uuid]) -> Result<Vec<AdminAnswer>> {
    use admin_request::{Column, Entity};
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let answered = [RequestStatus::Done, RequestStatus::Refused].map(operators::request_status);
    let rows = Entity::find()
        .filter(any_of(db, Column::Id, requests.to_vec()))
        .filter(Column::Status.is_in(answered))
        .all(db)
        .await
        .map_err(error::orm)?;
    rows.into_iter().map(operators::answer).collect()
}

/// Takes a pending request back.
pub async fn withdraw_request(db: &DatabaseConnection, request: Uuid) -> Result<bool> {
    use admin_request::{Column, Entity};
    let update = Entity::update_many()
        .col_expr(Column::Status, Expr::value(operators::request_status(RequestStatus::Withdrawn)))
        .filter(Column::Id.eq(request))
        .filter(Column::Status.eq(operators::request_status(RequestStatus::Pending)));
    let done = update.exec(db).await.map_err(error::orm)?;
    Ok(done.rows_affected == 1)
}
