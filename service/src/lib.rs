//! What the orchestrator and the workers share.
//!
//! This crate knows nothing of a saga's logic, of SQL or of participants. It holds the ways in which every
//! process of the project looks the same from outside: how it is configured, whom it lets in, how it refuses,
//! how it says that it is well, what it counts, logs and traces, how it ends, and how it talks to Kafka.
//!
//! Reading order: [`settings`], [`keys`], [`problem`], [`http`], [`health`], [`metrics`], [`telemetry`], [`kafka`].
#![deny(unsafe_code)]

pub mod settings;

pub mod announce;
pub mod duration;
pub mod exit;
pub mod shutdown;
pub mod time;

pub mod keys;
pub mod problem;

pub mod http;

pub mod headers;
pub mod health;
pub mod metrics;

pub mod telemetry;
pub mod traceparent;

pub mod cloudevents;
pub mod kafka;
