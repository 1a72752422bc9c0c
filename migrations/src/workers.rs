//! What the sample workers keep: what they answered, and what they did.
//!
//! All times are microseconds since 1970-01-01T00:00:00Z. Texts that come from messages are `text`, never `jsonb`,
//! which refuses NUL and keeps the last of duplicate keys.

mod generations;
mod ledger;
mod notification;
mod payment;
mod stock;

use sea_orm_migration::MigrationTrait;

/// The workers' migrations, oldest first.
pub fn all() -> Vec<Box<dyn MigrationTrait>> {
    vec![
        Box::new(ledger::CreateLedger),
        Box::new(stock::CreateStock),
        Box::new(payment::CreatePayment),
        Box::new(notification::CreateNotification),
        Box::new(generations::CreateGenerations),
    ]
}
