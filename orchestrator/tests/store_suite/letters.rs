//! Dead letters that operators do something about.

use futures::future::join_all;
use orchestrator::store::rows::{
    AdminRequest, AuditFilter, Batch, Claim, DeadLetter, DeadLetterFilter, DeadLetterStatus, LetterPage, RequestStatus,
    Verdict,
};
use orchestrator::store::{Committed, StoreError};
use saga_model::Micros;
use saga_model::ids::ShardId;
use uuid::Uuid;

use crate::fixtures::{Owner, dead_letter, request};
use crate::stores::AnyStore;

const ZERO: ShardId = ShardId(0);
const NOW: Micros = Micros(1_000);

/// A new letter that is stored.
async fn stored(store: &AnyStore) -> DeadLetter {
    let mut owner = Owner::of_all(store).await;
    let letter = dead_letter(1);
    let batch = Batch { dead_letters: vec![letter.clone(), dead_letter(2)], ..owner.holding(ZERO) };
    assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
    letter
}

fn claim(letter: &DeadLetter, until: i64) -> Claim {
    Claim { letter: letter.id, until: Micros(until) }
}

fn record(letter: &DeadLetter) -> AdminRequest {
    let status = RequestStatus::Done;
    AdminRequest { saga: letter.saga, shard: None, body: None, revision: None, status, ..request(ZERO) }
}

async fn audit(store: &AnyStore) -> Vec<AdminRequest> {
    store.audit(&AuditFilter { limit: 100, ..AuditFilter::default() }).await.unwrap()
}

pub async fn a_dead_letter_is_settled_once_with_its_record(store: AnyStore) {
    let letter = stored(&store).await;
    assert_eq!(store.dead_letter(letter.id).await.unwrap(), Some(letter.clone()));
    assert_eq!(store.dead_letter(Uuid::nil()).await.unwrap(), None);
    let nobody = Claim { letter: Uuid::nil(), until: Micros(2_000) };
    assert!(!store.claim_dead_letter(nobody, NOW).await.unwrap());
    let mine = claim(&letter, 2_000);
    let replayed = Verdict::Replayed(record(&letter));
    assert!(!store.close_dead_letter(mine, &replayed).await.unwrap(), "it is not claimed");
    assert!(store.claim_dead_letter(mine, NOW).await.unwrap());
    // With a record that cannot be stored, nothing is.
    let mut known = record(&letter);
    store.put_request(&known).await.unwrap();
    known.reason = Some("again".to_owned());
    let refused = store.close_dead_letter(mine, &Verdict::Replayed(known)).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    assert_eq!(store.dead_letter(letter.id).await.unwrap(), Some(letter.clone()));

    assert!(store.close_dead_letter(mine, &replayed).await.unwrap());
    let after = DeadLetter { status: DeadLetterStatus::Replayed, ..letter.clone() };
    assert_eq!(store.dead_letter(letter.id).await.unwrap(), Some(after.clone()));
    assert_eq!(audit(&store).await.last(), replayed.settles().map(|(_, record)| record));
    assert!(!store.claim_dead_letter(claim(&letter, 9_000), Micros(8_000)).await.unwrap(), "once");
    assert!(!store.close_dead_letter(mine, &Verdict::Discarded(record(&letter))).await.unwrap());
    assert_eq!(store.dead_letter(letter.id).await.unwrap(), Some(after));
    assert_eq!(audit(&store).await.len(), 2);
}

pub async fn of_many_who_claim_a_letter_one_does(store: AnyStore) {
    let letter = stored(&store).await;
    let claims: Vec<Claim> = (0..20).map(|n| claim(&letter, 2_000 + n)).collect();
    let tries = claims.iter().map(|claim| {
        let (store, claim) = (store.clone(), *claim);
        tokio::spawn(async move { store.claim_dead_letter(claim, NOW).await.unwrap() })
    });
    let got: Vec<bool> = join_all(tries).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(got.iter().filter(|got| **got).count(), 1, "{got:?}");
    for (claim, got) in claims.iter().zip(got) {
        let closed = store.close_dead_letter(*claim, &Verdict::Discarded(record(&letter))).await.unwrap();
        assert_eq!(closed, got, "who has no claim settles nothing");
    }
    assert_eq!(audit(&store).await.len(), 1);
}

pub async fn a_claim_runs_out(store: AnyStore) {
    let letter = stored(&store).await;
    let (first, second) = (claim(&letter, 2_000), claim(&letter, 3_000));
    assert!(store.claim_dead_letter(first, NOW).await.unwrap());
    assert!(!store.claim_dead_letter(second, Micros(1_999)).await.unwrap());
    assert!(store.claim_dead_letter(second, Micros(2_000)).await.unwrap());
    assert!(!store.close_dead_letter(first, &Verdict::Replayed(record(&letter))).await.unwrap(), "it is too late");
    assert!(!store.close_dead_letter(first, &Verdict::GivenBack).await.unwrap());
    assert!(store.close_dead_letter(second, &Verdict::Discarded(record(&letter))).await.unwrap());
    let status = store.dead_letter(letter.id).await.unwrap().unwrap().status;
    assert_eq!((status, audit(&store).await.len()), (DeadLetterStatus::Discarded, 1));
}

pub async fn a_letter_given_back_may_be_claimed_again(store: AnyStore) {
    let letter = stored(&store).await;
    let (first, second) = (claim(&letter, 2_000), claim(&letter, 2_001));
    assert!(store.claim_dead_letter(first, NOW).await.unwrap());
    assert!(store.close_dead_letter(first, &Verdict::GivenBack).await.unwrap());
    assert_eq!(store.dead_letter(letter.id).await.unwrap(), Some(letter));
    assert!(audit(&store).await.is_empty(), "nothing was done");
    assert!(store.claim_dead_letter(second, NOW).await.unwrap());
}

pub async fn large_letters_make_short_pages(store: AnyStore) {
    let mut owner = Owner::of_all(&store).await;
    let third = usize::try_from(LetterPage::BYTES / 3).unwrap();
    let mut letters: Vec<DeadLetter> = (0..5).map(dead_letter).collect();
    for (letter, bytes) in letters.iter_mut().zip([1, 4 * third, third, third, third]) {
        letter.value = Some(vec![0xff; bytes]);
    }
    letters[0].value = None;
    for letter in &letters {
        let batch = Batch { dead_letters: vec![letter.clone()], ..owner.holding(ZERO) };
        assert_eq!(owner.commit(&batch).await.unwrap(), Committed::All);
    }
    let (mut offsets, mut before) = (Vec::new(), None);
    loop {
        let page = store.dead_letters(&DeadLetterFilter { before, limit: 4, ..Default::default() }).await.unwrap();
        assert_eq!(page.total, 5);
        offsets.push(page.items.iter().map(|letter| letter.offset).collect::<Vec<_>>());
        before = page.items.last().map(|letter| letter.id);
        if !page.more {
            break;
        }
    }
    // The headers count too, so that the third large one is too much; one that is larger than a page is one.
    assert_eq!(offsets, [vec![4, 3], vec![2], vec![1], vec![0]]);
    let page = store.dead_letters(&DeadLetterFilter { limit: 2, ..Default::default() }).await.unwrap();
    assert_eq!((page.items.len(), page.more), (2, true));
}
