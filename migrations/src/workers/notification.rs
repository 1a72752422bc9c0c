//! `notification_sent`: what the customers were told.

use sea_orm_migration::prelude::*;

pub struct CreateNotification;

impl MigrationName for CreateNotification {
    fn name(&self) -> &str {
        "workers_0004_notification"
    }
}

#[derive(DeriveIden)]
enum NotificationSent {
    Table,
    SagaId,
    Step,
    Round,
    OrderId,
    /// Null in a row that keeps a late notification out.
    Outcome,
    At,
}

#[async_trait::async_trait]
impl MigrationTrait for CreateNotification {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let key = Index::create()
            .col(NotificationSent::SagaId)
            .col(NotificationSent::Step)
            .col(NotificationSent::Round)
            .to_owned();
        let table = Table::create()
            .table(NotificationSent::Table)
            .col(ColumnDef::new(NotificationSent::SagaId).uuid().not_null())
            .col(ColumnDef::new(NotificationSent::Step).text().not_null())
            .col(ColumnDef::new(NotificationSent::Round).integer().not_null())
            .col(ColumnDef::new(NotificationSent::OrderId).uuid().not_null())
            .col(ColumnDef::new(NotificationSent::Outcome).text())
            .col(ColumnDef::new(NotificationSent::At).big_integer().not_null())
            .primary_key(&mut key.to_owned())
            .check(Expr::cust("round >= 1"))
            .to_owned();
        manager.create_table(table).await?;
        // An order is its saga, so the primary key finds it; only a foreign order id needs an index.
        let foreign = Index::create()
            .name("notification_sent_foreign_order")
            .table(NotificationSent::Table)
            .col(NotificationSent::OrderId)
            .cond_where(Expr::col(NotificationSent::OrderId).ne(Expr::col(NotificationSent::SagaId)))
            .to_owned();
        manager.create_index(foreign).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_table(Table::drop().table(NotificationSent::Table).to_owned()).await
    }
}
