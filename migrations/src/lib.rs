//! The database schema, one code for Postgres and SQLite: the orchestrator's tables and the workers'.
//!
//! # Expand, then contract
//!
//! A migration that has been released is never edited; a change is a new one. While a new release is rolled out,
//! instances of the old one are still running on the new schema, so a change that the old code could not live with
//! takes two releases. The first *expands*: it adds columns (nullable, or with a default), tables and indexes, writes
//! both old and new, and reads the new where it is filled. The second *contracts*: it drops what nothing reads any
//! more. So the order is: `saga migrate` of the new release, then its processes one after the other; going
//! back one release needs no step back of the schema, as long as nothing is started on a schema newer than itself:
//! [`check()`] refuses that, because only the newer release knows whether it is safe. A step
//! for which two releases would cost too much refuses to be made while instances run, and says so.
//!
//! On Postgres all pending migrations run in one transaction, under a lock: they all happen or none does, however many
//! `saga migrate` run at once. An index on a large table that must not block writers needs a road of its own then
//! (`CREATE INDEX CONCURRENTLY` beforehand, by hand, under the name that the migration creates `IF NOT EXISTS`).
//!
//! # What the tables have in common
//!
//! Times and spans are integers, microseconds since 1970. JSON is opaque text: `jsonb` refuses `\u0000` and keeps the
//! last of duplicate keys. No foreign keys between the tables of the hot path: their rows are written by one
//! transaction of one owner, and the check of each would lock the row that it points at.

mod m20260101_000001_ownership;
mod m20260101_000002_sagas;
mod m20260101_000003_idempotency;
mod m20260101_000004_operators;
mod m20260101_000005_claims;
mod m20261129_000006_lingering;
pub mod workers;

mod check;
mod migrate;

pub use check::{SchemaProblem, check, shard_count};
pub use migrate::{MigrateError, migrate};

use sea_orm_migration::MigrationTrait;
pub use sea_orm_migration::MigratorTrait;

/// All migrations: the orchestrator's, then the workers'.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        let mut all: Vec<Box<dyn MigrationTrait>> = vec![
            Box::new(m20260101_000001_ownership::Migration),
            Box::new(m20260101_000002_sagas::Migration),
            Box::new(m20260101_000003_idempotency::Migration),
            Box::new(m20260101_000004_operators::Migration),
            Box::new(m20260101_000005_claims::Migration),
            Box::new(m20261129_000006_lingering::Migration),
        ];
        all.extend(workers::all());
        all
    }
}
