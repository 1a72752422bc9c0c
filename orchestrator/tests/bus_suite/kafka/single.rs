//! One message that somebody waits for.

use std::sync::Arc;

use orchestrator::bus::{Bus, Message, Undelivered};

use super::broker::Broker;
use super::rig::{KafkaRig, brokers};
use crate::rig::Rig;

fn message(topic: &str, value: Vec<u8>) -> Message {
    Message { topic: Arc::from(topic), key: None, value: Some(value), headers: service::headers::Headers::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_too_large_is_refused_for_good() {
    let rig = KafkaRig::on(brokers()).await;
    // For its topic, and for any producer of ours.
    for megabytes in [1, 3] {
        let large = message("inventory.commands", vec![b'x'; megabytes * 1024 * 1024 + 1000]);
        let refused = rig.bus.deliver(large).await;
        assert!(matches!(refused, Err(Undelivered::Refused(_))), "{refused:?}");
    }
    rig.bus.deliver(message("inventory.commands", b"small".to_vec())).await.unwrap();
    let missing = rig.bus.deliver(message("no.such.topic", b"x".to_vec())).await;
    assert!(matches!(missing, Err(Undelivered::Away(_))), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_broker_that_is_away_did_not_get_it_never_gets() {
    let broker = Broker::start();
    let mut rig = KafkaRig::on(broker.brokers()).await;
    let deliver = async |value: &str| rig.bus.deliver(message("inventory.commands", value.into())).await;
    deliver("before").await.unwrap();
    broker.kill();
    let given_up = deliver("meanwhile").await;
    assert!(matches!(given_up, Err(Undelivered::Away(_))), "{given_up:?}");
    broker.start_again();
    while deliver("after").await.is_err() {}
    let taken = rig.take("inventory.commands", 2).await;
    let mut values: Vec<_> = taken.into_iter().map(|taken| taken.msg.value.unwrap()).collect();
    values.sort_unstable();
    assert_eq!(values, [b"after".to_vec(), b"before".to_vec()]);
}
