//! The workers: the real runtime and the shop's real participants, one batch at a time; they die, freeze and come back.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use orchestrator::bus::Incoming;
use saga_model::ids::ShardId;
use service::kafka::topics;
use tokio_util::sync::CancellationToken;
use workers::dead_letter::{DeadLetter, DeadLetters};
use workers::ledger::Ledger;
use workers::observe::Observer;
use workers::participant::Participant;
use workers::patience::{Absences, Patience, Stopping};
use workers::runtime::{Handler, Limits, Runtime, Surroundings};
use workers::shop::inventory::{Inventory, Sales};
use workers::shop::payment::Payment;
use workers::shop::stock::Stock;
use workers::transport::{Delivery, Outgoing, Sent, Sink};
use workers::trouble::Trouble;

use super::bank::{Bank, Crier, Said};
use super::common::Common;
use super::drive::poll_once;
use super::fault::Fault;
use super::gate::{Gated, Gates, Halt};
use super::ground::Ground;
use super::ledger::SimLedger;
use super::net::{Message, name_of};
use super::shelf::Shelf;

/// What all workers share, and what survives them.
pub struct Shop {
    ground: Arc<Ground>,
    pub shelf: Arc<Shelf>,
    pub bank: Arc<Bank>,
    pub said: Arc<Said>,
    ledger: Arc<dyn Ledger>,
    around: Surroundings,
    observer: Observer,
    limits: Limits,
}

struct NoLetters;

#[async_trait::async_trait]
impl DeadLetters for NoLetters {
    async fn keep(&self, _letters: &[DeadLetter]) -> Result<(), Trouble> {
        Ok(())
    }
}

/// Puts replies into the topic; what becomes of each on its way is chance.
struct Answers(Arc<Ground>);

impl Sink for Answers {
    fn send(&self, messages: Vec<Outgoing>) -> Sent {
        for message in messages.into_iter().filter(|message| message.topic == topics::REPLIES) {
            self.answer(message);
        }
        Box::pin(std::future::ready(()))
    }
}

impl Answers {
    fn answer(&self, message: Outgoing) {
        let ground = &self.0;
        let place = ground.net().place(message.key.as_deref());
        let shard = ShardId(u16::try_from(place).unwrap_or(0));
        let Outgoing { key, value, headers, .. } = message;
        let incoming = Incoming { partition: 0, offset: 0, key, value, headers };
        if ground.hit(Fault::ReplyForged) {
            let forged = self.forged(&incoming);
            ground.net().bad_reply(shard, forged);
        }
        if ground.hit(Fault::ReplyLost) {
            return;
        }
        if ground.hit(Fault::ReplyGarbage) {
            let mut broken = incoming;
            let keep = ground.chance().rng.usize(..20);
            broken.value.iter_mut().for_each(|value| value.truncate(keep));
            return ground.net().bad_reply(shard, broken);
        }
        let shards = ground.net().shards.get();
        let right = shard;
        let shard = if ground.hit(Fault::ReplyMisplaced) { ShardId((shard.0 + 1) % shards) } else { shard };
        ground.tell(|| format!("a reply for shard {right} goes to partition {shard}: {}", text(&incoming)));
        if ground.hit(Fault::ReplyTwice) {
            ground.net().late.push(super::net::Late { shard, incoming: incoming.clone() });
        }
        if ground.hit(Fault::ReplyLate) {
            ground.net().late.push(super::net::Late { shard, incoming });
        } else {
            ground.net().reply(shard, incoming);
        }
    }

    /// The same reply with a wrong token, or about a later round or attempt.
    fn forged(&self, incoming: &Incoming) -> Incoming {
        let mut forged = incoming.clone();
        let how = self.0.chance().rng.usize(..3);
        let text = text(incoming);
        let text = match how {
            0 => text.replacen("\"token\":\"", "\"token\":\"x", 1),
            1 => text.replacen("\"round\":", "\"round\":7", 1),
            _ => text.replacen("\"attempt\":", "\"attempt\":9", 1),
        };
        forged.value = Some(text.into_bytes());
        forged
    }
}

fn text(incoming: &Incoming) -> String {
    String::from_utf8_lossy(incoming.value.as_deref().unwrap_or_default()).into_owned()
}

impl Shop {
    pub fn new(ground: Arc<Ground>, common: &Common) -> Self {
        let around = Surroundings {
            dead_letters: Arc::new(NoLetters),
            sink: Arc::new(Answers(Arc::clone(&ground))),
            patience: Patience::new(Absences::default(), CancellationToken::new()),
            letters_total: common.letters.clone(),
        };
        Self {
            shelf: Arc::new(Shelf::new(Arc::clone(&ground))),
            bank: Arc::new(Bank::new(Arc::clone(&ground))),
            said: Arc::default(),
            ledger: Arc::new(SimLedger::new(Arc::clone(&ground))),
            around,
            observer: common.observer.clone(),
            limits: common.limits,
            ground,
        }
    }

    fn runtime<P: Participant>(&self, participant: P, gates: &Arc<Gates>) -> Arc<dyn Handler> {
        let gated = Gated { inner: participant, gates: Arc::clone(gates), ground: Arc::clone(&self.ground) };
        let (ledger, around) = (Arc::clone(&self.ledger), self.around.clone());
        Arc::new(Runtime::new(gated, ledger, around, self.observer.clone(), self.limits))
    }

    /// Who handles a command topic.
    fn handler(&self, topic: usize, gates: &Arc<Gates>) -> Arc<dyn Handler> {
        match topic {
            0 => self.runtime(Inventory::new(Arc::clone(&self.shelf) as Arc<dyn Stock>), gates),
            1 => self.runtime(Payment::new(Arc::clone(&self.bank) as _), gates),
            _ => self.runtime(Crier(Arc::clone(&self.said)), gates),
        }
    }

    fn sales(&self) -> Sales {
        Sales::new(Arc::clone(&self.shelf) as Arc<dyn Stock>, self.around.clone())
    }

    /// `order.confirmed` is taken note of.
    pub fn sell(&self, mark: bool) {
        let batch: Vec<Delivery> = {
            let net = self.ground.net();
            let confirmed = &net.confirmed;
            let fresh = confirmed.messages.iter().enumerate().skip(confirmed.committed);
            fresh.map(|(offset, message)| delivery(Arc::from(topics::ORDER_CONFIRMED), 0, offset, message)).collect()
        };
        let done = batch.len();
        if done > 0 && self.sales().handle(batch).now_or_never().is_some() && mark {
            self.ground.net().confirmed.committed += done;
        }
    }
}

fn delivery(topic: Arc<str>, partition: usize, offset: usize, message: &Message) -> Delivery {
    let Message { key, value, headers, .. } = message.clone();
    Delivery { topic, partition: partition as i32, offset: offset as i64, key, value, headers }
}

type Work = BoxFuture<'static, Result<Vec<Sent>, Stopping>>;

/// The reader of one command topic.
pub struct Worker {
    topic: usize,
    handler: Arc<dyn Handler>,
    gates: Arc<Gates>,
    work: Option<Work>,
    /// The next offset to take of each partition; what is behind the topic's mark is done and not marked.
    next: BTreeMap<usize, usize>,
    /// Taken for dead, and not dead.
    frozen: Vec<(Work, Arc<Gates>)>,
}

impl Worker {
    pub fn new(shop: &Shop, topic: usize) -> Self {
        let gates = Arc::new(Gates::new());
        let handler = shop.handler(topic, &gates);
        Self { topic, handler, gates, work: None, next: BTreeMap::new(), frozen: Vec::new() }
    }

    /// Whether there is something to do.
    pub fn has_work(&self, ground: &Ground) -> bool {
        let net = ground.net();
        let waits = |(place, partition): (usize, &super::net::Partition)| {
            self.next.get(&place).copied().unwrap_or(0).max(partition.begin).max(partition.committed)
                < partition.messages.len()
        };
        self.work.is_some() || net.commands[self.topic].iter().enumerate().any(waits) || self.is_unmarked(&net)
    }

    fn is_unmarked(&self, net: &super::net::Net) -> bool {
        self.next.iter().any(|(place, next)| net.commands[self.topic][*place].committed < *next)
    }

    /// Marks what is done, takes a batch, or goes on with the one in hand.
    pub async fn step(&mut self, shop: &Shop) {
        let ground = Arc::clone(&shop.ground);
        match self.gates.get() {
            Halt::Nowhere => {}
            Halt::BeforeEffect => return self.freeze(shop),
            Halt::AfterEffect | Halt::Everywhere => return self.restart(shop),
        }
        if self.work.is_none() {
            if ground.hit(Fault::MarkLost) {
                return self.restart(shop);
            }
            self.mark(&ground);
            self.take(&ground);
        }
        let Some(work) = &mut self.work else { return };
        if let Some(done) = poll_once(work).await {
            self.work = None;
            if done.is_err() {
                self.restart(shop);
            }
        }
    }

    fn mark(&self, ground: &Ground) {
        let mut net = ground.net();
        for (place, next) in &self.next {
            let partition = &mut net.commands[self.topic][*place];
            partition.committed = partition.committed.max(*next);
        }
    }

    fn take(&mut self, ground: &Ground) {
        let most = ground.chance().rng.usize(1..4);
        let net = ground.net();
        let topic = name_of(self.topic);
        let mut batch = Vec::new();
        for (place, partition) in net.commands[self.topic].iter().enumerate() {
            let next = self.next.entry(place).or_insert(0);
            *next = (*next).max(partition.begin).max(partition.committed);
            for (offset, message) in partition.messages.iter().enumerate().skip(*next).take(most) {
                batch.push(delivery(Arc::clone(&topic), place, offset, message));
                *next = offset + 1;
            }
        }
        drop(net);
        if !batch.is_empty() {
            let handler = Arc::clone(&self.handler);
            self.work = Some(Box::pin(async move { handler.handle(batch).await }));
        }
    }

    /// It dies, and another one goes on from what is marked.
    pub fn restart(&mut self, shop: &Shop) {
        shop.ground.tell(|| format!("the worker of {} dies", name_of(self.topic)));
        self.gates.set(Halt::Everywhere);
        self.work = None;
        self.again(shop);
    }

    /// It stands still; another one takes its place and goes on from what is marked.
    fn freeze(&mut self, shop: &Shop) {
        shop.ground.tell(|| format!("the worker of {} stands still", name_of(self.topic)));
        self.frozen.extend(self.work.take().map(|work| (work, Arc::clone(&self.gates))));
        self.again(shop);
    }

    fn again(&mut self, shop: &Shop) {
        self.gates = Arc::new(Gates::new());
        self.handler = shop.handler(self.topic, &self.gates);
        self.next.clear();
    }

    /// All messages come again from the beginning.
    pub fn rewind(&mut self, ground: &Ground) {
        self.next.clear();
        ground.net().commands[self.topic].iter_mut().for_each(|partition| partition.committed = partition.begin);
    }

    pub fn has_frozen(&self) -> bool {
        !self.frozen.is_empty()
    }

    /// Those that stood still go on.
    pub fn thaw(&self) {
        self.frozen.iter().for_each(|(_, gates)| gates.set(Halt::Nowhere));
    }

    /// Lets those that stood still do what they can.
    pub async fn step_frozen(&mut self) {
        let mut left = Vec::new();
        for (mut work, gates) in std::mem::take(&mut self.frozen) {
            if gates.get() != Halt::Nowhere || poll_once(Pin::new(&mut work)).await.is_none() {
                left.push((work, gates));
            }
        }
        self.frozen = left;
    }

    /// Ends what is still under way, at the end of the world.
    pub fn end(&mut self) {
        self.gates.set(Halt::Everywhere);
        self.frozen.iter().for_each(|(_, gates)| gates.set(Halt::Everywhere));
        (self.work, self.frozen) = (None, Vec::new());
    }
}
