//! A history folds into the state that it made, and into nothing else.

mod support;

use saga_model::Definition;
use saga_model::definition::StepIndex;
use saga_model::event::Verb;
use saga_model::history::{FoldError, Row, fold, fold_each};
use saga_model::state::{Failure, OrderStatus};
use support::{Run, Say, definitions, replay};

type Change = fn(&mut Row);

fn declined() -> Run {
    let mut run = Run::start(definitions::order());
    run.answer(Say::Done);
    run.answer(Say::Silence);
    run.retry();
    run.answer(Say::No("PAYMENT_DECLINED"));
    run.answer(Say::Again("BUSY"));
    run.verb(replay());
    run.verb(Verb::Pause);
    run
}

fn refold(run: &Run, rows: &[Row]) -> Result<saga_model::Saga, FoldError> {
    fold(&run.definition, run.saga.id, run.saga.secret, rows)
}

#[test]
fn every_prefix_is_the_state_of_its_time() {
    let run = declined();
    assert_eq!(refold(&run, &run.rows), Ok(run.saga.clone()));
    let mut revisions = Vec::new();
    fold_each(&run.definition, run.saga.id, run.saga.secret, &run.rows, |row, saga| {
        revisions.push((row.seq, saga.revision, saga.order));
    })
    .unwrap();
    assert_eq!(revisions.len(), run.rows.len());
    assert!(revisions.iter().all(|(seq, revision, order)| seq == revision && *order == OrderStatus::Created));
    for end in 1..run.rows.len() {
        assert_eq!(refold(&run, &run.rows[..end]).unwrap().revision as usize, end);
    }
}

#[test]
fn a_row_that_was_changed_is_found() {
    let run = declined();
    let changes: [(&str, Change); 5] = [
        ("what was decided", |row| row.data.next = None),
        ("a domain event", |row| row.data.emit.clear()),
        ("the reason", |row| row.data.failure = Some(Failure::new("X", ""))),
        ("its place", |row| row.seq += 1),
        ("an end", |row| row.data.ended = Some(saga_model::state::Phase::Completed)),
    ];
    for (what, change) in changes {
        let mut found = 0;
        for place in 0..run.rows.len() {
            let mut rows = run.rows.clone();
            change(&mut rows[place]);
            if rows == run.rows {
                continue; // nothing to change in this row
            }
            found += 1;
            assert!(refold(&run, &rows).is_err(), "{what} of row {}", place + 1);
        }
        assert!(found > 0, "{what} was changed somewhere");
    }
}

#[test]
fn rows_that_are_missing_twice_or_torn() {
    let run = declined();
    assert_eq!(refold(&run, &[]), Err(FoldError::Empty));
    assert!(matches!(refold(&run, &run.rows[1..]), Err(FoldError::NoTransition { seq: 2, .. })));
    let twice = [&run.rows[..2], &run.rows[1..]].concat();
    assert!(matches!(refold(&run, &twice), Err(FoldError::NoTransition { seq: 2, .. })));
    let tear: [(usize, Change); 4] = [
        (1, |row| row.step = None),
        (1, |row| row.step = Some(StepIndex(200))),
        (3, |row| row.data.kind = None),
        (6, |row| row.data.verb = None),
    ];
    for (place, tear) in tear {
        let mut rows = run.rows.clone();
        tear(&mut rows[place]);
        let seq = place as u32 + 1;
        assert!(matches!(refold(&run, &rows), Err(FoldError::Incomplete { seq: torn, .. }) if torn == seq));
    }
}

/// The settings of today may differ; the saga keeps those that it was started with, and they matter.
#[test]
fn other_settings_make_another_history() {
    let run = declined();
    let mut policy = *run.definition.policy();
    policy.step_attempts = 1;
    let other = Definition::new(run.definition.blueprint().clone(), policy).unwrap();
    let folded = fold(&other, run.saga.id, run.saga.secret, &run.rows);
    assert!(matches!(folded, Err(FoldError::Differs { seq: 3, .. })), "{folded:?}");
}
