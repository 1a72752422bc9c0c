//! The participants of a saga, and the runtime that makes their effects happen at most once.
//!
//! Reading order: what a [`participant`] has to say; the duty around it, [`runtime`] and [`ledger`]; how messages
//! travel, [`transport`]; the [`shop`]'s own participants; and the two ways to run them, [`process`] (a worker on
//! Kafka) and [`local`] (within `saga dev`).

pub mod participant;

pub mod ledger;
pub mod runtime;

pub mod layers;
pub mod patience;
pub mod trouble;

pub mod dead_letter;
pub mod transport;

pub mod audit;
pub mod observe;
pub mod spans;
pub mod sql;

pub mod shop;

pub mod http;
pub mod local;
pub mod process;
pub mod settings;
