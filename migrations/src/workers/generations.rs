//! `stock_generation_number`: where the numbers of generations come from. Only Postgres has it: SQLite has no Redis in
//! front of it, and its generation stays 0.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

pub struct CreateGenerations;

impl MigrationName for CreateGenerations {
    fn name(&self) -> &str {
        "workers_0005_generations"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for CreateGenerations {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() != DbBackend::Postgres {
            return Ok(());
        }
        // It goes on above the numbers that were given before, which were times.
        let begin = "CREATE SEQUENCE stock_generation_number; \
            SELECT setval('stock_generation_number', max(generation) + 1, false) FROM stock_generation";
        manager.get_connection().execute_unprepared(begin).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Postgres {
            manager.get_connection().execute_unprepared("DROP SEQUENCE stock_generation_number").await?;
        }
        Ok(())
    }
}
