//! The wiring: what `saga serve`, `saga dev`, `saga migrate`, `saga republish` and `saga audit` are made of. There is
//! one engine and one HTTP interface; only what they stand on differs.

mod audit;
mod dev;
mod entrance;
mod ids;
mod lifecycle;
mod migrate;
mod republish;
mod serve;

pub use audit::{AuditArgs, audit};
pub use dev::{DevArgs, dev};
pub use migrate::{MigrateArgs, migrate};
pub use republish::{RepublishArgs, republish};
pub use serve::{ServeArgs, serve};
