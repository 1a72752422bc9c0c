//! The suite on Kafka, and Kafka's own trouble.

mod broker;
mod refusals;
mod rig;
mod throughput;
mod trouble;

use self::rig::KafkaRig;

crate::suite! { KafkaRig::new().await =>
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
    has_nothing_to_wait_for_when_quiet
}
