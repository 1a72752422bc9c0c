//! Sagas, rows and batches as an engine would make them, and an owner that keeps count.

use std::collections::BTreeMap;
use std::sync::Arc;

use orchestrator::store::rows::{
    AdminAnswer, AdminRequest, Batch, DeadLetter, DeadLetterStatus, DefinitionId, HistoryRow, IdempotencyKey,
    KeyRecord, NewKey, Origin, RequestStatus, SagaRecord, SagaWrite, ShardUpdate, Untaken,
};
use orchestrator::store::{Committed, InstanceId, Result};
use saga_model::definition::{Policy, StepIndex};
use saga_model::event::{Action, Actor};
use saga_model::history::{Emitted, NextCommand, Row, RowData, RowKind};
use saga_model::ids::{ShardCount, ShardId};
use saga_model::json::RawJson;
use saga_model::micros::Millis;
use saga_model::state::{
    Course, Deadline, Failure, Flight, Hold, IgnoredReply, Kind, OrderStatus, Outcome, Phase, Saga, SagaFailure,
    Secret, Step, StepStatus, Stuck, StuckCause, Undo, UndoStatus,
};
use saga_model::{Definition, Micros, SagaId, catalog};
use uuid::Uuid;

use crate::stores::{AnyStore, SHARDS};

/// A lease that does not end during a test.
pub const LONG: Millis = Millis(600_000);

pub fn policy() -> Policy {
    Policy {
        step_timeout: Millis(10_000),
        step_attempts: 5,
        compensation_attempts: 10,
        retry_base: Millis(500),
        retry_cap: Millis(30_000),
        saga_deadline: Millis(86_400_000),
    }
}

pub fn definition() -> Definition {
    Definition::new(catalog::order::blueprint(), policy()).unwrap()
}

pub fn raw(text: &str) -> RawJson {
    RawJson::from_string(text.to_owned()).unwrap()
}

pub fn instance(name: &str) -> InstanceId {
    InstanceId(name.to_owned())
}

pub fn shard_of(id: SagaId) -> ShardId {
    id.slot().shard(ShardCount::new(SHARDS).unwrap())
}

/// A new id that falls into a shard.
pub fn id_in(shard: ShardId) -> SagaId {
    std::iter::repeat_with(|| SagaId::from(Uuid::now_v7())).find(|id| shard_of(*id) == shard).unwrap()
}

/// An order that was just started.
pub fn saga(id: SagaId) -> SagaWrite {
    let now = Micros(1_795_599_363_000_001);
    let mut steps = vec![Step::pending(), Step::pending(), Step::pending()];
    steps[0].status = StepStatus::Running;
    steps[0].action = Course {
        attempts: 1,
        budget_used: 1,
        flight: Flight::Sent { at: now },
        started_at: Some(now),
        ..Course::pending(1)
    };
    SagaWrite {
        record: SagaRecord {
            saga: Arc::new(Saga {
                id,
                secret: Secret(u128::MAX - 7),
                phase: Phase::Forward,
                hold: Hold::None,
                steps,
                order: OrderStatus::Created,
                deadline: Deadline::At(now.plus(86_400_000_000)),
                failure: None,
                revision: 1,
                created_at: now,
                updated_at: now,
                ignored: Vec::new(),
            }),
            origin: Arc::new(Origin {
                definition: DefinitionId(1),
                input: raw(r#"{"userId":"11111111-1111-1111-1111-111111111111","amount":499.90,"a":1,"a":2}"#),
                user_id: Some(Uuid::from_u128(0x11111111)),
                business_key: None,
                traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned(),
            }),
        },
        step: Some("reserve-inventory".to_owned()),
        error_code: None,
        lingering: false,
    }
}

/// The same saga one row later, with its first step done.
pub fn reserved(write: &SagaWrite) -> SagaWrite {
    let mut next = write.clone();
    let saga = Arc::make_mut(&mut next.record.saga);
    saga.steps[0].status = StepStatus::Succeeded;
    saga.steps[0].action.flight = Flight::None;
    saga.steps[0].output = Some(raw(r#"{"reservationId":"r-1","price":1.50,"nul":"\u0000"}"#));
    saga.revision += 1;
    saga.updated_at = saga.updated_at.plus(1);
    next.step = Some("charge-payment".to_owned());
    next
}

/// The same saga one row later, ended.
pub fn ended(write: &SagaWrite) -> SagaWrite {
    let mut next = write.clone();
    let saga = Arc::make_mut(&mut next.record.saga);
    saga.phase = Phase::Completed;
    saga.order = OrderStatus::Confirmed;
    saga.deadline = Deadline::None;
    saga.revision += 1;
    next.step = None;
    next
}

/// A saga with a value in every field that can have one.
pub fn crowded(id: SagaId) -> SagaWrite {
    let mut write = reserved(&saga(id));
    let saga = Arc::make_mut(&mut write.record.saga);
    let at = saga.created_at;
    saga.phase = Phase::Unwinding;
    saga.deadline = Deadline::Held { left: 12 };
    saga.hold = Hold::Stuck(Stuck {
        cause: StuckCause::UndoFailed,
        step: Some(StepIndex(0)),
        since: at,
        message: "ünable \u{1F980}".to_owned(),
    });
    saga.failure =
        Some(SagaFailure { step: StepIndex(1), why: Failure::new("PAYMENT_DECLINED", "no \"money\" \\ \n") });
    saga.steps[0].undo = Some(Undo {
        status: UndoStatus::Failed,
        course: Course { attempts: 10, flight: Flight::Backoff { until: Some(at.plus(5)) }, ..Course::pending(2) },
        undone: Some(true),
    });
    saga.steps[1].unanswered = true;
    saga.steps[1].action.error = Some(Failure::new("X", "y"));
    saga.steps[2].input = Some(raw("[1.0, 1e5]"));
    saga.ignored = vec![IgnoredReply { step: StepIndex(1), kind: Kind::Action, round: 1, outcome: Outcome::Rejected }];
    write.error_code = Some("UNDO_FAILED".to_owned());
    write
}

/// A row, plain or with all that a row can hold.
pub fn row(seq: u32, kind: RowKind, at: Micros) -> Row {
    Row {
        seq,
        at,
        kind,
        step: None,
        round: None,
        attempt: None,
        data: RowData::default(),
        actor: Actor::Key("anonymous".to_owned()),
    }
}

pub fn crowded_row(seq: u32, at: Micros) -> Row {
    Row {
        step: Some(StepIndex(1)),
        round: Some(2),
        attempt: Some(3),
        data: RowData {
            kind: Some(Kind::Action),
            outcome: Some(Outcome::Succeeded),
            output: Some(raw(r#"{"b": 1.50, "b": "\u0000"}"#)),
            error: Some(Failure::new("CODE", "why")),
            partition: Some(3),
            offset: Some(i64::MAX),
            verb: Some(Action::Skip),
            step: Some("notify-customer".to_owned()),
            reason: Some("because".to_owned()),
            next: Some(NextCommand { step: "charge-payment".to_owned(), kind: Kind::Action, round: 1, attempt: 1 }),
            retry_at: Some(at.plus(9)),
            emit: vec![Emitted { topic: "payment.failed".to_owned(), reason: Some(Failure::new("A", "b")) }],
            waived: vec!["reserve-inventory".to_owned()],
            healed: true,
            ..RowData::default()
        },
        actor: Actor::Worker,
        ..row(seq, RowKind::OperatorActed, at)
    }
}

pub fn key(name: &str, saga: SagaId) -> NewKey {
    NewKey {
        key: IdempotencyKey { caller: "shop".to_owned(), path: "/orders".to_owned(), key: name.to_owned() },
        record: KeyRecord { saga, fingerprint: format!("fingerprint of {name}") },
        at: Micros(7),
    }
}

pub fn request(shard: ShardId) -> AdminRequest {
    AdminRequest {
        id: Uuid::now_v7(),
        at: Micros(5),
        actor: Some("key:ops".to_owned()),
        action: "cancel".to_owned(),
        saga: Some(id_in(shard)),
        shard: Some(shard),
        body: Some(r#"{"verb":"cancel"}"#.to_owned()),
        reason: Some("a customer called".to_owned()),
        revision: Some(3),
        status: RequestStatus::Pending,
        code: None,
        detail: None,
    }
}

pub fn answer(request: &AdminRequest) -> AdminAnswer {
    AdminAnswer {
        request: request.id,
        status: RequestStatus::Refused,
        code: Some("ACTION_NOT_ALLOWED".to_owned()),
        detail: Some("it has ended".to_owned()),
    }
}

pub fn dead_letter(offset: i64) -> DeadLetter {
    DeadLetter {
        id: Uuid::now_v7(),
        topic: "saga.replies".to_owned(),
        partition: 2,
        offset,
        key: Some(vec![0, 255]),
        value: Some(b"\0not json".to_vec()),
        headers: [("b", &[0, 1, 255][..]), ("a", &[]), ("b", &[9])].into_iter().collect(),
        code: "NOT_JSON".to_owned(),
        detail: "expected a value at column 1".to_owned(),
        saga: Some(id_in(ShardId(2))),
        at: Micros(offset),
        status: DeadLetterStatus::New,
    }
}

/// An owner of shards that keeps count, as the engine does.
pub struct Owner {
    pub store: AnyStore,
    pub marks: BTreeMap<ShardId, ShardUpdate>,
}

impl Owner {
    /// Takes these shards.
    pub async fn of(store: &AnyStore, name: &str, shards: impl IntoIterator<Item = ShardId>) -> Self {
        let mut marks = BTreeMap::new();
        for shard in shards {
            let grant = store.take_shard(shard, &instance(name), LONG).await.unwrap().expect("the shard is free");
            marks.insert(
                shard,
                ShardUpdate {
                    shard,
                    epoch: grant.epoch,
                    last_seq: grant.last_seq,
                    published: grant.published,
                    reply_offset: grant.reply_offset,
                    untaken: Untaken::new(),
                    live_from: grant.live_from,
                    live_from_before: grant.live_from,
                },
            );
        }
        Self { store: Arc::clone(store), marks }
    }

    pub async fn of_all(store: &AnyStore) -> Self {
        Self::of(store, "a", (0..SHARDS).map(ShardId)).await
    }

    /// A batch that holds a shard and nothing else yet.
    pub fn holding(&self, shard: ShardId) -> Batch {
        Batch { shards: vec![self.marks[&shard].clone()], ..Batch::default() }
    }

    /// Adds a saga's start, or its next row.
    pub fn start(&self, batch: &mut Batch, write: &SagaWrite) {
        batch.inserts.push(write.clone());
        self.add_row(batch, write, RowKind::SagaStarted);
    }

    pub fn change(&self, batch: &mut Batch, write: &SagaWrite) {
        batch.updates.push(write.clone());
        self.add_row(batch, write, RowKind::StepSucceeded);
    }

    fn add_row(&self, batch: &mut Batch, write: &SagaWrite, kind: RowKind) {
        let saga = &write.record.saga;
        self.add(batch, saga.id, row(saga.revision, kind, saga.updated_at));
    }

    pub fn add(&self, batch: &mut Batch, saga: SagaId, row: Row) {
        let shard = shard_of(saga);
        let known = batch.shards.iter().position(|update| update.shard == shard);
        let at = known.unwrap_or_else(|| {
            batch.shards.push(self.marks[&shard].clone());
            batch.shards.len() - 1
        });
        batch.shards[at].last_seq += 1;
        batch.history.push(HistoryRow { saga, shard, shard_seq: batch.shards[at].last_seq, row: Arc::new(row) });
    }

    pub async fn commit(&mut self, batch: &Batch) -> Result<Committed> {
        let committed = self.store.commit(batch).await?;
        if committed == Committed::All {
            self.marks.extend(
                batch
                    .shards
                    .iter()
                    .map(|update| (update.shard, ShardUpdate { live_from_before: update.live_from, ..update.clone() })),
            );
        }
        Ok(committed)
    }

    /// Stores the start of a saga by itself.
    pub async fn started(&mut self, write: &SagaWrite) {
        let mut batch = Batch::default();
        self.start(&mut batch, write);
        assert_eq!(self.commit(&batch).await.unwrap(), Committed::All);
    }
}

/// All that is stored of these sagas, keys, requests and shards, to see that nothing of it has changed.
pub async fn everything(store: &AnyStore, sagas: &[SagaId], keys: &[NewKey], requests: &[Uuid]) -> String {
    let mut text = String::new();
    let mut put = |part: String| text.push_str(&format!("{part}\n"));
    for saga in sagas {
        put(format!("{:?}", store.sagas(&[*saga]).await.unwrap()));
        put(format!("{:?}", store.history(*saga).await.unwrap()));
    }
    for key in keys {
        put(format!("{:?}", store.key(&key.key).await.unwrap()));
    }
    for shard in (0..SHARDS).map(ShardId) {
        put(format!("{:?}", store.rows_after(shard, 0, 1000).await.unwrap()));
        put(format!("{:?}", store.untaken(shard).await.unwrap()));
        put(format!("{:?}", store.pending_requests(&[shard]).await.unwrap()));
    }
    put(format!("{:?}", store.answers(requests).await.unwrap()));
    let all = orchestrator::store::rows::DeadLetterFilter { limit: 1000, ..Default::default() };
    put(format!("{:?}", store.dead_letters(&all).await.unwrap()));
    text
}
