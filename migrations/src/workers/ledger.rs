//! `worker_ledger`: one row for each (saga, step) that a worker was asked about.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

pub struct CreateLedger;

impl MigrationName for CreateLedger {
    fn name(&self) -> &str {
        "workers_0001_ledger"
    }
}

#[derive(DeriveIden)]
enum WorkerLedger {
    Table,
    SagaId,
    Step,
    /// The highest round seen.
    Round,
    /// The code of its state, from 0: running, succeeded, rejected, undoing, undo refused, tombstone.
    Status,
    /// Whether the effect of `round` was begun and its outcome is not known.
    Unsettled,
    /// Who works on it: a number that no other batch of any worker has.
    Claim,
    /// Until when that work may be believed alive; 0 if nobody works on it.
    LeaseUntil,
    /// The highest round in which it was asked to undo; 0 if never.
    UndoRound,
    /// Of a tombstone: whether there was an effect.
    Undone,
    Output,
    ErrorCode,
    ErrorMessage,
    /// W3C `traceparent` of the span that did it, for the link from its compensation.
    Trace,
}

#[async_trait::async_trait]
impl MigrationTrait for CreateLedger {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let table = Table::create()
            .table(WorkerLedger::Table)
            .col(ColumnDef::new(WorkerLedger::SagaId).uuid().not_null())
            .col(ColumnDef::new(WorkerLedger::Step).text().not_null())
            .col(ColumnDef::new(WorkerLedger::Round).integer().not_null())
            .col(ColumnDef::new(WorkerLedger::Status).small_integer().not_null())
            .col(ColumnDef::new(WorkerLedger::Unsettled).boolean().not_null())
            .col(ColumnDef::new(WorkerLedger::Claim).big_integer().not_null())
            .col(ColumnDef::new(WorkerLedger::LeaseUntil).big_integer().not_null())
            .col(ColumnDef::new(WorkerLedger::UndoRound).integer().not_null())
            .col(ColumnDef::new(WorkerLedger::Undone).boolean().not_null())
            .col(ColumnDef::new(WorkerLedger::Output).text())
            .col(ColumnDef::new(WorkerLedger::ErrorCode).text())
            .col(ColumnDef::new(WorkerLedger::ErrorMessage).text())
            .col(ColumnDef::new(WorkerLedger::Trace).text())
            .primary_key(Index::create().col(WorkerLedger::SagaId).col(WorkerLedger::Step))
            .check(Expr::cust("status BETWEEN 0 AND 5"))
            .check(Expr::cust("round >= 0 AND undo_round >= 0"))
            .to_owned();
        manager.create_table(table).await?;
        if manager.get_database_backend() == DbBackend::Postgres {
            // Each row is changed once soon after it was made: room on its page keeps that change off the index.
            let sql = "ALTER TABLE worker_ledger SET (fillfactor = 50)";
            manager.get_connection().execute_unprepared(sql).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(WorkerLedger::Table).to_owned()).await
    }
}
