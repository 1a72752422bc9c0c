//! The schema, one code for Postgres and SQLite.
pub mod workers;
