//! Idempotency keys.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, text, uuid};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // `caller` is the name of the API key, empty for callers without one.
        manager
            .create_table(
                Table::create()
                    .table("idempotency")
                    .col(text("caller"))
                    .col(text("path"))
                    .col(text("key"))
                    .col(text("fingerprint"))
                    .col(uuid("saga_id"))
                    .col(big_integer("at"))
                    .primary_key(Index::create().name("idempotency_pkey").col("caller").col("path").col("key"))
                    .take(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("idempotency").take()).await
    }
}
