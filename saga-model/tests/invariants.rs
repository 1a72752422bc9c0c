//! Each invariant can be broken: a saga that was tampered with is found out, by number.

mod support;

use saga_model::event::Verb;
use saga_model::history::{Emitted, NextCommand, Row};
use saga_model::invariants::{ALL, check, check_state};
use saga_model::state::{Deadline, Flight, Kind, OrderStatus, Phase, Saga, StepStatus, Undo, UndoStatus};
use support::{Run, Say, definitions};

fn completed() -> Run {
    let mut run = Run::start(definitions::order());
    run.play(|_, _| Some(Say::Done));
    run
}

/// Declined at the pivot after the reservation, undone, told.
fn compensated() -> Run {
    let mut run = Run::start(definitions::order());
    let reserved = run.in_flight();
    run.answer(Say::Done);
    let late = run.reply(reserved, Say::No("NO"));
    run.go(&late);
    run.answer(Say::Silence);
    run.retry();
    run.answer(Say::No("PAYMENT_DECLINED"));
    run.play(|_, command| Some(if command.kind == Kind::Action { Say::Done } else { Say::Undone }));
    run
}

/// Turned back, the refund in flight.
fn unwinding() -> Run {
    let mut run = Run::start(definitions::order());
    run.answer(Say::Done);
    run.verb(Verb::Cancel);
    run
}

/// The numbers of the rules that a tampered saga breaks.
fn broken(run: Run, tamper: impl FnOnce(&mut Saga, &mut Vec<Row>)) -> Vec<u8> {
    let Run { definition, mut saga, mut rows, .. } = run;
    assert_eq!(check(&definition, &saga, &rows), [], "nothing is wrong before");
    tamper(&mut saga, &mut rows);
    let by_state: Vec<u8> = check_state(&definition, &saga).iter().map(|violation| violation.number).collect();
    let all: Vec<u8> = check(&definition, &saga, &rows).iter().map(|violation| violation.number).collect();
    assert!(by_state.iter().all(|number| all.contains(number)));
    all
}

#[track_caller]
fn breaks(number: u8, run: Run, tamper: impl FnOnce(&mut Saga, &mut Vec<Row>)) {
    let broken = broken(run, tamper);
    assert!(broken.contains(&number), "INV-{number} is not in {broken:?}");
}

#[test]
fn they_are_numbered() {
    for (number, rule) in (1..).zip(&ALL) {
        assert_eq!(rule.number, number);
    }
}

#[test]
fn each_can_be_broken() {
    breaks(1, compensated(), |saga, _| saga.steps[0].undo.as_mut().unwrap().status = UndoStatus::Waived);
    breaks(1, compensated(), |saga, _| saga.steps[1].undo = None);
    breaks(2, completed(), |saga, _| saga.steps[2].status = StepStatus::Rejected);
    breaks(3, compensated(), |_, rows| {
        let next = NextCommand { step: "charge-payment".to_owned(), kind: Kind::Action, round: 1, attempt: 3 };
        rows.last_mut().unwrap().data.next = Some(next);
    });
    breaks(4, unwinding(), |saga, _| saga.steps[1].undo.as_mut().unwrap().course.flight = Flight::None);
    breaks(4, unwinding(), |saga, _| saga.steps[0].action.flight = Flight::Backoff { until: None });
    breaks(5, compensated(), |saga, _| saga.phase = Phase::Resolved);
    breaks(6, completed(), |saga, _| saga.updated_at = support::START);
    breaks(7, completed(), |_, rows| drop(rows.remove(1)));
    breaks(7, completed(), |saga, _| saga.revision = 7);
    breaks(8, completed(), |_, rows| {
        let after = Row { seq: 5, ..rows[1].clone() };
        rows.push(after);
    });
    breaks(9, unwinding(), |saga, _| saga.steps[1].undo.as_mut().unwrap().course.budget_used = 11);
    breaks(9, unwinding(), |saga, _| saga.steps[0].action.answered_attempt = 2);
    breaks(10, compensated(), |_, rows| {
        let next = NextCommand { step: "charge-payment".to_owned(), kind: Kind::Compensate, round: 1, attempt: 2 };
        rows.last_mut().unwrap().data.next = Some(next);
    });
    breaks(10, unwinding(), |saga, _| saga.steps[0].undo.as_mut().unwrap().course.attempts = 1);
    breaks(12, completed(), |saga, _| saga.order = OrderStatus::Created);
    breaks(12, compensated(), |saga, _| saga.order = OrderStatus::Confirmed);
    breaks(13, completed(), |saga, _| saga.deadline = Deadline::At(support::START));
    breaks(13, Run::start(definitions::order()), |saga, _| saga.deadline = Deadline::None);
    breaks(14, unwinding(), |saga, _| saga.steps[2].undo = Some(Undo::pending(1)));
    breaks(14, unwinding(), |saga, _| saga.failure = None);
    breaks(15, compensated(), |saga, _| saga.ignored.clear());
}

/// The promised sequences of an order's events, and some that are not.
#[test]
fn stories() {
    let story = |run: Run, topics: &str| {
        broken(run, |_, rows| {
            for row in rows.iter_mut() {
                row.data.emit.clear();
            }
            let emitted = topics.split_whitespace().map(|topic| Emitted { topic: topic.to_owned(), reason: None });
            rows[0].data.emit = emitted.collect();
        })
        .contains(&11)
    };
    for told in [
        "order.created inventory.reserved payment.failed inventory.released order.cancelled",
        "order.created inventory.rejected order.cancelled",
        "order.created inventory.reserved payment.failed payment.refunded inventory.released order.cancelled",
        "order.created inventory.reserved payment.failed order.cancelled",
        "order.created inventory.rejected inventory.released order.cancelled",
        "order.created order.cancelled",
        "order.created inventory.released order.cancelled",
        "order.created inventory.reserved payment.refunded inventory.released order.cancelled",
        "order.created inventory.reserved payment.success order.confirmed payment.refunded inventory.released order.cancelled",
    ] {
        assert!(!story(compensated(), told), "{told}");
    }
    for wrong in [
        "",
        "order.created",
        "order.cancelled",
        "order.created order.cancelled order.cancelled",
        "order.created inventory.reserved payment.success order.confirmed",
        "order.created inventory.reserved payment.success order.cancelled",
        "order.created inventory.reserved order.confirmed order.cancelled",
        "order.created inventory.rejected payment.failed order.cancelled",
        "order.created inventory.reserved inventory.rejected order.cancelled",
        "order.created inventory.rejected payment.refunded order.cancelled",
        "order.created inventory.reserved inventory.released payment.refunded order.cancelled",
        "order.created inventory.reserved payment.failed payment.success order.cancelled",
        "order.created inventory.reserved payment.failed inventory.released inventory.released order.cancelled",
        "order.created payment.failed order.cancelled",
        "order.created inventory.reserved payment.failed order.cancelled inventory.released",
    ] {
        assert!(story(compensated(), wrong), "{wrong}");
    }
    assert!(!story(completed(), "order.created inventory.reserved payment.success order.confirmed"));
    assert!(story(completed(), "order.created inventory.reserved payment.success"));
    assert!(story(completed(), "order.created inventory.reserved payment.failed order.cancelled"));
}
