//! Generations: how Redis is loaded from SQL, and how everybody notices.
//!
//! A generation is a number in SQL that no two loads of Redis share. Redis says which one it holds, SQL which one counts;
//! where the two differ nobody admits anything before Redis is loaded anew. A load takes the row of the generation for
//! itself until it is done: reservations of the old generation are refused by SQL from then on, those on their way in
//! are waited for, and of several workers that notice at once one loads.

use sea_orm::sea_query::Expr;
use sea_orm::{ConnectionTrait, EntityTrait, QuerySelect, Statement};

use super::entity::generation::{self, ONLY};
use super::redis::gate::Gate;
use super::sql::rows;
use crate::sql::Db;
use crate::trouble::Trouble;

/// The generation that counts.
pub(super) async fn current(db: &impl ConnectionTrait) -> Result<i64, Trouble> {
    read(generation::Entity::find_by_id(ONLY).one(db).await?)
}

/// The generation that counts; it stays so until the transaction ends.
pub(super) async fn locked(db: &impl ConnectionTrait) -> Result<i64, Trouble> {
    read(generation::Entity::find_by_id(ONLY).lock_exclusive().one(db).await?)
}

fn read(row: Option<generation::Model>) -> Result<i64, Trouble> {
    let lost = || Trouble::Poison("stock_generation has lost its row".to_owned());
    row.map(|row| row.generation).ok_or_else(lost)
}

/// Begins a new generation. Its number comes from a sequence, which gives none twice, also if what it was given for is
/// never committed: a load that was given up may still go on in Redis, and must not be taken for the next one.
pub(super) async fn begin(db: &impl ConnectionTrait) -> Result<i64, Trouble> {
    let next = Statement::from_string(db.get_database_backend(), "SELECT nextval('stock_generation_number')");
    let row = db.query_one_raw(next).await?.ok_or_else(|| Trouble::Poison("a sequence gave no number".to_owned()))?;
    let new: i64 = row.try_get_by_index(0)?;
    let set = generation::Entity::update_many().col_expr(generation::Column::Generation, Expr::value(new));
    set.exec(db).await?;
    Ok(new)
}

/// Loads Redis from SQL, unless it holds the generation that counts already (and that is not `distrusted`). The
/// generation that counts then.
pub(super) async fn rebuild(db: &Db, gate: &Gate, distrusted: Option<i64>) -> Result<i64, Trouble> {
    let transaction = db.begin().await?;
    let old = locked(&transaction).await?;
    // Somebody else may have done it while we waited for the row.
    if distrusted != Some(old) && gate.holds(old).await? {
        transaction.rollback().await?;
        return Ok(old);
    }
    let new = begin(&transaction).await?;
    let levels = rows::levels(&transaction, None, u64::from(u32::MAX)).await?;
    // Redis first: if the commit then fails, the two differ and it is done once more, with another number.
    gate.load(new, &levels).await?;
    transaction.commit().await?;
    tracing::info!(generation = new, products = levels.len(), "Redis was loaded with the stock");
    Ok(new)
}
