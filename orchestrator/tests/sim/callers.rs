//! Callers who want sagas, and operators who want something of them; what each was told is remembered and compared
//! with what happened.

use std::pin::Pin;
use std::sync::Arc;

use orchestrator::engine::{KeyedRequest, StartError, StartRequest, Started};
use orchestrator::store::Store;
use orchestrator::store::memory::MemoryStore;
use orchestrator::store::rows::{AdminRequest, IdempotencyKey, RequestStatus};
use saga_model::advance::available_actions;
use saga_model::catalog::order::{NAME, Order};
use saga_model::event::{Action, Actor, Verb};
use saga_model::money::Amount;
use saga_model::{Definition, Saga, SagaId};
use uuid::Uuid;

use super::bank::CHANGES_ITS_MIND;
use super::drive::poll_once;
use super::ground::{Ground, short};
use super::instance::Instance;
use super::life::Life;

/// What somebody wants, and perhaps asks for several times.
pub struct Wish {
    pub order: Order,
    pub keyed: bool,
}

/// What a caller knows of what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Nothing,
    Started(SagaId),
    /// Surely not.
    No,
}

/// One request of a caller, or several with one key.
pub struct Asked {
    pub wish: usize,
    /// What the sagas that it makes are found by.
    pub tag: String,
    pub told: Told,
}

type Asking = Pin<Box<dyn Future<Output = Result<Started, StartError>>>>;

struct Caller {
    life: Arc<Life>,
    asked: usize,
    asking: Asking,
}

/// All callers.
pub struct Callers {
    pub wishes: Vec<Wish>,
    /// The next wish that nobody has asked for.
    pub next: usize,
    pub asked: Vec<Asked>,
    waiting: Vec<Caller>,
}

const METHODS: [&str; 8] = [
    "pm_approve",
    "pm_approve",
    "pm_approve",
    "pm_decline",
    "pm_flaky",
    "pm_timeout",
    "pm_refund_fails",
    CHANGES_ITS_MIND,
];

/// The product that only one order of two can have.
const SCARCE: u128 = 0xAAAA;

/// The product that only wish `n` asks for.
pub fn own_product(wish: usize) -> Uuid {
    Uuid::from_u128(1 << 64 | wish as u128)
}

impl Wish {
    fn any(rng: &mut fastrand::Rng, number: usize) -> Self {
        let mut items = vec![(own_product(number), 1)];
        if rng.u32(..2) == 0 {
            items.push((Uuid::from_u128(SCARCE), 2));
        }
        let order = Order {
            user_id: Uuid::from_u128(7),
            amount: Amount::from_minor(500).unwrap(),
            currency: "USD".to_owned(),
            items,
            payment_method: Some(METHODS[rng.usize(..METHODS.len())].to_owned()),
        };
        Self { order, keyed: rng.u32(..2) == 0 }
    }
}

impl Callers {
    pub fn new(rng: &mut fastrand::Rng, wishes: usize) -> Self {
        let wishes = (0..wishes).map(|number| Wish::any(rng, number)).collect();
        Self { wishes, next: 0, asked: Vec::new(), waiting: Vec::new() }
    }

    pub fn are_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Somebody asks an instance for a wish, for the first time or again.
    pub fn ask(&mut self, ground: &Ground, instance: &Instance, wish: usize) {
        let Wish { order, keyed } = &self.wishes[wish];
        let tag = if *keyed { format!("key {wish}") } else { format!("request {}", self.asked.len()) };
        let known = self.asked.iter().position(|asked| asked.tag == tag);
        let asked = known.unwrap_or(self.asked.len());
        if known.is_none() {
            self.asked.push(Asked { wish, tag: tag.clone(), told: Told::Nothing });
        }
        ground.tell(|| format!("somebody asks {} for wish {wish} ({tag}, {:?})", instance.life, order.payment_method));
        let key = |key: &String| KeyedRequest {
            key: IdempotencyKey { caller: String::new(), path: "/orders".to_owned(), key: key.clone() },
            fingerprint: tag.clone(),
        };
        let request = StartRequest {
            definition: NAME.to_owned(),
            input: order.to_input().unwrap(),
            user_id: Some(order.user_id),
            business_key: Some(tag.clone()),
            key: keyed.then(|| key(&tag)),
            traceparent: String::new(),
            actor: Actor::Key("somebody".to_owned()),
        };
        let asking = Box::pin(instance.door.clone().begin(request));
        self.waiting.push(Caller { life: Arc::clone(&instance.life), asked, asking });
    }

    /// Those who ask an instance that is awake hear what there is to hear; those whose instance died know nothing.
    pub async fn step(&mut self, ground: &Ground, awake: impl Fn(&Life) -> bool) {
        self.waiting.retain(|caller| !caller.life.is_over());
        let mut index = 0;
        while index < self.waiting.len() {
            let caller = &mut self.waiting[index];
            let answer = if awake(&caller.life) { poll_once(&mut caller.asking).await } else { None };
            let Some(answer) = answer else {
                index += 1;
                continue;
            };
            let caller = self.waiting.swap_remove(index);
            self.hear(ground, caller.asked, answer);
        }
    }

    /// One caller hangs up.
    pub fn hang_up(&mut self, rng: &mut fastrand::Rng) -> Option<usize> {
        if self.waiting.is_empty() {
            return None;
        }
        let caller = self.waiting.swap_remove(rng.usize(..self.waiting.len()));
        Some(self.asked[caller.asked].wish)
    }

    fn hear(&mut self, ground: &Ground, asked: usize, answer: Result<Started, StartError>) {
        let tag = self.asked[asked].tag.clone();
        let keyed = self.wishes[self.asked[asked].wish].keyed;
        ground.tell(|| match &answer {
            Ok(started) => format!("{tag}: started as {}", short(started.record.saga.id)),
            Err(error) => format!("{tag}: {error}"),
        });
        let told = match answer {
            Ok(started) => {
                let saga = started.record.saga.id;
                if !ground.oracle().sagas.contains_key(&saga) {
                    ground.oracle().object("AnsweredMeansStored", format!("saga {} was answered", short(saga)));
                }
                Told::Started(saga)
            }
            Err(StartError::InDoubt) => Told::Nothing,
            // Of a key only a success says something: an earlier request may have been heard by nobody.
            Err(_) if keyed => return,
            Err(_) => Told::No,
        };
        let before = std::mem::replace(&mut self.asked[asked].told, told);
        match (before, told) {
            (Told::Started(one), Told::Started(other)) if one != other => {
                let what = format!("{tag} stands for {} and {}", short(one), short(other));
                ground.oracle().object("OneKeyOneSaga", what);
            }
            (Told::Started(_), Told::Nothing) => self.asked[asked].told = before,
            (_, _) => {}
        }
    }
}

/// What an operator asked for.
pub struct Demand {
    pub id: Uuid,
    pub saga: SagaId,
    pub reason: String,
    /// The operator was told that it was taken back in time.
    pub withdrawn: bool,
}

/// All operators.
#[derive(Default)]
pub struct Operators {
    pub asked: Vec<Demand>,
}

/// A verb that is possible now, or any other.
fn any_verb(rng: &mut fastrand::Rng, definition: &Definition, saga: &Saga) -> Verb {
    let possible = available_actions(definition, saga);
    let action = if possible.is_empty() || rng.u32(..5) == 0 {
        Action::ALL[rng.usize(..Action::ALL.len())]
    } else {
        possible[rng.usize(..possible.len())]
    };
    match action {
        Action::Replay => Verb::Replay { from_step: None, input: None },
        Action::Cancel => Verb::Cancel,
        Action::Compensate => Verb::Compensate,
        Action::Pause => Verb::Pause,
        Action::Resume => Verb::Resume,
        Action::Resolve => Verb::Resolve,
        Action::Skip => {
            let step = saga.question(definition).map(|question| definition.step(question.step).name.clone());
            Verb::Skip { step: step.unwrap_or_else(|| "notify-customer".to_owned()) }
        }
    }
}

impl Operators {
    /// An operator asks for something.
    pub async fn ask(&mut self, ground: &Ground, memory: &MemoryStore) {
        let id = Uuid::from_u128(u128::from(self.asked.len() as u64 + 1));
        let (saga, verb) = {
            let oracle = ground.oracle();
            if oracle.sagas.is_empty() {
                return;
            }
            let rng = &mut ground.chance().rng;
            let (saga, log) = oracle.sagas.iter().nth(rng.usize(..oracle.sagas.len())).unwrap();
            (*saga, any_verb(rng, &oracle.definition, &log.record.saga))
        };
        let reason = format!("reason {}", self.asked.len());
        ground.tell(|| format!("an operator asks for {:?} of saga {} ({reason})", verb.action(), short(saga)));
        let request = AdminRequest {
            id,
            at: ground.now(),
            actor: Some("key:operator".to_owned()),
            action: verb.action().as_str().to_owned(),
            saga: Some(saga),
            shard: Some(saga.slot().shard(ground.net().shards)),
            body: Some(serde_json::to_string(&verb).unwrap()),
            reason: Some(reason.clone()),
            revision: None,
            status: RequestStatus::Pending,
            code: None,
            detail: None,
        };
        if memory.put_request(&request).await.is_ok() {
            self.asked.push(Demand { id, saga, reason, withdrawn: false });
        }
    }

    /// An operator takes a request back.
    pub async fn withdraw(&mut self, ground: &Ground, memory: &MemoryStore) {
        if self.asked.is_empty() {
            return;
        }
        let at = ground.chance().rng.usize(..self.asked.len());
        let asked = &mut self.asked[at];
        let back = memory.withdraw_request(asked.id).await.unwrap_or(false);
        let lied = ground.has(super::bugs::Bug::AnsweredWithdrawn);
        ground.tell(|| format!("the request with {} is taken back: {back}", asked.reason));
        asked.withdrawn |= back || lied;
    }
}
