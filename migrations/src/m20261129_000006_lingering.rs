//! How the live sagas of a shard are found: those that were started lately by their ids, from `shard.live_from` on, the
//! others by a flag. An index of all that live would be touched by the start and by the end of each saga.
//!
//! An instance of a release before this one knows neither, and what it starts could be missed: this step is not made
//! while one runs.

use sea_orm::{DbBackend, Statement};
use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{boolean, uuid};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        nobody_runs(manager).await?;
        // The lowest of all ids, as each database keeps one.
        let lowest = match manager.get_database_backend() {
            DbBackend::Sqlite => "x'00000000000000000000000000000000'",
            _ => "'00000000-0000-0000-0000-000000000000'",
        };
        let live_from = uuid("live_from").default(Expr::cust(lowest)).take();
        manager.alter_table(Table::alter().table("shard").add_column(live_from).take()).await?;
        let lingering = boolean("lingering").default(false).take();
        manager.alter_table(Table::alter().table("saga").add_column(lingering).take()).await?;
        let flagged =
            Index::create().name("saga_lingering").table("saga").col("id").and_where(Expr::cust("lingering")).take();
        manager.create_index(flagged).await?;
        let connection = manager.get_connection();
        connection.execute_unprepared("UPDATE saga SET lingering = true WHERE active").await?;
        let last = "UPDATE shard SET live_from = (SELECT id FROM saga ORDER BY id DESC LIMIT 1) WHERE EXISTS (SELECT 1 FROM saga)";
        connection.execute_unprepared(last).await?;
        // Whoever has been frozen for so long that it counts as gone stores nothing any more.
        connection.execute_unprepared("UPDATE shard SET epoch = epoch + 1, owner = NULL, lease_until = 0").await?;
        manager.drop_index(Index::drop().name("saga_active").table("saga").to_owned()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        nobody_runs(manager).await?;
        manager.drop_index(Index::drop().name("saga_lingering").table("saga").to_owned()).await?;
        let active = Index::create().name("saga_active").table("saga").col("id").and_where(Expr::cust("active")).take();
        manager.create_index(active).await?;
        manager.alter_table(Table::alter().table("saga").drop_column("lingering").take()).await?;
        manager.alter_table(Table::alter().table("shard").drop_column("live_from").take()).await
    }
}

/// Refuses while an instance is alive. SQLite's file has one at most, which holds it locked.
async fn nobody_runs(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    if manager.get_database_backend() == DbBackend::Sqlite {
        return Ok(());
    }
    let alive =
        "SELECT id FROM instance WHERE alive_until > extract(epoch FROM clock_timestamp()) * 1000000 ORDER BY id";
    let rows = manager.get_connection().query_all_raw(Statement::from_string(DbBackend::Postgres, alive)).await?;
    let alive: Vec<String> = rows.iter().map(|row| row.try_get("", "id")).collect::<Result<_, _>>()?;
    if alive.is_empty() {
        return Ok(());
    }
    Err(DbErr::Custom(format!(
        "stop every `saga serve` first: this step cannot be made while instances run. Alive: {}; one that was killed \
         counts for LEASE_TIMEOUT more",
        alive.join(", ")
    )))
}
