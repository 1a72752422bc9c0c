//! The suite on the bus inside one process, and what only that does.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use orchestrator::bus::local::LocalBus;
use orchestrator::bus::{Bus, Class, topics};
use saga_model::ids::{ShardCount, ShardId};
use workers::transport::local::{LocalSink, LocalSource, OnDone, sink, topic};
use workers::transport::{Delivery, Outgoing, Sink as _, Source as _, positions};

use crate::acks::{Acks, PATIENCE};
use crate::rig::{Msg, PARTITIONS, Rig, Taken, message, on_partition, saga, ticket};

crate::suite! { LocalRig::new() }

struct LocalRig {
    bus: Arc<LocalBus>,
    acks: Acks,
    worker: LocalSink,
    sources: BTreeMap<&'static str, LocalSource>,
    /// Read and not taken yet.
    read: Vec<Delivery>,
}

const READ: [&str; 2] = ["inventory.commands", "order.confirmed"];

impl LocalRig {
    fn new() -> Self {
        let acks = Acks::default();
        let bus = Arc::new(LocalBus::new(ShardCount::new(PARTITIONS).unwrap(), acks.sink()));
        let to = bus.clone();
        let on_done: OnDone = Arc::new(move |position| to.done(&position));
        let (mut inputs, mut sources) = (BTreeMap::new(), BTreeMap::new());
        for name in READ {
            let (input, source) = topic(on_done.clone());
            inputs.insert(name, input);
            sources.insert(name, source);
        }
        bus.connect(inputs);
        let (worker, answers) = sink();
        tokio::spawn(bus.clone().answers(answers));
        Self { bus, acks, worker, sources, read: Vec::new() }
    }
}

impl LocalRig {
    /// All ends of reply partitions, added up.
    async fn ends(&self) -> i64 {
        let mut sum: i64 = 0;
        for shard in 0..PARTITIONS {
            sum = sum.wrapping_add(self.bus.reply_end(ShardId(shard)).await.unwrap());
        }
        sum
    }
}

#[async_trait]
impl Rig for LocalRig {
    fn bus(&self) -> Arc<dyn Bus> {
        self.bus.clone()
    }

    fn acks(&self) -> &Acks {
        &self.acks
    }

    async fn reply(&mut self, replies: Vec<Msg>) {
        let outgoing = |Msg { key, value, headers }| Outgoing { topic: topics::REPLIES, key, value, headers };
        let end = self.ends().await + replies.len() as i64;
        self.worker.send(replies.into_iter().map(outgoing).collect()).await;
        while self.ends().await != end {
            tokio::task::yield_now().await;
        }
    }

    /// Whatever is read is marked as done at once: no more than a few batches are handed over otherwise.
    async fn take(&mut self, topic: &str, count: usize) -> Vec<Taken> {
        let source = self.sources.get_mut(topic).unwrap();
        while self.read.len() < count {
            let batch = tokio::time::timeout(PATIENCE, source.next()).await.unwrap().unwrap();
            source.marks().done(positions(&batch)).await;
            self.read.extend(batch);
        }
        let taken = |Delivery { partition, offset, key, value, headers, .. }| Taken {
            partition,
            offset,
            msg: Msg { key, value, headers },
        };
        self.read.drain(..count).map(taken).collect()
    }

    async fn done(&mut self, _topic: &str) {}
}

#[tokio::test]
async fn an_event_that_somebody_reads_counts_as_sent_when_it_is_done() {
    let mut rig = LocalRig::new();
    let (read, unread) = (Arc::from("order.confirmed"), Arc::from("order.created"));
    rig.bus.send((0..3).flat_map(|n| [&read, &unread].map(|topic| message(topic, Class::Event, saga(1), n))).collect());
    assert_eq!((rig.acks.now().len(), rig.bus.unacked()), (3, 3));
    rig.take(&read, 3).await;
    assert_eq!((rig.acks.now().len(), rig.bus.unacked()), (6, 0));
    assert!(rig.acks.now()[3..].iter().map(|ack| ack.ticket).eq((0..3).map(ticket)));
}

#[tokio::test]
async fn a_command_that_no_worker_reads_is_not_taken() {
    let rig = LocalRig::new();
    let (read, unread) = (Arc::from("inventory.commands"), Arc::from("other.commands"));
    let saga = on_partition(0).next().unwrap();
    rig.bus.send([&read, &unread].map(|topic| message(topic, Class::Command, saga, 1)).to_vec());
    assert_eq!(rig.bus.progress(&read).await.unwrap()[0].committed, Some(1), "it is handed over");
    let seen = rig.bus.progress(&unread).await.unwrap()[0];
    assert_eq!((seen.end, seen.committed), (1, None));
}

#[tokio::test]
async fn a_passed_on_reply_is_read_where_it_was_sent() {
    let rig = LocalRig::new();
    let to = 3;
    let passed = message(&Arc::from(topics::REPLIES), Class::Command, on_partition(1).next().unwrap(), 7);
    rig.bus.assign_replies(ShardId(to), 40);
    rig.bus.send(vec![orchestrator::bus::Outgoing { partition: Some(i32::from(to)), ..passed }]);
    let read = rig.bus.next_replies().await;
    assert_eq!((read[0].0.0, read[0].1.offset), (to, 40));
}
