//! What operators ask for and what they have to look at. Orchestrator and workers write both tables.

use sea_orm_migration::prelude::*;
use sea_orm_migration::schema::{
    big_integer, binary_null, integer, integer_null, small_integer_null, text, text_null, uuid, uuid_null,
};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(admin_request()).await?;
        let index = |name: &'static str| Index::create().name(name).table("admin_request").take();
        // The mailbox: its owner asks for it all the time, and it is nearly always empty.
        let pending = Expr::cust("status = 'PENDING'");
        manager.create_index(index("admin_request_pending").col("shard").col("id").and_where(pending).take()).await?;
        // The audit trail of a saga.
        manager.create_index(index("admin_request_saga").col("saga_id").col("id").take()).await?;
        manager.create_table(dead_letter()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table("dead_letter").take()).await?;
        manager.drop_table(Table::drop().table("admin_request").take()).await
    }
}

/// An operator's request and its audit record. `id` is a UUIDv7: the list is in its order. `body` is the verb as JSON,
/// for the owner of the shard; a request that nobody else has to answer is stored answered, without `shard`.
fn admin_request() -> TableCreateStatement {
    Table::create()
        .table("admin_request")
        .col(uuid("id").primary_key())
        .col(uuid_null("saga_id"))
        .col(small_integer_null("shard"))
        .col(text("action"))
        .col(text_null("body"))
        .col(text_null("actor"))
        .col(text_null("reason"))
        .col(integer_null("if_match"))
        .col(big_integer("at"))
        .col(text("status"))
        .col(text_null("code"))
        .col(text_null("detail"))
        .check(Expr::cust("status IN ('PENDING', 'DONE', 'REFUSED', 'WITHDRAWN')"))
        .check(Expr::cust("shard BETWEEN 0 AND 63"))
        .take()
}

/// A message that changed nothing. `id` is a UUIDv7: the list is in its order. `headers` is a JSON array of
/// `[name, value]`, the value's bytes in base64 (RFC 4648 section 4, padded).
fn dead_letter() -> TableCreateStatement {
    Table::create()
        .table("dead_letter")
        .col(uuid("id").primary_key())
        .col(text("topic"))
        .col(integer("partition"))
        .col(big_integer("offset"))
        .col(binary_null("key"))
        .col(binary_null("value"))
        .col(text("headers"))
        .col(text("code"))
        .col(text("detail"))
        .col(uuid_null("saga_id"))
        .col(big_integer("at"))
        .col(text("status"))
        .index(Index::create().name("dead_letter_once").unique().col("topic").col("partition").col("offset"))
        .check(Expr::cust("status IN ('NEW', 'REPLAYED', 'DISCARDED')"))
        .take()
}
