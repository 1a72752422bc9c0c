//! Talking to Kafka: the settings of every client, topics, and what a message may do to a library.
//!
//! Kafka's offsets and topics are never the truth here. What matters is that nothing is lost between a producer
//! and the broker (acks of all replicas, no time limit), that keys land where every Kafka client would put them, and
//! that an offset is committed only by us.

mod admin;
mod config;
mod dead_letter;
mod headers;
mod log;
pub mod topics;

pub use admin::{Admin, AdminError};
pub use config::{Batching, MAX_PRODUCED_BYTES, assigned_consumer, group_consumer, producer};
pub use dead_letter::{DeadLetter, Diagnosis};
pub use headers::{headers_of, to_headers};
pub use log::{ClientLog, client_error, client_log};
