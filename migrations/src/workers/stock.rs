//! `stock`, `reservation` and `stock_generation`: what the inventory worker sells.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;

pub struct CreateStock;

impl MigrationName for CreateStock {
    fn name(&self) -> &str {
        "workers_0002_stock"
    }
}

#[derive(DeriveIden)]
enum Stock {
    Table,
    Sku,
    /// All units ever put on the shelf. What is available is what of them is neither reserved nor sold.
    OnHand,
    Reserved,
    Sold,
}

#[derive(DeriveIden)]
enum Reservation {
    Table,
    SagaId,
    Step,
    Round,
    /// The code of its state, from 0: reserved, sold, released.
    Status,
    /// `sku=quantity` of each line, separated by commas.
    Lines,
    /// The generation of Redis that admitted it; 0 where SQL admits alone.
    Generation,
    /// Whether units were ever set apart for it; a row without any keeps a late reservation out.
    Held,
    /// The generation in which it was released; null before.
    ReleasedIn,
    /// When it was made.
    At,
}

#[derive(DeriveIden)]
enum StockGeneration {
    Table,
    Id,
    /// A number that no two rebuilds share.
    Generation,
}

#[async_trait::async_trait]
impl MigrationTrait for CreateStock {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let stock = Table::create()
            .table(Stock::Table)
            .col(ColumnDef::new(Stock::Sku).uuid().not_null().primary_key())
            .col(ColumnDef::new(Stock::OnHand).big_integer().not_null())
            .col(ColumnDef::new(Stock::Reserved).big_integer().not_null())
            .col(ColumnDef::new(Stock::Sold).big_integer().not_null())
            // The last word: whatever Redis believes, no unit is promised twice.
            .check(Expr::col(Stock::Reserved).gte(0))
            .check(Expr::col(Stock::Sold).gte(0))
            .check(Expr::col(Stock::OnHand).gte(Expr::col(Stock::Reserved).add(Expr::col(Stock::Sold))))
            .to_owned();
        manager.create_table(stock).await?;
        let reservation = Table::create()
            .table(Reservation::Table)
            .col(ColumnDef::new(Reservation::SagaId).uuid().not_null())
            .col(ColumnDef::new(Reservation::Step).text().not_null())
            .col(ColumnDef::new(Reservation::Round).integer().not_null())
            .col(ColumnDef::new(Reservation::Status).small_integer().not_null())
            .col(ColumnDef::new(Reservation::Lines).text().not_null())
            .col(ColumnDef::new(Reservation::Generation).big_integer().not_null())
            .col(ColumnDef::new(Reservation::Held).boolean().not_null())
            .col(ColumnDef::new(Reservation::ReleasedIn).big_integer())
            .col(ColumnDef::new(Reservation::At).big_integer().not_null())
            .primary_key(Index::create().col(Reservation::SagaId).col(Reservation::Step).col(Reservation::Round))
            .check(Expr::cust("status BETWEEN 0 AND 2"))
            .check(Expr::cust("round >= 1"))
            // What was never set apart is neither reserved nor sold.
            .check(Expr::cust("held OR status = 2"))
            .to_owned();
        manager.create_table(reservation).await?;
        let generation = Table::create()
            .table(StockGeneration::Table)
            .col(ColumnDef::new(StockGeneration::Id).integer().not_null().primary_key())
            .col(ColumnDef::new(StockGeneration::Generation).big_integer().not_null())
            .to_owned();
        manager.create_table(generation).await?;
        let first = Query::insert()
            .into_table(StockGeneration::Table)
            .columns([StockGeneration::Id, StockGeneration::Generation])
            .values_panic([1.into(), 0.into()])
            .to_owned();
        manager.get_connection().execute(&first).await?;
        if manager.get_database_backend() == DbBackend::Postgres {
            // Counters change in place with each batch, reservations once: room on the page keeps that off the index.
            for sql in ["ALTER TABLE stock SET (fillfactor = 20)", "ALTER TABLE reservation SET (fillfactor = 60)"] {
                manager.get_connection().execute_unprepared(sql).await?;
            }
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(StockGeneration::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Reservation::Table).to_owned()).await?;
        manager.drop_table(Table::drop().table(Stock::Table).to_owned()).await
    }
}
