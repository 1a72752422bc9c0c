//! The orchestrator: one corridor from what happened to what is done about it.

pub mod app;
pub mod bus;
pub mod cli;
pub mod engine;
pub mod http;
pub mod store;
