//! The audit as a list.

use orchestrator::store::Committed;
use orchestrator::store::rows::{AdminRequest, AuditFilter, RequestStatus};
use saga_model::ids::ShardId;

use crate::fixtures::{Owner, answer, request};
use crate::stores::AnyStore;

const ZERO: ShardId = ShardId(0);

async fn list(store: &AnyStore, filter: AuditFilter) -> Vec<AdminRequest> {
    let limit = if filter.limit == 0 { 100 } else { filter.limit };
    store.audit(&AuditFilter { limit, ..filter }).await.unwrap()
}

pub async fn requests_are_listed_newest_first_once_they_have_ended(store: AnyStore) {
    let mut owner = Owner::of_all(&store).await;
    assert!(list(&store, AuditFilter::default()).await.is_empty());
    let mut requests: Vec<AdminRequest> = (0..6).map(|_| request(ZERO)).collect();
    requests[3].action = "pause".to_owned();
    requests[4].actor = None;
    requests[5].status = RequestStatus::Refused;
    (requests[5].saga, requests[5].shard, requests[5].reason) = (None, None, None);
    (requests[5].code, requests[5].detail) = (Some("FORBIDDEN".to_owned()), Some("no".to_owned()));
    // In another order than that of their ids.
    for request in requests.iter().rev() {
        store.put_request(request).await.unwrap();
    }
    assert_eq!(list(&store, AuditFilter::default()).await, [requests[5].clone()], "the others are pending");

    assert!(store.withdraw_request(requests[1].id).await.unwrap());
    requests[1].status = RequestStatus::Withdrawn;
    let mut batch = owner.holding(ZERO);
    for n in [0, 2, 3, 4] {
        let request = &mut requests[n];
        let answer = answer(request);
        (request.status, request.code, request.detail) = (answer.status, answer.code.clone(), answer.detail.clone());
        batch.answers.push(answer);
    }
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
    requests.reverse();
    assert_eq!(list(&store, AuditFilter::default()).await, requests);

    let mut seen = Vec::new();
    loop {
        let before = seen.last().map(|request: &AdminRequest| request.id);
        let page = list(&store, AuditFilter { before, limit: 4, ..AuditFilter::default() }).await;
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen, requests);

    let found = list(&store, AuditFilter { saga: requests[2].saga, ..AuditFilter::default() }).await;
    assert_eq!(found, [requests[2].clone()]);
    let found = list(&store, AuditFilter { action: Some("pause".to_owned()), ..AuditFilter::default() }).await;
    assert_eq!(found, [requests[2].clone()]);
    let of_ops = AuditFilter { actor: Some("key:ops".to_owned()), ..AuditFilter::default() };
    let found = list(&store, AuditFilter { action: Some("cancel".to_owned()), ..of_ops }).await;
    assert_eq!(found, [0, 3, 4, 5].map(|n| requests[n].clone()));
    assert!(list(&store, AuditFilter { actor: Some("ops".to_owned()), ..AuditFilter::default() }).await.is_empty());
    assert_eq!(list(&store, AuditFilter { limit: u64::MAX, ..AuditFilter::default() }).await.len(), 6);
}

pub async fn a_workers_record_is_listed_too(store: AnyStore) {
    // What a worker writes is a request that nobody has to answer.
    let mut set = request(ZERO);
    (set.saga, set.shard, set.body, set.revision) = (None, None, None, None);
    (set.action, set.status) = ("set-stock".to_owned(), RequestStatus::Done);
    set.detail = Some("7 units".to_owned());
    store.put_request(&set).await.unwrap();
    let found = list(&store, AuditFilter { action: Some("set-stock".to_owned()), ..AuditFilter::default() }).await;
    assert_eq!(found, [set]);
}
