//! Operators' requests and dead letters.

use orchestrator::store::rows::{Batch, DeadLetterFilter, DeadLetterStatus, RequestStatus};
use orchestrator::store::{Committed, StoreError};
use saga_model::ids::ShardId;
use uuid::Uuid;

use crate::fixtures::{Owner, answer, dead_letter, request};
use crate::stores::{AnyStore, SHARDS};

const ZERO: ShardId = ShardId(0);

pub async fn a_request_is_pending_until_it_is_answered(store: AnyStore) {
    let mut owner = Owner::of_all(&store).await;
    let requests: Vec<_> = [0, 1, 0, 2].map(|shard| request(ShardId(shard))).into();
    for request in requests.iter().rev() {
        store.put_request(request).await.unwrap();
    }
    assert!(matches!(store.put_request(&requests[0]).await, Err(StoreError::Refused(_))));
    // One that was refused at once is only a record.
    let mut refused = request(ZERO);
    refused.status = RequestStatus::Refused;
    (refused.shard, refused.saga, refused.body, refused.actor) = (None, None, None, None);
    store.put_request(&refused).await.unwrap();

    let pending = store.pending_requests(&[ZERO, ShardId(2), ShardId(3)]).await.unwrap();
    assert_eq!(pending, [requests[0].clone(), requests[2].clone(), requests[3].clone()]);
    assert!(store.pending_requests(&[]).await.unwrap().is_empty());
    assert!(store.answers(&[requests[0].id]).await.unwrap().is_empty());

    let mut batch = owner.holding(ZERO);
    batch.answers = vec![answer(&requests[0])];
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
    let ids: Vec<Uuid> = requests.iter().map(|request| request.id).chain([Uuid::nil()]).collect();
    assert_eq!(store.answers(&ids).await.unwrap(), [answer(&requests[0])]);
    assert_eq!(store.pending_requests(&[ZERO]).await.unwrap(), [requests[2].clone()]);
    assert!(!store.withdraw_request(requests[0].id).await.unwrap(), "it has been answered");
    assert!(!store.withdraw_request(Uuid::nil()).await.unwrap());
    // An answer is given once, and is one.
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::RequestsWithdrawn(vec![requests[0].id]));
    batch.answers = vec![answer(&requests[2])];
    batch.answers[0].status = RequestStatus::Pending;
    assert!(matches!(owner.commit(&batch).await, Err(StoreError::Refused(_))));
}

pub async fn a_withdrawn_request_is_not_pending(store: AnyStore) {
    let asked = request(ZERO);
    store.put_request(&asked).await.unwrap();
    assert!(store.withdraw_request(asked.id).await.unwrap());
    assert!(!store.withdraw_request(asked.id).await.unwrap());
    assert!(store.pending_requests(&[ZERO]).await.unwrap().is_empty());
    assert!(store.answers(&[asked.id]).await.unwrap().is_empty());
}

pub async fn a_request_is_answered_or_withdrawn_never_both(store: AnyStore) {
    let mut owner = Owner::of_all(&store).await;
    for _ in 0..20 {
        let asked = request(ZERO);
        store.put_request(&asked).await.unwrap();
        let withdrawal = {
            let (store, id) = (store.clone(), asked.id);
            tokio::spawn(async move { store.withdraw_request(id).await.unwrap() })
        };
        let mut batch = owner.holding(ZERO);
        batch.answers = vec![answer(&asked)];
        let committed = owner.commit(&batch).await.unwrap();
        let answered = store.answers(&[asked.id]).await.unwrap();
        if withdrawal.await.unwrap() {
            assert_eq!((committed, answered), (Committed::RequestsWithdrawn(vec![asked.id]), Vec::new()));
        } else {
            assert_eq!((committed, answered), (Committed::All, vec![answer(&asked)]));
        }
    }
}

pub async fn a_dead_letter_is_stored_once(store: AnyStore) {
    let mut owner = Owner::of_all(&store).await;
    let first = dead_letter(1);
    let mut batch = Batch { dead_letters: vec![first.clone(), dead_letter(1)], ..owner.holding(ZERO) };
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
    batch.dead_letters = vec![dead_letter(1), dead_letter(2)];
    batch.dead_letters[1].partition = 3;
    let second = batch.dead_letters[1].clone();
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
    let all = store.dead_letters(&DeadLetterFilter { limit: 10, ..Default::default() }).await.unwrap();
    assert_eq!(all.items, [second, first]);
}

pub async fn dead_letters_are_listed_newest_first(store: AnyStore) {
    let mut owner = Owner::of_all(&store).await;
    let mut letters: Vec<_> = (0..10).map(dead_letter).collect();
    letters[3].status = DeadLetterStatus::Replayed;
    letters[4].status = DeadLetterStatus::Discarded;
    letters[5].code = "TOO_LARGE".to_owned();
    letters[6].topic = "payment.commands".to_owned();
    let batch = Batch { dead_letters: letters.clone(), ..owner.holding(ShardId(SHARDS - 1)) };
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
    letters.reverse();

    let list = async |filter: DeadLetterFilter| store.dead_letters(&filter).await.unwrap();
    let mut seen = Vec::new();
    let mut filter = DeadLetterFilter { limit: 4, ..Default::default() };
    loop {
        let page = list(filter.clone()).await;
        assert_eq!(page.total, 10);
        let Some(last) = page.items.last() else { break };
        filter.before = Some(last.id);
        seen.extend(page.items);
    }
    assert_eq!(seen, letters);

    let all = DeadLetterFilter { limit: 10, ..Default::default() };
    let found = list(DeadLetterFilter { status: Some(DeadLetterStatus::Replayed), ..all.clone() }).await;
    assert_eq!(found.items, [letters[6].clone()]);
    let found = list(DeadLetterFilter { code: Some("TOO_LARGE".to_owned()), ..all.clone() }).await;
    assert_eq!((found.items, found.total), (vec![letters[4].clone()], 1));
    let found = list(DeadLetterFilter { topic: Some("payment.commands".to_owned()), ..all.clone() }).await;
    assert_eq!(found.items, [letters[3].clone()]);
    assert_eq!(list(DeadLetterFilter { limit: u64::MAX, ..all }).await.items.len(), 10);
}
