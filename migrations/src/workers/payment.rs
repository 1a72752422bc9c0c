//! `payment_entry`: the ledger of the simulated gateway.

use sea_orm_migration::prelude::*;

pub struct CreatePayment;

impl MigrationName for CreatePayment {
    fn name(&self) -> &str {
        "workers_0003_payment"
    }
}

#[derive(DeriveIden)]
enum PaymentEntry {
    Table,
    SagaId,
    Step,
    Round,
    /// 0: the capture, or the void that keeps it out; 1: the refund.
    Side,
    OrderId,
    /// The code of what it is, from 0: capture, void, refund.
    Kind,
    /// In hundredths; 0 of a void.
    Amount,
    Currency,
    At,
}

#[async_trait::async_trait]
impl MigrationTrait for CreatePayment {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let key = Index::create()
            .col(PaymentEntry::SagaId)
            .col(PaymentEntry::Step)
            .col(PaymentEntry::Round)
            .col(PaymentEntry::Side)
            .to_owned();
        let table = Table::create()
            .table(PaymentEntry::Table)
            .col(ColumnDef::new(PaymentEntry::SagaId).uuid().not_null())
            .col(ColumnDef::new(PaymentEntry::Step).text().not_null())
            .col(ColumnDef::new(PaymentEntry::Round).integer().not_null())
            .col(ColumnDef::new(PaymentEntry::Side).small_integer().not_null())
            .col(ColumnDef::new(PaymentEntry::OrderId).uuid().not_null())
            .col(ColumnDef::new(PaymentEntry::Kind).small_integer().not_null())
            .col(ColumnDef::new(PaymentEntry::Amount).big_integer().not_null())
            .col(ColumnDef::new(PaymentEntry::Currency).text().not_null())
            .col(ColumnDef::new(PaymentEntry::At).big_integer().not_null())
            .primary_key(&mut key.to_owned())
            .check(Expr::cust("round >= 1"))
            // One entry of each side: a capture or the void in its place, and a refund.
            .check(Expr::cust("(side = 0 AND kind IN (0, 1)) OR (side = 1 AND kind = 2)"))
            .check(Expr::cust("CASE kind WHEN 1 THEN amount = 0 ELSE amount >= 0 END"))
            .to_owned();
        manager.create_table(table).await?;
        // An order is its saga, so the primary key finds its entries; only a foreign order id needs an index.
        let foreign = Index::create()
            .name("payment_entry_foreign_order")
            .table(PaymentEntry::Table)
            .col(PaymentEntry::OrderId)
            .cond_where(Expr::col(PaymentEntry::OrderId).ne(Expr::col(PaymentEntry::SagaId)))
            .to_owned();
        manager.create_index(foreign).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(PaymentEntry::Table).to_owned()).await
    }
}
