//! What Postgres and SQLite have in common: reads, operators' rows, errors, and whether writes are taken; sea-orm.

pub mod audit;
pub mod definitions;
pub mod error;
pub mod letters;
pub mod operators;
pub mod reads;
pub mod transaction;
pub mod writes;

use sea_orm::sea_query::extension::postgres::PgExpr;
use sea_orm::sea_query::{Expr, ExprTrait, Value, ValueType};
use sea_orm::{ColumnTrait, ConnectionTrait, DbBackend};

/// `column` is one of `values`. On Postgres they are one bound array, so that the text of the statement, and with it
/// the statement that the server has prepared, is the same for any number of them.
fn any_of<C, V>(db: &impl ConnectionTrait, column: C, values: Vec<V>) -> Expr
where
    C: ColumnTrait,
    V: Into<Value> + ValueType + sea_orm::sea_query::postgres_array::NotU8,
{
    let column = Expr::col((column.entity_name(), column));
    match db.get_database_backend() {
        DbBackend::Postgres => column.eq_any(values),
        _ => column.is_in(values),
    }
}

/// A number of rows as SQL takes it: its numbers are signed.
fn rows(limit: u64) -> u64 {
    Ord::min(limit, i64::MAX as u64)
}
