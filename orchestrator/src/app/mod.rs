//! The wiring: what `saga serve`, `saga dev` and `saga migrate` are made of. There is one engine and one HTTP
//! interface; only what they stand on differs.

mod audit;
mod dev;
mod entrance;
mod ids;
mod lifecycle;
mod migrate;
mod serve;

pub use audit::{AuditArgs, audit};
pub use dev::{DevArgs, dev};
pub use migrate::{MigrateArgs, migrate};
pub use serve::{ServeArgs, serve};
