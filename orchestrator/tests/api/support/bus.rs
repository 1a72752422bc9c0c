//! A bus whose workers are functions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use orchestrator::bus::topics::REPLIES;
use orchestrator::bus::{
    Ack, AckSink, Bus, BusError, Class, Incoming, Message, NoReplyEnd, Outgoing, Progress, Undelivered,
};
use saga_model::ids::{ShardCount, ShardId};
use saga_model::json::RawJson;
use saga_model::state::{Failure, Kind, Outcome};
use saga_model::wire::command::{self, Command};
use saga_model::wire::reply;
use tokio::sync::Notify;

/// What a worker says to a command; nothing, if it never answers.
pub type Says = Option<(Outcome, &'static str)>;
/// What becomes of a message by itself; nothing, if it is never known.
type Delivers = Box<dyn FnMut() -> Option<Result<(), Undelivered>> + Send>;
type Worker = Box<dyn FnMut(&Command) -> Says + Send>;

pub struct TestBus {
    state: Mutex<State>,
    arrived: Notify,
    asked: Notify,
    /// Commands were sent.
    sent: Notify,
    /// A message by itself has come.
    single: Notify,
    sink: AckSink,
    shards: ShardCount,
}

struct State {
    worker: Worker,
    /// Whether there are workers that take commands.
    taken: bool,
    /// Whether the broker answers those who ask for the workers' progress.
    silent: bool,
    /// Whether there is no broker: nobody is answered, and nothing acknowledged.
    away: bool,
    commands: Vec<Command>,
    /// Messages by themselves, and what is said to the next ones; without an answer they wait.
    singles: Vec<Message>,
    delivers: Delivers,
    /// All else that was sent, by topic, with its partition.
    others: Vec<(String, Option<i32>)>,
    /// Acknowledgements of these are kept back.
    kept_back: Option<Vec<Ack>>,
    ends: BTreeMap<(String, i32), i64>,
    /// Partitions that were made anew, and nobody was told.
    made_anew: BTreeMap<ShardId, i64>,
    assigned: BTreeSet<ShardId>,
    replies: VecDeque<(ShardId, Incoming)>,
}

impl TestBus {
    pub fn new(sink: AckSink, shards: ShardCount) -> Self {
        let state = State {
            worker: Box::new(|_| None),
            taken: true,
            silent: false,
            away: false,
            commands: Vec::new(),
            singles: Vec::new(),
            delivers: Box::new(|| Some(Ok(()))),
            others: Vec::new(),
            kept_back: None,
            ends: BTreeMap::new(),
            made_anew: BTreeMap::new(),
            assigned: BTreeSet::new(),
            replies: VecDeque::new(),
        };
        let [arrived, asked, sent, single] = std::array::from_fn(|_| Notify::new());
        Self { state: Mutex::new(state), arrived, asked, sent, single, sink, shards }
    }

    /// From now on commands are answered so.
    pub fn workers(&self, worker: impl FnMut(&Command) -> Says + Send + 'static) {
        self.state.lock().unwrap().worker = Box::new(worker);
    }

    /// From now on nobody takes commands.
    pub fn no_workers(&self) {
        self.state.lock().unwrap().taken = false;
    }

    /// From now on there are workers again.
    pub fn workers_are_back(&self) {
        self.state.lock().unwrap().taken = true;
    }

    /// From now on there is no broker.
    pub fn away(&self) {
        self.keep_acks();
        self.state.lock().unwrap().away = true;
    }

    /// The broker is back, and has all that was sent.
    pub fn back(&self) {
        self.state.lock().unwrap().away = false;
        self.give_acks();
    }

    /// From now on whoever asks for the progress of workers or the end of replies gets no answer.
    pub fn silent(&self) {
        self.state.lock().unwrap().silent = true;
    }

    /// Whether somebody has asked in vain.
    pub async fn asked_in_vain(&self) {
        self.asked.notified().await;
    }

    /// Every command that was sent.
    pub fn commands(&self) -> Vec<Command> {
        self.state.lock().unwrap().commands.clone()
    }

    /// The first command of which `is_it` holds, once it is sent.
    pub async fn command(&self, is_it: impl Fn(&Command) -> bool) -> Command {
        loop {
            let mut sent = std::pin::pin!(self.sent.notified());
            sent.as_mut().enable();
            if let Some(command) = self.commands().into_iter().find(&is_it) {
                return command;
            }
            sent.await;
        }
    }

    /// Every message that was sent by itself.
    pub fn singles(&self) -> Vec<Message> {
        self.state.lock().unwrap().singles.clone()
    }

    /// From now on that becomes of messages by themselves.
    pub fn delivers(&self, delivers: impl FnMut() -> Option<Result<(), Undelivered>> + Send + 'static) {
        self.state.lock().unwrap().delivers = Box::new(delivers);
    }

    /// A message by itself has come.
    pub async fn single_has_come(&self) {
        self.single.notified().await;
    }

    /// Puts a message of somebody else on a reply partition.
    pub fn foreign(&self, partition: u16, key: &str, value: Option<&[u8]>, headers: &[(&str, &str)]) {
        let mut state = self.state.lock().unwrap();
        let offset = state.put("saga.replies", i32::from(partition));
        let (key, value) = (Some(key.into()), value.map(<[u8]>::to_vec));
        let headers = headers.iter().copied().collect();
        let incoming = Incoming { partition: i32::from(partition), offset, key, value, headers };
        state.replies.push_back((ShardId(partition), incoming));
        drop(state);
        self.arrived.notify_one();
    }

    /// What else was sent: topics, with the partition that was chosen.
    pub fn others(&self) -> Vec<(String, Option<i32>)> {
        self.state.lock().unwrap().others.clone()
    }

    /// From now on nothing is acknowledged.
    pub fn keep_acks(&self) {
        self.state.lock().unwrap().kept_back.get_or_insert_default();
    }

    /// The reply partition is another one now, and ends there.
    pub fn replies_end(&self, partition: u16, end: i64) {
        self.state.lock().unwrap().ends.insert(("saga.replies".to_owned(), i32::from(partition)), end);
    }

    /// The same, and whoever asks next is told so.
    pub fn replies_made_anew(&self, partition: u16, end: i64) {
        self.replies_end(partition, end);
        self.state.lock().unwrap().made_anew.insert(ShardId(partition), end);
    }

    /// Acknowledges all that was not.
    pub fn give_acks(&self) {
        let acks = self.state.lock().unwrap().kept_back.take();
        acks.into_iter().flatten().for_each(|ack| (self.sink)(ack));
    }

    /// Answers a command that was sent before.
    pub fn answer(&self, command: &Command, says: (Outcome, &'static str)) {
        let mut state = self.state.lock().unwrap();
        state.reply(self.shards, command, says);
        drop(state);
        self.arrived.notify_one();
    }
}

impl State {
    fn put(&mut self, topic: &str, partition: i32) -> i64 {
        let end = self.ends.entry((topic.to_owned(), partition)).or_default();
        *end += 1;
        *end - 1
    }

    fn reply(&mut self, shards: ShardCount, command: &Command, (outcome, code): (Outcome, &str)) {
        let error = Failure::new(code, "said a worker");
        let output = match command.kind {
            Kind::Action => RawJson::from_string(format!(r#"{{"by": "{}"}}"#, command.step)).unwrap(),
            Kind::Compensate => RawJson::from_string(r#"{"undone": true}"#.to_owned()).unwrap(),
        };
        let (output, error) = match outcome {
            Outcome::Succeeded => (Some(&output), None),
            Outcome::Rejected | Outcome::Retryable | Outcome::Unknown => (None, Some(&error)),
        };
        let value = reply::write(command, outcome, output, error).unwrap();
        let shard = command.saga_id.slot().shard(shards);
        let partition = i32::from(shard.0);
        let offset = self.put("saga.replies", partition);
        let key = Some(command.saga_id.to_string().into_bytes());
        self.replies.push_back((
            shard,
            Incoming { partition, offset, key, value: Some(value), headers: service::headers::Headers::new() },
        ));
    }
}

#[async_trait]
impl Bus for TestBus {
    fn send(&self, messages: Vec<Outgoing>) {
        let mut state = self.state.lock().unwrap();
        let mut acks = Vec::new();
        for message in messages {
            let partition = message.partition.unwrap_or_else(|| i32::from(message.ticket.shard.0));
            let offset = state.put(&message.topic, partition);
            acks.push(Ack { ticket: message.ticket, partition, offset });
            if message.class == Class::Event || &*message.topic == REPLIES {
                state.others.push((message.topic.to_string(), message.partition));
            } else {
                let command = command::parse(&message.value.unwrap()).unwrap();
                state.commands.push(command.clone());
                if state.taken
                    && let Some(says) = (state.worker)(&command)
                {
                    state.reply(self.shards, &command, says);
                }
            }
        }
        if let Some(kept_back) = &mut state.kept_back {
            kept_back.append(&mut acks);
        }
        drop(state);
        acks.into_iter().for_each(|ack| (self.sink)(ack));
        self.arrived.notify_one();
        self.sent.notify_waiters();
    }

    async fn deliver(&self, message: Message) -> Result<(), Undelivered> {
        let answer = {
            let mut state = self.state.lock().unwrap();
            state.singles.push(message);
            (state.delivers)()
        };
        self.single.notify_one();
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }

    fn unacked(&self) -> usize {
        0
    }

    fn assign_replies(&self, shard: ShardId, _: i64) {
        self.state.lock().unwrap().assigned.insert(shard);
        self.arrived.notify_one();
    }

    fn unassign_replies(&self, shard: ShardId) {
        self.state.lock().unwrap().assigned.remove(&shard);
    }

    async fn next_replies(&self) -> Vec<(ShardId, Incoming)> {
        loop {
            let arrived = self.arrived.notified();
            {
                let mut state = self.state.lock().unwrap();
                let State { replies, assigned, .. } = &mut *state;
                let (mine, others) = replies.drain(..).partition(|(shard, _)| assigned.contains(shard));
                *replies = others;
                let mine: VecDeque<_> = mine;
                if !mine.is_empty() {
                    return mine.into();
                }
            }
            arrived.await;
        }
    }

    async fn reply_end(&self, shard: ShardId) -> Result<i64, NoReplyEnd> {
        if self.state.lock().unwrap().silent {
            std::future::pending::<()>().await;
        }
        let mut state = self.state.lock().unwrap();
        if let Some(end) = state.made_anew.remove(&shard) {
            return Err(NoReplyEnd::MadeAnew { end });
        }
        Ok(state.ends.get(&("saga.replies".to_owned(), i32::from(shard.0))).copied().unwrap_or_default())
    }

    async fn progress(&self, topic: &str) -> Result<Vec<Progress>, BusError> {
        if self.state.lock().unwrap().silent {
            self.asked.notify_one();
            std::future::pending::<()>().await;
        }
        let state = self.state.lock().unwrap();
        if state.away {
            return Err(BusError("there is no broker".to_owned()));
        }
        let partitions = state.ends.iter().filter(|((name, _), _)| name == topic);
        let progress = partitions.map(|((_, partition), end)| Progress {
            partition: *partition,
            begin: 0,
            end: *end,
            committed: Some(if state.taken { *end } else { 0 }),
        });
        Ok(progress.collect())
    }

    async fn ping(&self) -> Result<(), BusError> {
        Ok(())
    }

    async fn flush(&self, _: Duration) {}
}
