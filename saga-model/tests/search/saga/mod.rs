//! Model 1: one saga. The real machine; workers that do their duty, die and wake up; messages that are lost, repeated
//! and reordered; timers and operators at any moment.

mod book;
mod channel;
pub mod definitions;
mod fair;
mod live;
mod moves;
mod page_checks;
mod plain;
mod stimulus;
mod tell;
mod truth;
mod twin;
mod worker;
mod world;

pub use twin::Twin;
pub use world::{Trouble, World};
