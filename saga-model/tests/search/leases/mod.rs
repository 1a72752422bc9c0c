//! Model 2: who owns a shard. Two instances, one shard, and everything that may be under way when it changes hands.
//!
//! The rules are those of the orchestrator's engine, which is asynchronous and cannot be run here step by step in all
//! orders; each stands beside the place where it really is. Sagas are reduced to what matters for ownership: rows, one
//! after the other, each with a domain event and (but for the last) a command whose reply leads to the next row.

pub mod database;
pub mod fair;
pub mod instance;
pub mod rules;
pub mod tell;
pub mod twin;
pub mod world;

pub use twin::Twin;
pub use world::{Size, World};
