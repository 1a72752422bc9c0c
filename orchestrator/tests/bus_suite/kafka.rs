//! The suite on Kafka, and Kafka's own trouble.

mod broker;
mod refusals;
mod rig;
mod single;
mod throughput;
mod trouble;

use self::rig::KafkaRig;

crate::suite! { KafkaRig::new().await }
