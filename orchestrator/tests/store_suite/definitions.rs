//! Definitions are pinned with their settings, and never change under their number.

use orchestrator::store::StoreError;
use saga_model::Definition;
use saga_model::catalog::order;

use crate::fixtures::{definition, policy};
use crate::stores::AnyStore;

fn with_attempts(step_attempts: u32) -> Definition {
    Definition::new(order::blueprint(), saga_model::definition::Policy { step_attempts, ..policy() }).unwrap()
}

/// The same name and version, another topic.
fn other_content() -> Definition {
    let mut blueprint = order::blueprint();
    blueprint.steps[0].topic = "elsewhere".to_owned();
    Definition::new(blueprint, policy()).unwrap()
}

pub async fn a_definition_is_pinned_once(store: AnyStore) {
    let first = store.pin_definition(&definition()).await.unwrap();
    let patient = store.pin_definition(&with_attempts(50)).await.unwrap();
    assert_ne!(first, patient, "other settings are another row");
    assert_eq!(store.pin_definition(&definition()).await.unwrap(), first);
    assert_eq!(store.pin_definition(&with_attempts(50)).await.unwrap(), patient);
    let mut blueprint = order::blueprint();
    blueprint.version = 2;
    let newer = Definition::new(blueprint, policy()).unwrap();
    let second = store.pin_definition(&newer).await.unwrap();
    let all = store.definitions().await.unwrap();
    assert_eq!(all, [(first, definition()), (patient, with_attempts(50)), (second, newer)]);
}

pub async fn another_content_under_a_number_in_use_is_refused(store: AnyStore) {
    store.pin_definition(&definition()).await.unwrap();
    assert!(matches!(store.pin_definition(&other_content()).await, Err(StoreError::Refused(_))));
    assert_eq!(store.definitions().await.unwrap().len(), 1);
    store.pin_definition(&definition()).await.unwrap();
}

pub async fn of_two_contents_pinned_at_once_one_is_refused(store: AnyStore) {
    let pins = (0..8).map(|i| {
        let (store, content) = (store.clone(), if i % 2 == 0 { definition() } else { other_content() });
        tokio::spawn(async move { (i % 2, store.pin_definition(&content).await) })
    });
    let mut accepted = std::collections::BTreeSet::new();
    for pin in pins.collect::<Vec<_>>() {
        match pin.await.unwrap() {
            (content, Ok(_)) => {
                accepted.insert(content);
            }
            (_, Err(error)) => assert!(matches!(error, StoreError::Refused(_)), "{error}"),
        }
    }
    assert_eq!(accepted.len(), 1);
    assert_eq!(store.definitions().await.unwrap().len(), 1);
}
