//! One suite for both buses, and what only Kafka can get into.
//!
//! Kafka is asked for at `KAFKA_BROKERS`; tests that kill a broker start one of their own.

mod acks;
mod cases;
mod kafka;
mod local;
mod rig;

/// Makes a test of each case for a bus: the list stands here once, so that no bus can leave one out.
macro_rules! suite {
    (@tests $rig:expr => $($case:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::cases::$case(&mut $rig).await;
            }
        )+
    };
    ($rig:expr) => {
        $crate::suite! { @tests $rig =>
            keeps_the_order_within_a_partition
            acknowledges_each_with_where_it_is
            puts_keys_where_kafka_puts_them
            carries_all_of_a_message
            reads_replies_from_an_offset
            reads_from_the_beginning_what_lies_elsewhere
            takes_and_leaves_shards_without_loss_or_repeat
            knows_where_replies_end
            sees_how_far_the_workers_are
            carries_ten_thousand
            delivers_one_that_somebody_waits_for
            has_nothing_to_wait_for_when_quiet
        }
    };
}
pub(crate) use suite;
