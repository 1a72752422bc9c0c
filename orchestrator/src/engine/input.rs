//! What goes into the corridor.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use saga_model::SagaId;
use saga_model::event::{Actor, Event};
use saga_model::ids::ShardId;
use saga_model::json::RawJson;
use saga_model::state::Secret;
use saga_model::wire::Unreadable;
use saga_model::wire::reply::ReplyMessage;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::bus::Incoming;
use crate::store::rows::{AdminRequest, IdempotencyKey, SagaRecord};

/// One thing that happened, on its way to [`saga_model::advance()`].
#[derive(Debug)]
pub enum Input {
    Reply(Box<ReplyInput>),
    Request(Box<AdminRequest>),
    Submission(Box<Submission>),
    /// A timer, or a failure of the engine itself.
    Internal {
        saga: SagaId,
        event: Event,
        actor: Actor,
    },
}

/// A message read from a reply partition.
#[derive(Debug)]
pub struct ReplyInput {
    pub shard: ShardId,
    pub incoming: Incoming,
    pub reading: Result<ReplyMessage, Unreadable>,
}

/// A saga that somebody asks for.
#[derive(Debug)]
pub struct Submission {
    pub definition: String,
    pub input: RawJson,
    pub user_id: Option<Uuid>,
    pub business_key: Option<String>,
    pub key: Option<KeyedRequest>,
    pub traceparent: String,
    pub actor: Actor,
    /// Minted by the loop, in a shard that it owns; a submission that changes its shard gets new ones.
    pub minted: Option<(SagaId, Secret)>,
    pub answer: Answer,
}

/// An idempotency key with the digest of the request that it came with.
#[derive(Debug, Clone)]
pub struct KeyedRequest {
    pub key: IdempotencyKey,
    pub fingerprint: String,
}

/// What became of a submission.
#[derive(Debug, Clone)]
pub enum Submitted {
    Stored(Box<SagaRecord>),
    /// Its key stands for a saga stored before; nothing was stored.
    KeyTaken,
    /// Nothing was stored; it may be tried again.
    Unavailable(String),
    /// Nothing was stored; it cannot be.
    Failed(String),
}

/// The way back to the caller of a submission, who may take it back as long as no commit tries to store it.
#[derive(Debug)]
pub struct Answer {
    sender: Option<oneshot::Sender<Submitted>>,
    ticket: Arc<Withdrawal>,
}

/// Shared by the caller and the loop: who has the submission.
#[derive(Debug, Default)]
pub struct Withdrawal(AtomicU8);

const WAITING: u8 = 0;
const TAKEN: u8 = 1;
const WITHDRAWN: u8 = 2;

impl Withdrawal {
    /// Takes the submission back; `false` if a commit is under way that may store it.
    pub fn withdraw(&self) -> bool {
        self.0.compare_exchange(WAITING, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl Answer {
    /// An answer and the two ends that its caller keeps.
    pub fn new() -> (Self, oneshot::Receiver<Submitted>, Arc<Withdrawal>) {
        let (sender, receiver) = oneshot::channel();
        let ticket = Arc::new(Withdrawal::default());
        (Self { sender: Some(sender), ticket: ticket.clone() }, receiver, ticket)
    }

    /// Claims the submission for a commit; `false` if it was withdrawn.
    pub fn claim(&self) -> bool {
        let claimed = self.ticket.0.compare_exchange(WAITING, TAKEN, Ordering::AcqRel, Ordering::Acquire);
        !matches!(claimed, Err(WITHDRAWN))
    }

    /// Puts a claimed submission back: the commit surely stored nothing.
    pub fn unclaim(&self) {
        // A withdrawn one is never claimed, so nothing else can be in place of TAKEN.
        self.ticket.0.store(WAITING, Ordering::Release);
    }

    /// Answers. A caller who went away does not need it.
    pub fn give(&mut self, submitted: Submitted) {
        if let Some(sender) = self.sender.take() {
            drop(sender.send(submitted));
        }
    }
}

impl Input {
    /// The saga that it concerns, if it can be told; a submission's once it is minted.
    pub fn saga(&self) -> Option<SagaId> {
        match self {
            Input::Reply(reply) => reply.reading.as_ref().ok().map(|message| message.saga_id),
            Input::Request(request) => request.saga,
            Input::Submission(submission) => submission.minted.map(|(id, _)| id),
            Input::Internal { saga, .. } => Some(*saga),
        }
    }
}
