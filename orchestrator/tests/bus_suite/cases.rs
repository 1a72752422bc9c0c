//! What every bus does. Each case is run for each bus.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use orchestrator::bus::{Class, Message, Outgoing, topics};
use saga_model::ids::ShardId;
use service::headers::Headers;

use crate::acks::PATIENCE;
use crate::rig::{
    Msg, PARTITIONS, Rig, eventually, message, no_replies, on_partition, partition, replies, saga, ticket, values,
};

pub async fn keeps_the_order_within_a_partition(rig: &mut impl Rig) {
    let (bus, topic) = (rig.bus(), Arc::<str>::from("inventory.commands"));
    for batch in 0..20 {
        bus.send((0..50).map(|n| message(&topic, Class::Command, saga(u128::from(n) % 7), batch * 50 + n)).collect());
    }
    let taken = rig.take(&topic, 1000).await;
    let mut last: BTreeMap<i32, (i64, u64)> = BTreeMap::new();
    for taken in taken {
        let number: u64 = String::from_utf8(taken.msg.value.unwrap()).unwrap().parse().unwrap();
        if let Some((offset, before)) = last.insert(taken.partition, (taken.offset, number)) {
            assert!(before < number && offset < taken.offset, "{before} before {number}");
        }
    }
}

pub async fn acknowledges_each_with_where_it_is(rig: &mut impl Rig) {
    let (bus, commands, events) =
        (rig.bus(), Arc::<str>::from("inventory.commands"), Arc::<str>::from("order.created"));
    let both = |n: u64| {
        let saga = saga(u128::from(n));
        [message(&commands, Class::Command, saga, 2 * n), message(&events, Class::Event, saga, 2 * n + 1)]
    };
    bus.send((0..100).flat_map(both).collect());
    let acks = rig.acks().wait_for(200).await;
    assert_eq!(acks.len(), 200);
    for number in 0..200 {
        assert!(acks.iter().any(|ack| ack.ticket == ticket(number)), "{number}");
    }
    for taken in rig.take(&commands, 100).await {
        let number: u64 = String::from_utf8(taken.msg.value.unwrap()).unwrap().parse().unwrap();
        let ack = acks.iter().find(|ack| ack.ticket == ticket(number)).unwrap();
        assert_eq!((ack.partition, ack.offset), (taken.partition, taken.offset), "{number}");
    }
    eventually(async || bus.unacked(), |unacked| *unacked == 0).await;
}

pub async fn puts_keys_where_kafka_puts_them(rig: &mut impl Rig) {
    let (bus, topic) = (rig.bus(), Arc::<str>::from("inventory.commands"));
    bus.send((0..100).map(|n| message(&topic, Class::Command, saga(n), n as u64)).collect());
    // Passed on: the sender chooses.
    let chosen =
        Outgoing { partition: Some(2), ..message(&topic, Class::Command, on_partition(1).next().unwrap(), 100) };
    bus.send(vec![chosen]);
    for taken in rig.take(&topic, 101).await {
        let number: u128 = String::from_utf8(taken.msg.value.unwrap()).unwrap().parse().unwrap();
        let expected = if number == 100 { 2 } else { partition(saga(number)) };
        assert_eq!(taken.partition, expected, "{number}");
    }
}

pub async fn carries_all_of_a_message(rig: &mut impl Rig) {
    let (bus, topic) = (rig.bus(), Arc::<str>::from("inventory.commands"));
    let headers = |n: u8| [("a", vec![n]), ("a", vec![]), ("traceparent", vec![0, 255])].into_iter().collect();
    let messages = [
        Msg { key: Some(b"k1".to_vec()), value: Some(b"v".to_vec()), headers: headers(1) },
        Msg { key: Some(b"k2".to_vec()), value: None, headers: Headers::new() },
        Msg { key: None, value: Some(vec![0, 159, 146, 150]), headers: headers(3) },
        Msg { key: Some(vec![0xff]), value: Some(b"x".repeat(900_000)), headers: headers(4) },
    ];
    let outgoing = messages.clone().map(|Msg { key, value, headers }| Outgoing {
        topic: topic.clone(),
        key,
        partition: None,
        value,
        headers,
        class: Class::Command,
        ticket: ticket(0),
    });
    bus.send(outgoing.to_vec());
    let mut taken: Vec<Msg> = rig.take(&topic, messages.len()).await.into_iter().map(|taken| taken.msg).collect();
    let by_value = |msg: &Msg| msg.value.as_ref().map(|value| value.len());
    taken.sort_by_key(by_value);
    let mut sent = messages.to_vec();
    sent.sort_by_key(by_value);
    assert!(taken == sent, "commands");

    for shard in 0..PARTITIONS {
        bus.assign_replies(ShardId(shard), 0);
    }
    rig.reply(messages.to_vec()).await;
    let read = replies(&*bus, messages.len()).await.into_iter().map(|(_, reply)| reply);
    let mut read: Vec<Msg> =
        read.map(|reply| Msg { key: reply.key, value: reply.value, headers: reply.headers }).collect();
    read.sort_by_key(by_value);
    assert!(read == sent, "replies");
}

/// Answers `from..to` on a partition; their values are the numbers.
async fn reply_on(rig: &mut impl Rig, shard: u16, numbers: std::ops::Range<u32>) {
    let saga = on_partition(i32::from(shard)).next().unwrap().to_string();
    rig.reply(numbers.map(|n| Msg::of(&saga, &n.to_string())).collect()).await;
}

fn numbers(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|n| n.to_string()).collect()
}

pub async fn reads_replies_from_an_offset(rig: &mut impl Rig) {
    let bus = rig.bus();
    let shard = ShardId(1);
    reply_on(rig, 1, 0..10).await;
    bus.assign_replies(shard, 0);
    let all = replies(&*bus, 10).await;
    assert_eq!(values(&all), numbers(0..10));
    assert!(all.iter().all(|(of, reply)| *of == shard && reply.partition == 1));
    let offsets: Vec<i64> = all.iter().map(|(_, reply)| reply.offset).collect();
    assert!(offsets.is_sorted());
    no_replies(&*bus).await;

    reply_on(rig, 1, 10..15).await;
    assert_eq!(values(&replies(&*bus, 5).await), numbers(10..15));
    let end = bus.reply_end(shard).await.unwrap();
    bus.unassign_replies(shard);
    reply_on(rig, 1, 15..20).await;
    no_replies(&*bus).await;
    bus.assign_replies(shard, end);
    assert_eq!(values(&replies(&*bus, 5).await), numbers(15..20));
}

pub async fn reads_from_the_beginning_what_lies_elsewhere(rig: &mut impl Rig) {
    let bus = rig.bus();
    reply_on(rig, 2, 0..5).await;
    bus.assign_replies(ShardId(2), i64::MAX / 2);
    assert_eq!(values(&replies(&*bus, 5).await), numbers(0..5));
    bus.assign_replies(ShardId(3), -7);
    reply_on(rig, 3, 0..5).await;
    assert_eq!(values(&replies(&*bus, 5).await), numbers(0..5));
}

pub async fn takes_and_leaves_shards_without_loss_or_repeat(rig: &mut impl Rig) {
    let bus = rig.bus();
    bus.assign_replies(ShardId(0), 0);
    let mut read: BTreeMap<ShardId, Vec<u32>> = BTreeMap::new();
    let mut next: BTreeMap<ShardId, i64> = BTreeMap::new();
    for round in 0..20 {
        for shard in 0..PARTITIONS {
            reply_on(rig, shard, round * 10..round * 10 + 10).await;
        }
        // Shard 0 stays; the others come and go, and go on where they were.
        let other = ShardId(1 + (round % 3) as u16);
        bus.assign_replies(other, next.get(&other).copied().unwrap_or(0));
        let due = |read: &BTreeMap<ShardId, Vec<u32>>, shard| {
            read.get(&shard).is_none_or(|read| read.last() != Some(&(round * 10 + 9)))
        };
        let both = async {
            while due(&read, ShardId(0)) || due(&read, other) {
                for (shard, reply) in bus.next_replies().await {
                    assert!(shard == ShardId(0) || shard == other, "{shard} is not ours");
                    next.insert(shard, reply.offset + 1);
                    let number = String::from_utf8(reply.value.unwrap()).unwrap().parse().unwrap();
                    read.entry(shard).or_default().push(number);
                }
            }
        };
        tokio::time::timeout(PATIENCE, both).await.unwrap();
        bus.unassign_replies(other);
    }
    assert_eq!(read[&ShardId(0)], (0..200).collect::<Vec<_>>());
    for shard in 1..PARTITIONS {
        let read = &read[&ShardId(shard)];
        assert_eq!(*read, (0..=*read.last().unwrap()).collect::<Vec<_>>(), "{shard}");
    }
}

pub async fn knows_where_replies_end(rig: &mut impl Rig) {
    let bus = rig.bus();
    let shard = ShardId(1);
    reply_on(rig, 1, 0..3).await;
    reply_on(rig, 2, 0..1).await;
    let unread = bus.reply_end(shard).await.unwrap();
    bus.assign_replies(shard, 0);
    let read = replies(&*bus, 3).await;
    assert_eq!(read.last().unwrap().1.offset + 1, unread);
    assert_eq!(bus.reply_end(shard).await.unwrap(), unread);
    reply_on(rig, 1, 3..5).await;
    // Known once they have been given out.
    let (end, more) = tokio::join!(bus.reply_end(shard), replies(&*bus, 2));
    assert_eq!(end.unwrap(), unread + 2);
    assert_eq!(values(&more), numbers(3..5));
    bus.ping().await.unwrap();
}

pub async fn sees_how_far_the_workers_are(rig: &mut impl Rig) {
    let (bus, topic) = (rig.bus(), Arc::<str>::from("inventory.commands"));
    let saga = on_partition(1).next().unwrap();
    let before = bus.progress(&topic).await.unwrap();
    assert_eq!(
        before.iter().map(|seen| seen.partition).collect::<Vec<_>>(),
        (0..i32::from(PARTITIONS)).collect::<Vec<_>>()
    );
    assert!(
        before
            .iter()
            .all(|seen| seen.committed.is_none_or(|committed| committed == seen.end) && seen.begin == seen.end),
        "{before:?}"
    );

    bus.send((0..5).map(|n| message(&topic, Class::Command, saga, n)).collect());
    let acks = rig.acks().wait_for(5).await;
    let seen = eventually(async || bus.progress(&topic).await.unwrap(), |seen| seen[1].end == before[1].end + 5).await;
    assert!(seen[1].begin <= acks[0].offset && acks[4].offset < seen[1].end, "{seen:?}");
    rig.take(&topic, 5).await;
    rig.done(&topic).await;
    let seen =
        eventually(async || bus.progress(&topic).await.unwrap(), |seen| seen[1].committed == Some(seen[1].end)).await;
    assert!(seen[0].committed.is_none_or(|committed| committed == seen[0].end));
}

pub async fn carries_ten_thousand(rig: &mut impl Rig) {
    let (bus, commands, events) =
        (rig.bus(), Arc::<str>::from("inventory.commands"), Arc::<str>::from("order.created"));
    for batch in 0..10 {
        let command = |n: u64| message(&commands, Class::Command, saga(u128::from(n)), n);
        let event = |n: u64| message(&events, Class::Event, saga(u128::from(n)), n + 100_000);
        let numbers = batch * 500..batch * 500 + 500;
        bus.send(numbers.flat_map(|n| [command(n), event(n)]).collect());
    }
    assert!(bus.unacked() <= 10_000);
    bus.flush(PATIENCE).await;
    assert_eq!(bus.unacked(), 0);
    assert_eq!(rig.acks().now().len(), 10_000);
    let taken: BTreeSet<_> = rig.take(&commands, 5000).await.into_iter().map(|taken| taken.msg.value).collect();
    assert_eq!(taken.len(), 5000);

    for shard in 0..PARTITIONS {
        bus.assign_replies(ShardId(shard), 0);
    }
    let answers = (0..5000).map(|n| Msg::of(&saga(n).to_string(), &n.to_string()));
    rig.reply(answers.collect()).await;
    let read: BTreeSet<_> = values(&replies(&*bus, 5000).await).into_iter().collect();
    assert_eq!(read.len(), 5000);
}

pub async fn delivers_one_that_somebody_waits_for(rig: &mut impl Rig) {
    let bus = rig.bus();
    let id = on_partition(3).next().unwrap();
    let one = |topic: &str| Message {
        topic: Arc::from(topic),
        key: Some(id.to_string().into_bytes()),
        value: Some(b"\xffagain".to_vec()),
        headers: [("a", &b"1"[..]), ("a", b"")].into_iter().collect(),
    };
    let expected = |Message { key, value, headers, .. }| Msg { key, value, headers };
    let (command, to) = (one("inventory.commands"), bus.clone());
    let delivery = tokio::spawn(async move { to.deliver(command).await });
    let taken = rig.take("inventory.commands", 1).await.remove(0);
    rig.done("inventory.commands").await;
    delivery.await.unwrap().unwrap();
    assert_eq!((taken.partition, taken.msg), (3, expected(one("inventory.commands"))));

    bus.assign_replies(ShardId(3), 0);
    bus.deliver(one(topics::REPLIES)).await.unwrap();
    let (shard, reply) = replies(&*bus, 1).await.remove(0);
    let msg = Msg { key: reply.key, value: reply.value, headers: reply.headers };
    assert_eq!((shard, msg), (ShardId(3), expected(one(topics::REPLIES))));
    // An event that nobody reads.
    bus.deliver(one("order.created")).await.unwrap();
    assert!(rig.acks().now().is_empty(), "whoever waits for it has its answer");
    assert_eq!(bus.unacked(), 0);
}

pub async fn has_nothing_to_wait_for_when_quiet(rig: &mut impl Rig) {
    let bus = rig.bus();
    bus.send(Vec::new());
    assert_eq!(bus.unacked(), 0);
    tokio::time::timeout(PATIENCE, bus.flush(Duration::from_secs(3600))).await.unwrap();
}
