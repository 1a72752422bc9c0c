//! A saga does not grow without bound.

mod support;

use saga_model::advance::{Advance, Ignored, MAX_SAGA_BYTES, Refused};
use saga_model::event::{Event, Reply, Verb};
use saga_model::history::{RowKind, fold};
use saga_model::invariants;
use saga_model::json::RawJson;
use saga_model::state::{CommandRef, SagaStatus, StuckCause};
use support::{Run, Say, definitions, replay};

/// An answer with an output of about `bytes`.
fn big(run: &Run, command: CommandRef, bytes: usize) -> Event {
    let output = RawJson::from_string(format!("{{\"blob\":\"{}\"}}", "x".repeat(bytes))).unwrap();
    match run.reply(command, Say::Done) {
        Event::Reply(reply) => Event::Reply(Reply { output: Some(output), ..reply }),
        other => other,
    }
}

/// Nine steps that answer with 60 KiB each: the ninth answer is one too many.
fn too_big() -> Run {
    let mut run = Run::start(definitions::short("UUUUUUUUUUP"));
    for _ in 0..8 {
        let answer = big(&run, run.in_flight(), 60 * 1024);
        run.go(&answer);
    }
    let answer = big(&run, run.in_flight(), 60 * 1024);
    run.go(&answer);
    run
}

#[test]
fn a_reply_that_is_too_much_is_dropped_and_the_saga_rests() {
    let mut run = too_big();
    let row = run.rows.last().unwrap().clone();
    assert_eq!((row.kind, row.data.stuck), (RowKind::EngineFailed, Some(StuckCause::TooBig)));
    assert_eq!((row.attempt, row.data.output), (Some(1), None));
    assert_eq!(run.status(), SagaStatus::Stuck);
    assert!(run.saga.bytes() <= MAX_SAGA_BYTES);
    assert_eq!(invariants::check(&run.definition, &run.saga, &run.rows), []);
    assert_eq!(fold(&run.definition, run.saga.id, run.saga.secret, &run.rows), Ok(run.saga.clone()));

    let again = big(&run, run.in_flight(), 60 * 1024);
    assert_eq!(run.ignored(&again), Ignored::AtRest, "no row for each repeat");

    run.verb(replay());
    assert_eq!(run.in_flight().attempt, 2);
    run.play(|_, _| Some(Say::Done));
    assert_eq!(run.status(), SagaStatus::Completed, "asked again, the worker answers less");
}

#[test]
fn a_smaller_answer_heals() {
    let mut run = too_big();
    run.answer(Say::Done);
    assert!(run.rows.last().unwrap().data.healed);
}

#[test]
fn an_input_that_is_too_much_is_refused() {
    let mut run = Run::start(definitions::short("UUUUUUUURR"));
    for _ in 0..8 {
        let answer = big(&run, run.in_flight(), 60 * 1024);
        run.go(&answer);
    }
    run.answer(Say::No("NO"));
    let input = RawJson::from_string(format!("{{\"blob\":\"{}\"}}", "x".repeat(60 * 1024))).unwrap();
    let verb = Verb::Replay { from_step: None, input: Some(input) };
    assert_eq!(run.refused(verb), Refused::InputTooLarge);
    assert!(matches!(run.apply(&Event::Verb { verb: replay(), reason: "r".to_owned() }), Advance::Changed(_)));
}
