//! The workers' tables.

use sea_orm_migration::MigrationTrait;

/// The migrations of the workers' tables, in order.
pub fn all() -> Vec<Box<dyn MigrationTrait>> {
    Vec::new()
}
