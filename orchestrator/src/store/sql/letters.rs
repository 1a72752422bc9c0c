//! Dead letters, and what operators do about them.
//!
//! A claim is a compare-and-set of one column, so that of many who want to replay a letter, at any instance, one
//! does; it runs out by itself if that one is killed. What became of the letter is stored with its audit record.

use saga_model::Micros;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, DatabaseConnection, EntityTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};
use uuid::Uuid;

use super::transaction::{End, write};
use super::{any_of, error, rows};
use crate::store::Result;
use crate::store::codec::operators;
use crate::store::entity::admin_request;
use crate::store::entity::dead_letter::{Column, Entity};
use crate::store::rows::{Claim, DeadLetter, DeadLetterFilter, DeadLetterStatus, LetterPage, Verdict};

/// What a letter takes, as both databases count: bytes of a value, characters of a text.
const SIZE: &str = "CAST(coalesce(length(value), 0) + coalesce(length(key), 0) + length(headers) AS bigint)";

/// Dead letters, newest first. How large they are is asked first, and no more are read than fit.
pub async fn list(db: &DatabaseConnection, filter: &DeadLetterFilter) -> Result<LetterPage> {
    let status = filter.status.map(operators::dead_letter_status);
    let mut find = Entity::find();
    for (column, value) in
        [(Column::Status, status), (Column::Topic, filter.topic.as_deref()), (Column::Code, filter.code.as_deref())]
    {
        if let Some(value) = value {
            find = find.filter(column.eq(value));
        }
    }
    let total = find.clone().count(db).await.map_err(error::orm)?;
    if let Some(before) = filter.before {
        find = find.filter(Column::Id.lt(before));
    }
    let page = find.order_by_desc(Column::Id).limit(rows(filter.limit.saturating_add(1)));
    let sizes = page.select_only().column(Column::Id).expr_as(Expr::cust(SIZE), "size").into_tuple::<(Uuid, i64)>();
    let mut found = sizes.all(db).await.map_err(error::orm)?;
    let fit = LetterPage::fit(found.iter().map(|(_, size)| size.unsigned_abs()), filter.limit);
    let more = found.len() > fit;
    found.truncate(fit);
    let ids: Vec<Uuid> = found.into_iter().map(|(id, _)| id).collect();
    let mut items = Vec::with_capacity(ids.len());
    if !ids.is_empty() {
        let read = Entity::find().filter(any_of(db, Column::Id, ids)).order_by_desc(Column::Id).all(db);
        for row in read.await.map_err(error::orm)? {
            items.push(operators::dead_letter(row)?);
        }
    }
    Ok(LetterPage { items, total, more })
}

/// The dead letter of an id.
pub async fn find(db: &DatabaseConnection, id: Uuid) -> Result<Option<DeadLetter>> {
    let row = Entity::find_by_id(id).one(db).await.map_err(error::orm)?;
    row.map(operators::dead_letter).transpose()
}

/// Claims a new letter that nobody has claimed, or whose claim has run out.
pub async fn claim(db: &DatabaseConnection, claim: Claim, now: Micros) -> Result<bool> {
    let update = Entity::update_many()
        .col_expr(Column::ClaimedUntil, Expr::value(claim.until.0))
        .filter(Column::Id.eq(claim.letter))
        .filter(Column::Status.eq(operators::dead_letter_status(DeadLetterStatus::New)))
        .filter(Column::ClaimedUntil.is_null().or(Column::ClaimedUntil.lte(now.0)));
    Ok(update.exec(db).await.map_err(error::orm)?.rows_affected == 1)
}

/// Ends a claim, if it still stands.
pub async fn close(db: &DatabaseConnection, claim: Claim, verdict: &Verdict) -> Result<bool> {
    let mut update = Entity::update_many()
        .col_expr(Column::ClaimedUntil, Expr::value(None::<i64>))
        .filter(Column::Id.eq(claim.letter))
        .filter(Column::Status.eq(operators::dead_letter_status(DeadLetterStatus::New)))
        .filter(Column::ClaimedUntil.eq(claim.until.0));
    let settles = verdict.settles();
    if let Some((status, _)) = settles {
        update = update.col_expr(Column::Status, Expr::value(operators::dead_letter_status(status)));
    }
    let record = settles.map(|(_, record)| operators::request_row(record)).transpose()?;
    write(db, move |transaction| {
        Box::pin(async move {
            if update.exec(transaction).await.map_err(error::orm)?.rows_affected == 0 {
                return Ok(End::RollBack(false));
            }
            if let Some(record) = record {
                let insert = admin_request::Entity::insert(record.into_active_model());
                insert.exec_without_returning(transaction).await.map_err(error::orm)?;
            }
            Ok(End::Commit(true))
        })
    })
    .await
}
