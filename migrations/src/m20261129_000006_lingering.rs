//! How the live sagas of a shard are found: those that were started lately by their ids, from `shard.live_from` on, the
//! others by a flag. An index of all that live would be touched by the start and by the end of each saga.
//!
//! An instance of a release before this one, which may still run, knows neither: what it starts has higher ids, and is
//! found; only an ended saga that it has compensated meanwhile would be missed.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{boolean, uuid};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
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
        manager.drop_index(Index::drop().name("saga_active").table("saga").to_owned()).await
    }
}
