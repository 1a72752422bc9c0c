//! Who owns which part of the sagas: `shard` and `instance`.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{big_integer, small_integer, text, text_null};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // One row a shard, made by `migrate`; how many there are is the shard count. `epoch` is the fence of every
        // commit, the marks (`last_seq`, `published`, `reply_offset`, `untaken`) are written with it.
        let mut shard = Table::create();
        shard
            .table("shard")
            .col(small_integer("id").primary_key())
            .col(text_null("owner"))
            .col(big_integer("epoch").default(0))
            .col(big_integer("lease_until").default(0))
            .col(big_integer("last_seq").default(0))
            .col(big_integer("published").default(0))
            .col(big_integer("reply_offset").default(0))
            .col(text("untaken").default("{}"))
            .check(Expr::cust("id BETWEEN 0 AND 63"))
            .check(Expr::cust("epoch >= 0"))
            .check(Expr::cust("published BETWEEN 0 AND last_seq"))
            .check(Expr::cust("reply_offset >= 0"));
        let mut instance = Table::create();
        instance.table("instance").col(text("id").primary_key()).col(big_integer("alive_until"));
        if manager.get_database_backend() == DbBackend::Postgres {
            // A few rows that change with every commit: room on their page for the new versions.
            shard.extra("WITH (fillfactor = 10)");
            instance.extra("WITH (fillfactor = 10)");
        }
        manager.create_table(shard).await?;
        manager.create_table(instance).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("instance").take()).await?;
        manager.drop_table(Table::drop().table("shard").take()).await
    }
}
