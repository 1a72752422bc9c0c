//! One suite for both buses, and what only Kafka can get into.
//!
//! Kafka is asked for at `KAFKA_BROKERS`; tests that kill a broker start one of their own.

mod acks;
mod cases;
mod kafka;
mod local;
mod rig;

/// Makes a test of each case for a bus.
macro_rules! suite {
    ($rig:expr => $($case:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::cases::$case(&mut $rig).await;
            }
        )+
    };
}
pub(crate) use suite;
