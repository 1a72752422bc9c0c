//! What is done with time: what is left of a deadline, fresh timeouts, since when.

mod support;

use saga_model::event::{Event, Verb};
use saga_model::micros::Micros;
use saga_model::state::{Deadline, Flight, Hold, WakeUp};
use support::{Run, START, Say, definitions, replay};

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

#[test]
fn the_deadline_runs_from_the_start() {
    let run = Run::start(definitions::order());
    assert_eq!(run.saga.deadline, Deadline::At(START.plus(DAY)));
}

#[test]
fn a_pause_stops_the_deadline_and_resume_gives_what_was_left() {
    let mut run = Run::start(definitions::order());
    run.now = START.plus(9 * SECOND);
    run.verb(Verb::Pause); // at 10 s
    assert_eq!(run.saga.deadline, Deadline::Held { left: DAY - 10 * SECOND });
    run.now = START.plus(3 * DAY);
    run.verb(Verb::Resume);
    assert_eq!(run.saga.deadline, Deadline::At(run.now.plus(DAY - 10 * SECOND)));
}

#[test]
fn a_stuck_saga_keeps_what_is_left_and_replay_arms_it_again() {
    let mut run = Run::start(definitions::short("UR"));
    run.answer(Say::Done);
    run.answer(Say::No("NO")); // at 2 s
    assert_eq!(run.saga.deadline, Deadline::Held { left: DAY - 2 * SECOND });
    run.now = START.plus(DAY + DAY);
    run.verb(replay());
    assert_eq!(run.saga.deadline, Deadline::At(run.now.plus(DAY - 2 * SECOND)));
}

#[test]
fn a_late_answer_arms_the_deadline_again_too() {
    let mut run = Run::start(definitions::short("URR"));
    run.answer(Say::Done);
    let asked = run.in_flight();
    run.answer(Say::No("NO"));
    let heal = run.reply(asked, Say::Done);
    run.go(&heal);
    assert_eq!(run.saga.deadline, Deadline::At(run.now.plus(DAY - 2 * SECOND)));
}

#[test]
fn a_deadline_that_passed_unnoticed_has_nothing_left() {
    let mut run = Run::start(definitions::order());
    run.now = START.plus(2 * DAY);
    run.verb(Verb::Pause);
    assert_eq!(run.saga.deadline, Deadline::Held { left: 0 });
    run.verb(Verb::Resume);
    run.go(&Event::DeadlinePassed);
    assert_eq!(run.failure_code(), Some("DEADLINE_EXCEEDED"));
}

#[test]
fn resume_gives_a_command_in_flight_a_fresh_timeout_and_does_not_send_it_again() {
    let mut run = Run::start(definitions::order());
    let before = run.in_flight();
    run.verb(Verb::Pause);
    assert_eq!(run.saga.steps[0].action.flight, Flight::Sent { at: START });
    run.verb(Verb::Resume);
    let fresh = WakeUp::Reply { command: before, sent_at: run.now };
    assert_eq!(run.saga.wake_up(&run.definition), Some(fresh));
    assert_eq!(run.sent().len(), 1);
}

#[test]
fn a_cause_that_changes_leaves_since() {
    let mut run = Run::start(definitions::short("PR"));
    run.answer(Say::Done);
    let asked = run.in_flight();
    run.answer(Say::Silence);
    run.retry();
    run.answer(Say::Silence);
    let since = |run: &Run| match &run.saga.hold {
        Hold::Stuck(stuck) => stuck.since,
        other => panic!("stuck: {other:?}"),
    };
    let stuck_at = run.now;
    assert_eq!(since(&run), stuck_at);
    let refused = run.reply(asked, Say::No("NO"));
    run.go(&refused);
    assert_eq!(since(&run), stuck_at);
    assert!(run.saga.updated_at > stuck_at);
}

#[test]
fn a_round_has_its_own_times() {
    let mut run = Run::start(definitions::short("PR"));
    run.answer(Say::Done);
    run.answer(Say::Again("BUSY"));
    let started = run.saga.steps[1].action.started_at;
    run.retry();
    assert_eq!(run.saga.steps[1].action.started_at, started, "a retry is the same round");
    run.answer(Say::No("NO"));
    assert_eq!(run.saga.steps[1].action.finished_at, Some(run.now));
    run.verb(replay());
    let action = &run.saga.steps[1].action;
    assert_eq!((action.started_at, action.finished_at), (Some(run.now), None));
}

#[test]
fn a_late_reply_leaves_updated_at() {
    let mut run = Run::start(definitions::order());
    let first = run.in_flight();
    run.answer(Say::Done);
    let (updated, revision) = (run.saga.updated_at, run.saga.revision);
    let late = run.reply(first, Say::No("NO"));
    run.go(&late);
    assert_eq!((run.saga.updated_at, run.saga.revision), (updated, revision + 1));
    assert_eq!(run.rows.last().unwrap().at, run.now, "its row has its own time");
}

#[test]
fn the_end_of_time_is_no_trouble() {
    let mut run = Run::start(definitions::order());
    run.now = Micros(i64::MAX - SECOND);
    run.answer(Say::Again("BUSY"));
    run.verb(Verb::Pause);
    run.verb(Verb::Resume);
}
