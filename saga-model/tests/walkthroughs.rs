//! Whole sagas, row by row: the walk-throughs of the design, with a small scripted worker.

mod support;

use saga_model::event::Verb;
use saga_model::json::RawJson;
use saga_model::state::{CommandRef, Kind, OrderStatus, SagaStatus};
use saga_model::view::{Parts, SagaView, Taken};
use support::{Run, Say, definitions, replay};

/// What the shop's workers answer, as the payment method has it.
fn shop(method: &str, step: &str, command: CommandRef) -> Option<Say> {
    let CommandRef { kind, attempt, .. } = command;
    Some(match (method, step, kind) {
        ("pm_decline", "charge-payment", Kind::Action) => Say::No("PAYMENT_DECLINED"),
        ("pm_flaky", "charge-payment", Kind::Action) if attempt <= 2 => Say::Again("GATEWAY_BUSY"),
        ("pm_timeout", "charge-payment", Kind::Action) if attempt == 1 => Say::Silence,
        ("pm_hang" | "pm_refund_fails", "charge-payment", Kind::Action) => Say::Silence,
        ("pm_refund_fails", "charge-payment", Kind::Compensate) if attempt <= 12 => Say::Again("GATEWAY_BUSY"),
        ("no stock", "reserve-inventory", Kind::Action) => Say::No("INSUFFICIENT_STOCK"),
        (_, _, Kind::Action) => Say::Done,
        (_, _, Kind::Compensate) => Say::Undone,
    })
}

fn play(method: &str) -> Run {
    let mut run = Run::start(definitions::order());
    run.play(|step, command| shop(method, step, command));
    run
}

/// At which row the order got that status.
#[track_caller]
fn check_order(run: &Run, status: OrderStatus, seq: u32) {
    let topic = match status {
        OrderStatus::Created => "order.created",
        OrderStatus::Confirmed => "order.confirmed",
        OrderStatus::Cancelled => "order.cancelled",
    };
    let row = run.rows.iter().find(|row| row.data.emit.iter().any(|event| event.topic == topic));
    assert_eq!(row.map(|row| row.seq), Some(seq), "{status:?}");
    assert_eq!(run.order(), status);
}

const HAPPY: [&str; 4] = ["order.created", "inventory.reserved", "payment.success", "order.confirmed"];

#[test]
fn approved() {
    let run = play("pm_approve");
    assert_eq!(run.kinds(1), ["SagaStarted", "SS", "SS", "SS"]);
    assert_eq!(run.topics(), HAPPY);
    assert_eq!(run.status(), SagaStatus::Completed);
    assert_eq!(run.rows[2].data.emit.iter().map(|e| e.topic.as_str()).collect::<Vec<_>>(), HAPPY[2..]);
    assert_eq!(run.sent(), ["reserve-inventory Action 1 1", "charge-payment Action 1 1", "notify-customer Action 1 1"]);
    check_order(&run, OrderStatus::Confirmed, 3);
}

#[test]
fn declined() {
    let run = play("pm_decline");
    assert_eq!(run.kinds(3), ["SR", "CS", "SS"]);
    assert_eq!(
        run.topics(),
        ["order.created", "inventory.reserved", "payment.failed", "inventory.released", "order.cancelled"]
    );
    assert_eq!(run.status(), SagaStatus::Compensated);
    assert_eq!(run.failure_code(), Some("PAYMENT_DECLINED"));
    check_order(&run, OrderStatus::Cancelled, 4);
}

#[test]
fn flaky() {
    let run = play("pm_flaky");
    assert_eq!(run.kinds(3), ["AF", "AS", "AF", "AS", "SS", "SS"]);
    assert_eq!(run.topics(), HAPPY);
    check_order(&run, OrderStatus::Confirmed, 7);
    assert_eq!(run.saga.steps[1].action.attempts, 3);
}

#[test]
fn timed_out_once() {
    let run = play("pm_timeout");
    assert_eq!(run.kinds(3), ["AF", "AS", "SS", "SS"]);
    assert_eq!(run.topics(), HAPPY);
    check_order(&run, OrderStatus::Confirmed, 5);
}

#[test]
fn hangs() {
    let run = play("pm_hang");
    assert_eq!(
        run.kinds(3),
        ["AF", "AS", "AF", "AS", "AF", "AS", "AF", "AS", "SU", "CS", "CS", "SS"],
        "rows 3 to 10 are attempts, 11 gives up, 12 refunds, 13 releases, 14 notifies"
    );
    assert_eq!(
        run.topics(),
        [
            "order.created",
            "inventory.reserved",
            "payment.failed",
            "payment.refunded",
            "inventory.released",
            "order.cancelled"
        ]
    );
    assert_eq!(run.status(), SagaStatus::Compensated);
    assert_eq!(run.failure_code(), Some("STEP_TIMEOUT"));
    check_order(&run, OrderStatus::Cancelled, 13);
}

#[test]
fn refund_fails() {
    let mut run = play("pm_refund_fails");
    let attempts = ["CAF", "AS"].repeat(9);
    assert_eq!(run.kinds(12), [&attempts[..], &["CF"]].concat());
    assert_eq!(run.rows.len(), 30);
    assert_eq!(run.status(), SagaStatus::Stuck);
    assert_eq!(run.order(), OrderStatus::Created);
    run.verb(replay());
    run.play(|step, command| shop("pm_refund_fails", step, command));
    assert_eq!(run.kinds(31), ["OA", "CAF", "AS", "CAF", "AS", "CS", "CS", "SS"]);
    assert_eq!(run.status(), SagaStatus::Compensated);
    check_order(&run, OrderStatus::Cancelled, 37);
}

#[test]
fn no_stock() {
    let run = play("no stock");
    assert_eq!(run.kinds(2), ["SR", "SS"]);
    assert_eq!(run.topics(), ["order.created", "inventory.rejected", "order.cancelled"]);
    assert_eq!(run.status(), SagaStatus::Compensated);
    assert_eq!(run.failure_code(), Some("INSUFFICIENT_STOCK"));
    check_order(&run, OrderStatus::Cancelled, 2);
}

#[test]
fn cancel_while_charging() {
    let mut run = Run::start(definitions::order());
    run.answer(Say::Done);
    run.verb(Verb::Cancel);
    run.play(|step, command| shop("pm_approve", step, command));
    assert_eq!(run.kinds(3), ["OA", "CS", "CS", "SS"]);
    assert_eq!(
        run.topics(),
        ["order.created", "inventory.reserved", "payment.refunded", "inventory.released", "order.cancelled"],
        "no payment.failed"
    );
    assert_eq!(run.failure_code(), Some("CANCELLED_BY_OPERATOR"));
    check_order(&run, OrderStatus::Cancelled, 5);
}

#[test]
fn compensate_after_the_pivot_while_the_notifier_is_down() {
    let mut run = Run::start(definitions::order());
    run.answer(Say::Done);
    run.answer(Say::Done);
    let first_notice = run.in_flight();
    assert_eq!(run.named(first_notice), "notify-customer Action 1 1");
    check_order(&run, OrderStatus::Confirmed, 3);
    run.verb(Verb::Compensate);
    run.answer(Say::Undone);
    run.answer(Say::Undone);
    assert_eq!(run.named(run.in_flight()), "notify-customer Action 2 1");
    let before = run.saga.clone();
    let late = run.reply(first_notice, Say::Done);
    run.go(&late);
    assert_eq!((run.saga.updated_at, run.status()), (before.updated_at, before.status()));
    run.answer(Say::Done);
    assert_eq!(run.kinds(4), ["OA", "CS", "CS", "RI", "SS"]);
    assert_eq!(run.rows.last().unwrap().round, Some(2));
    assert_eq!(run.status(), SagaStatus::Compensated);
    assert_eq!(run.topics()[4..], ["payment.refunded", "inventory.released", "order.cancelled"]);
    check_order(&run, OrderStatus::Cancelled, 6);
}

#[test]
fn pause_while_charging() {
    let mut run = Run::start(definitions::order());
    run.answer(Say::Done);
    let charge = run.in_flight();
    run.verb(Verb::Pause);
    let done = run.reply(charge, Say::Done);
    run.go(&done);
    assert_eq!(run.status(), SagaStatus::Paused);
    assert_eq!(run.topics(), HAPPY);
    run.verb(Verb::Resume);
    run.answer(Say::Done);
    assert_eq!(run.kinds(3), ["OA", "SS", "OA", "SS"]);
    assert_eq!(run.status(), SagaStatus::Completed);
    check_order(&run, OrderStatus::Confirmed, 4);
}

/// Whatever a live saga waits for, it names the step in hand.
#[test]
fn a_paused_saga_whose_last_answer_is_recorded_names_the_step_that_it_was() {
    fn check(run: &Run, kind: &str, step: &str) {
        let input = RawJson::from_string("{}".to_owned()).unwrap();
        let (definition, saga) = (&run.definition, &run.saga);
        let parts = Parts { definition, saga, input: &input, business_key: None, trace_id: "", taken: Taken::Unknown };
        let waiting = serde_json::to_value(SagaView::of(parts)).unwrap()["waitingFor"].take();
        assert_eq!((&waiting["kind"], &waiting["step"]), (&kind.into(), &step.into()), "{waiting}");
    }
    let paused = |mut run: Run, say: Say| {
        let command = run.in_flight();
        run.verb(Verb::Pause);
        let answer = run.reply(command, say);
        run.go(&answer);
        run
    };
    let mut run = Run::start(definitions::order());
    run.answer(Say::Done);
    run.answer(Say::Done);
    check(&run, "reply", "notify-customer");
    check(&paused(run, Say::Done), "operator", "notify-customer");

    let mut run = Run::start(definitions::order());
    run.answer(Say::Done);
    run.answer(Say::No("PAYMENT_DECLINED"));
    check(&run, "reply", "reserve-inventory");
    let mut run = paused(run, Say::Undone);
    check(&run, "operator", "reserve-inventory");
    run.verb(Verb::Resume);
    check(&run, "reply", "notify-customer");
    check(&paused(run, Say::Done), "operator", "notify-customer");
}
