//! A whole system as its users run it: `saga serve` and workers as processes of their own, on real Postgres,
//! Kafka and Redis. Each [`Stack`] has its own database, topics and Redis number, so stacks run side by side.
#![allow(dead_code, unused_imports, reason = "each test binary uses a part of it")]

mod client;
mod process;
mod stack;
mod survival;
mod topics;

pub use client::{Client, Json, Reply};
pub use process::{PATIENCE, Process};
pub use stack::{Settings, Stack};
pub use stack::{binary_path, free_address};
pub use survival::orders_survive;
pub use topics::{Event, TopicReader};
