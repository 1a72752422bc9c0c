//! Starting sagas: from a checked request to a durable saga, or to the one that its idempotency key stands for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use saga_model::event::Actor;
use saga_model::json::RawJson;
use uuid::Uuid;

use super::inbox::Inbox;
use super::input::{Answer, KeyedRequest, Submission, Submitted};
use crate::store::rows::{IdempotencyKey, SagaRecord};
use crate::store::{Store, StoreError};

/// How long a submission waits in the inbox before it is taken back.
const PATIENCE: Duration = Duration::from_millis(2_500);
/// How much longer it waits for a commit that is under way. Not little: whoever is answered sooner than the commit is
/// done does not know whether it was stored, and under load commits take their time.
const LAST_WAIT: Duration = Duration::from_millis(2_300);

/// A request to start a saga, checked.
#[derive(Debug, Clone)]
pub struct StartRequest {
    pub definition: String,
    pub input: RawJson,
    pub user_id: Option<Uuid>,
    pub business_key: Option<String>,
    pub key: Option<KeyedRequest>,
    pub traceparent: String,
    pub actor: Actor,
}

/// A saga that a request stands for.
#[derive(Debug, Clone)]
pub struct Started {
    pub record: SagaRecord,
    /// It was stored by an earlier request with the same key.
    pub replayed: bool,
}

/// Why a saga was not started.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartError {
    #[error("too many requests are waiting; try again")]
    Overloaded,
    #[error("{0}")]
    Unavailable(String),
    /// No more is known than that no answer came; with an idempotency key it may be repeated safely.
    #[error(
        "no answer from the database in time: the saga may or may not have been stored; ask for it again with the same Idempotency-Key, or look it up"
    )]
    InDoubt,
    #[error("this idempotency key was used for another request")]
    KeyReused,
    #[error("{0}")]
    Failed(String),
}

/// Starts sagas.
pub struct Front {
    store: Arc<dyn Store>,
    inbox: Arc<Inbox>,
    /// Keys of requests under way in this instance: a second one waits for the first.
    under_way: Mutex<HashMap<IdempotencyKey, Arc<tokio::sync::Mutex<()>>>>,
}

impl Front {
    pub fn new(store: Arc<dyn Store>, inbox: Arc<Inbox>) -> Self {
        Self { store, inbox, under_way: Mutex::new(HashMap::new()) }
    }

    /// Starts a saga, or finds the one that the request's key stands for.
    ///
    /// # Errors
    /// A [`StartError`]; but for [`StartError::InDoubt`] nothing was stored.
    pub async fn start(&self, request: StartRequest) -> Result<Started, StartError> {
        let Some(keyed) = request.key.clone() else { return self.store_it(request).await };
        let lock = self.lock_of(&keyed.key);
        let guard = lock.lock().await;
        let started = self.start_keyed(request, &keyed).await;
        drop(guard);
        self.forget(&keyed.key, lock);
        started
    }

    async fn start_keyed(&self, request: StartRequest, keyed: &KeyedRequest) -> Result<Started, StartError> {
        if let Some(found) = self.find(keyed).await? {
            return Ok(found);
        }
        match self.store_it(request).await {
            // Another instance was faster.
            Err(StartError::KeyReused) => self.find(keyed).await?.ok_or(StartError::InDoubt),
            other => other,
        }
    }

    /// The saga that a key stands for, if there is one and the request is the same.
    async fn find(&self, keyed: &KeyedRequest) -> Result<Option<Started>, StartError> {
        let Some(known) = self.store.key(&keyed.key).await.map_err(unavailable)? else { return Ok(None) };
        if known.fingerprint != keyed.fingerprint {
            return Err(StartError::KeyReused);
        }
        let record = self.store.saga(known.saga).await.map_err(unavailable)?;
        // A key and its saga are stored in one commit.
        let record = record.ok_or_else(|| StartError::Failed("the saga of this key is gone".to_owned()))?;
        Ok(Some(Started { record, replayed: true }))
    }

    async fn store_it(&self, request: StartRequest) -> Result<Started, StartError> {
        let (answer, mut receiver, withdrawal) = Answer::new();
        let submission = Submission {
            definition: request.definition,
            input: request.input,
            user_id: request.user_id,
            business_key: request.business_key,
            key: request.key,
            traceparent: request.traceparent,
            actor: request.actor,
            minted: None,
            answer,
        };
        self.inbox.submit(submission).map_err(|_| StartError::Overloaded)?;
        let submitted = match tokio::time::timeout(PATIENCE, &mut receiver).await {
            Ok(submitted) => submitted,
            Err(_) if withdrawal.withdraw() => {
                return Err(StartError::Unavailable("it could not be stored in time, and nothing was: the database is away or takes no writes, or this instance owns no shard".to_owned()));
            }
            Err(_) => tokio::time::timeout(LAST_WAIT, &mut receiver).await.map_err(|_| StartError::InDoubt)?,
        };
        match submitted {
            Ok(Submitted::Stored(record)) => Ok(Started { record: *record, replayed: false }),
            Ok(Submitted::KeyTaken) => Err(StartError::KeyReused),
            Ok(Submitted::Unavailable(why)) => Err(StartError::Unavailable(why)),
            Ok(Submitted::Failed(why)) => Err(StartError::Failed(why)),
            Err(_) if withdrawal.withdraw() => Err(StartError::Unavailable("the instance is shutting down".to_owned())),
            Err(_) => Err(StartError::InDoubt),
        }
    }

    fn lock_of(&self, key: &IdempotencyKey) -> Arc<tokio::sync::Mutex<()>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default().clone()
    }

    /// Forgets a key unless others wait for it.
    fn forget(&self, key: &IdempotencyKey, lock: Arc<tokio::sync::Mutex<()>>) {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        // Two: this one and the map's own.
        if Arc::strong_count(&lock) <= 2 {
            under_way.remove(key);
        }
    }
}

pub(super) fn unavailable(error: StoreError) -> StartError {
    StartError::Unavailable(error.to_string())
}
