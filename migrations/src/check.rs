//! Whether a database is as this release needs it.

use std::collections::BTreeSet;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, Statement};
use sea_orm_migration::{MigratorTrait, SchemaManager, seaql_migrations};

use crate::Migrator;

/// Why a process must not start on a database.
#[derive(Debug, thiserror::Error)]
pub enum SchemaProblem {
    /// Run `saga migrate` first.
    #[error("the database schema is outdated (missing: {}): run `saga migrate`", missing.join(", "))]
    Outdated { missing: Vec<String> },
    /// Only a newer release knows what has become of the tables.
    #[error("the database schema is newer than this release (unknown: {})", unknown.join(", "))]
    Newer { unknown: Vec<String> },
    /// The tables are there, the rows of the shards are not.
    #[error("the database has no shards, or not 1, 2, 4 … 64 of them: run `saga migrate`")]
    NoShards,
    /// It could not be asked, or not understood: whether that passes is the caller's to judge.
    #[error("the database schema could not be read")]
    Database(#[from] DbErr),
}

/// Whether the schema is the one of this release, neither older nor newer, and set up with shards.
///
/// # Errors
/// A [`SchemaProblem`] says what is the matter.
pub async fn check(db: &DatabaseConnection) -> Result<(), SchemaProblem> {
    let known: Vec<String> = Migrator::migrations().iter().map(|migration| migration.name().to_owned()).collect();
    let applied: BTreeSet<String> = if SchemaManager::new(db).has_table("seaql_migrations").await? {
        seaql_migrations::Entity::find().all(db).await?.into_iter().map(|row| row.version).collect()
    } else {
        BTreeSet::new()
    };
    let unknown: Vec<String> = applied.iter().filter(|name| !known.contains(name)).cloned().collect();
    if !unknown.is_empty() {
        return Err(SchemaProblem::Newer { unknown });
    }
    let missing: Vec<String> = known.into_iter().filter(|name| !applied.contains(name)).collect();
    if !missing.is_empty() {
        return Err(SchemaProblem::Outdated { missing });
    }
    shard_count(db).await.map(|_| ())
}

/// How many shards the database was set up with; also the partition count of the reply topic.
///
/// # Errors
/// [`SchemaProblem::NoShards`] where it was not set up, [`SchemaProblem::Database`] where it cannot be asked.
pub async fn shard_count(db: &DatabaseConnection) -> Result<u16, SchemaProblem> {
    let count = count_shards(db).await?;
    if count.is_power_of_two() && count <= 64 { Ok(count) } else { Err(SchemaProblem::NoShards) }
}

pub(crate) async fn count_shards(db: &impl ConnectionTrait) -> Result<u16, DbErr> {
    let select = Statement::from_string(db.get_database_backend(), "SELECT count(*) AS shards FROM shard");
    let row = db.query_one_raw(select).await?.ok_or_else(|| DbErr::RecordNotFound("a count".to_owned()))?;
    let count: i64 = row.try_get("", "shards")?;
    u16::try_from(count).map_err(|_| DbErr::Type(format!("{count} shards")))
}
