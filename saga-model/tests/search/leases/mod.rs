//! Model 2: who owns a shard. Two instances, one shard, and everything that may be under way when it changes hands.
//!
//! The rules are those of the orchestrator's engine, which is asynchronous and cannot be run here step by step in all
//! orders; each stands beside the place where it really is. Sagas are reduced to what matters for ownership: rows, one
//! after the other, each with a domain event and (but for the last) a command whose reply leads to the next row.

mod bus;
mod database;
mod fair;
mod instance;
mod promises;
mod rules;
mod steps;
mod tell;
mod twin;
mod world;

pub use twin::Twin;
pub use world::{Size, World};
