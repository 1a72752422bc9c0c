//! Definitions, sagas and their history.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, big_integer_null, boolean, integer, integer_null, small_integer, small_integer_null, text, text_null,
    uuid, uuid_null,
};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(definition()).await?;
        manager.create_table(saga(manager.get_database_backend())).await?;
        for index in saga_indexes() {
            manager.create_index(index).await?;
        }
        manager.create_table(history()).await?;
        manager
            .create_index(
                Index::create().name("history_shard").table("history").col("shard").col("shard_seq").unique().take(),
            )
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in ["history", "saga", "definition"] {
            manager.drop_table(Table::drop().table(table).take()).await?;
        }
        Ok(())
    }
}

/// A blueprint with the settings it was resolved with. A saga pins one row for its whole life.
fn definition() -> TableCreateStatement {
    Table::create()
        .table("definition")
        .col(big_integer("id").auto_increment().primary_key())
        .col(text("name"))
        .col(integer("version"))
        .col(text("digest"))
        .col(text("blueprint"))
        .col(text("policy"))
        .index(Index::create().name("definition_pinned").unique().col("name").col("version").col("policy"))
        .check(Expr::cust("version >= 1"))
        .take()
}

/// A saga: `state` is the whole of it; the other columns are what queries need, and what never changes.
fn saga(backend: DbBackend) -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table("saga")
        .col(uuid("id").primary_key())
        .col(small_integer("slot"))
        .col(big_integer("definition_id"))
        .col(uuid_null("user_id"))
        .col(text_null("business_key"))
        .col(text("input"))
        .col(text("state"))
        .col(text("status"))
        .col(text("order_status"))
        // Not ended.
        .col(boolean("active"))
        // Waits for an operator (PAUSED, STUCK); active too.
        .col(boolean("held"))
        .col(text_null("step"))
        .col(text_null("error_code"))
        .col(integer("revision"))
        .col(big_integer("created_at"))
        .col(big_integer("updated_at"))
        .col(big_integer_null("wake_at"))
        .col(text("traceparent"))
        .check(Expr::cust("slot BETWEEN 0 AND 63"))
        .check(Expr::cust("revision >= 1"))
        .check(Expr::cust(
            "CASE status WHEN 'RUNNING' THEN active AND NOT held WHEN 'COMPENSATING' THEN active AND NOT held \
             WHEN 'STUCK' THEN active AND held WHEN 'PAUSED' THEN active AND held \
             WHEN 'COMPLETED' THEN NOT active AND NOT held WHEN 'COMPENSATED' THEN NOT active AND NOT held \
             WHEN 'RESOLVED' THEN NOT active AND NOT held ELSE 1 = 0 END",
        ))
        .check(Expr::cust("order_status IN ('CREATED', 'CONFIRMED', 'CANCELLED')"));
    if backend == DbBackend::Postgres {
        // Each transition rewrites the row: with room on its page that is a HOT update, which touches no index.
        table.extra("WITH (fillfactor = 50)");
    }
    table.take()
}

/// No index on, and no index predicate naming, a column that changes at each step: it would end HOT updates.
fn saga_indexes() -> [IndexCreateStatement; 4] {
    let index = |name: &'static str| Index::create().name(name).table("saga").take();
    [
        // The orders of a user.
        index("saga_user").col("user_id").col("id").and_where(Expr::cust("user_id IS NOT NULL")).take(),
        // Hashed (where there is a choice): a key may be longer than a sorted index can hold, and is asked for whole.
        index("saga_business_key")
            .index_type(IndexType::Hash)
            .col("business_key")
            .and_where(Expr::cust("business_key IS NOT NULL"))
            .take(),
        // Recovery read the live sagas of a shard by it, until `lingering`.
        index("saga_active").col("id").and_where(Expr::cust("active")).take(),
        // What waits for operators.
        index("saga_held").col("id").and_where(Expr::cust("held")).take(),
    ]
}

/// One row a transition. `shard_seq` is gapless in its shard: the rows are the outbox.
fn history() -> TableCreateStatement {
    Table::create()
        .table("history")
        .col(uuid("saga_id"))
        .col(integer("seq"))
        .col(small_integer("shard"))
        .col(big_integer("shard_seq"))
        .col(big_integer("at"))
        .col(text("type"))
        .col(small_integer_null("step"))
        .col(integer_null("round"))
        .col(integer_null("attempt"))
        .col(text("data"))
        .col(text("actor"))
        .primary_key(Index::create().name("history_pkey").col("saga_id").col("seq"))
        .check(Expr::cust("seq >= 1"))
        .check(Expr::cust("shard BETWEEN 0 AND 63"))
        .check(Expr::cust("shard_seq >= 1"))
        .check(Expr::cust("round >= 1"))
        .check(Expr::cust("attempt >= 1"))
        .take()
}
