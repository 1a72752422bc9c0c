//! The HTTP API as its clients meet it, sentence by sentence of what it promises.

mod admin;
mod audit;
mod audit_list;
mod cli;
mod cli_lists;
mod corridor;
mod dead_letters;
mod errors;
mod fire;
mod held;
mod idempotency;
mod lingering;
mod orders;
mod sagas;
mod scopes;
mod start;
mod support;
mod trouble;
mod waiting;
