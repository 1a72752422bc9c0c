//! The orchestrator: one corridor from what happened to what is done about it.

pub mod bus;
pub mod engine;
pub mod store;
