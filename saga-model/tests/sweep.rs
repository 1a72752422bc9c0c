//! A sweep over definitions: every step and every compensation fails in every way, every reply comes three times.
//! It is asserted where it failed, and in which order it was undone.

mod support;

use saga_model::advance::{Advance, Ignored};
use saga_model::definition::{StepClass, StepIndex};
use saga_model::state::{CommandRef, Kind, OrderStatus, Saga, SagaStatus, StuckCause, WakeUp};
use saga_model::{Definition, invariants, render};
use support::{Run, Say, definitions, replay};

const WAYS: [Say; 4] = [Say::No("NO"), Say::Again("BUSY"), Say::Perhaps, Say::Silence];

fn all() -> Vec<Definition> {
    let short = ["U", "P", "Z", "UP", "UUR", "UUUU", "UUPZ", "PRRZ", "UUUUUUPRRZ", "UPRZR"];
    short.into_iter().map(definitions::short).chain([definitions::order()]).collect()
}

/// What does not change by a reply that comes again: everything but the record of a late one.
fn essence(saga: &Saga) -> Saga {
    Saga { revision: 0, ignored: Vec::new(), ..saga.clone() }
}

/// Plays to the end or to a rest; each reply comes three times.
fn play(run: &mut Run, script: impl Fn(CommandRef) -> Say) {
    while !run.saga.at_rest() {
        let command = match run.saga.wake_up(&run.definition) {
            Some(WakeUp::Reply { command, .. }) => command,
            Some(WakeUp::Backoff { .. }) => {
                run.retry();
                continue;
            }
            None => panic!("nothing wakes {}", render::state(&run.definition, &run.saga)),
        };
        let say = script(command);
        run.answer(say);
        if say != Say::Silence {
            let again = run.reply(command, say);
            let after = essence(&run.saga);
            let second = run.apply(&again);
            let third = run.apply(&again);
            assert_eq!(essence(&run.saga), after, "{again:?} again");
            assert!(matches!(third, Advance::Ignored(_)), "{third:?}");
            if say.outcome().is_some_and(|outcome| matches!(outcome, saga_model::state::Outcome::Succeeded)) {
                assert_eq!(second, Advance::Ignored(Ignored::Duplicate));
            }
        }
    }
    let broken = invariants::check(&run.definition, &run.saga, &run.rows);
    assert!(broken.is_empty(), "{}", broken[0]);
}

fn happy(command: CommandRef) -> Say {
    match command.kind {
        Kind::Action => Say::Done,
        Kind::Compensate => Say::Undone,
    }
}

/// The first commands of each compensation that was sent, in order, by step.
fn undone(run: &Run) -> Vec<StepIndex> {
    let sent = run.rows.iter().filter_map(|row| row.data.next.as_ref());
    let undos = sent.filter(|next| next.kind == Kind::Compensate && (next.round, next.attempt) == (1, 1));
    undos.map(|next| run.step(&next.step)).collect()
}

/// The undoable steps up to `step`, the last first; `step` itself only if it `may_stand`.
fn owed(definition: &Definition, step: StepIndex, may_stand: bool) -> Vec<StepIndex> {
    let undoable = definition.steps().filter(|(_, def)| def.undoable()).map(|(index, _)| index);
    let mut owed: Vec<_> = undoable.filter(|index| *index < step || *index == step && may_stand).collect();
    owed.reverse();
    owed
}

fn code(way: Say) -> &'static str {
    match way {
        Say::No(code) => code,
        Say::Again(_) => "RETRIES_EXHAUSTED",
        Say::Perhaps | Say::Silence => "STEP_TIMEOUT",
        Say::Done | Say::Undone | Say::NothingToUndo => panic!("no failure"),
    }
}

#[test]
fn all_goes_well() {
    for definition in all() {
        let mut run = Run::start(definition);
        play(&mut run, happy);
        assert_eq!(run.status(), SagaStatus::Completed, "{}", run.definition.name());
        assert_eq!(undone(&run), []);
    }
}

#[test]
fn every_step_fails_in_every_way() {
    for definition in all() {
        for (step, def) in definition.steps().map(|(step, def)| (step, def.clone())) {
            for way in WAYS {
                let mut run = Run::start(definition.clone());
                play(
                    &mut run,
                    |command| if (command.step, command.kind) == (step, Kind::Action) { way } else { happy(command) },
                );
                let what = format!("{} of {} says {way:?}", def.name, definition.name());
                match def.class {
                    StepClass::Undoable | StepClass::Pivot => {
                        assert_eq!(run.status(), SagaStatus::Compensated, "{what}");
                        let failure = run.saga.failure.as_ref().unwrap();
                        assert_eq!((failure.step, failure.why.code.as_str()), (step, code(way)), "{what}");
                        let may_stand = !matches!(way, Say::No(_));
                        assert_eq!(undone(&run), owed(&definition, step, may_stand), "{what}");
                        assert_eq!(run.order(), OrderStatus::Cancelled);
                    }
                    StepClass::Retriable => retriable_step_fails(&mut run, step, way, &what),
                }
            }
        }
    }
}

/// Past the pivot nothing turns back by itself: the saga is stuck there, and a replay ends it.
fn retriable_step_fails(run: &mut Run, step: StepIndex, way: Say, what: &str) {
    assert_eq!(run.status(), SagaStatus::Stuck, "{what}");
    let saga_model::state::Hold::Stuck(stuck) = run.saga.hold.clone() else { panic!("{what}: stuck") };
    let cause = if matches!(way, Say::No(_)) { StuckCause::Rejected } else { StuckCause::Exhausted };
    assert_eq!((stuck.step, stuck.cause), (Some(step), cause), "{what}");
    assert_eq!(undone(run), [], "{what}");
    run.verb(replay());
    let expected = match way {
        Say::No(_) => (2, 1),
        _ => (1, run.definition.attempts(step) + 1),
    };
    assert_eq!((run.in_flight().round, run.in_flight().attempt), expected, "{what}");
    play(run, happy);
    assert_eq!(run.status(), SagaStatus::Completed, "{what}");
}

#[test]
fn every_compensation_fails_in_every_way() {
    for definition in all() {
        let undoable: Vec<StepIndex> =
            definition.steps().filter(|(_, def)| def.undoable()).map(|(index, _)| index).collect();
        let Some(last) = undoable.last().copied() else { continue };
        for step in &undoable {
            for way in WAYS {
                let mut run = Run::start(definition.clone());
                let fails = |command: CommandRef| match command.kind {
                    Kind::Action if command.step == last => Say::Silence,
                    Kind::Compensate if command.step == *step => way,
                    Kind::Action | Kind::Compensate => happy(command),
                };
                play(&mut run, fails);
                let what = format!("undo of {} of {} says {way:?}", step.0, definition.name());
                let saga_model::state::Hold::Stuck(stuck) = run.saga.hold.clone() else { panic!("{what}: stuck") };
                let refused = matches!(way, Say::No(_));
                let cause = if refused { StuckCause::UndoRefused } else { StuckCause::UndoFailed };
                assert_eq!((stuck.step, stuck.cause), (Some(*step), cause), "{what}");
                assert_eq!(run.order(), OrderStatus::Created, "{what}");
                let before = owed(&definition, last, true).into_iter().filter(|index| index >= step);
                assert_eq!(undone(&run), before.collect::<Vec<_>>(), "{what}");
                run.verb(replay());
                assert_eq!(run.in_flight().round, if refused { 2 } else { 1 }, "{what}");
                play(&mut run, happy);
                assert_eq!(run.status(), SagaStatus::Compensated, "{what}");
                assert_eq!(undone(&run), owed(&definition, last, true), "{what}");
            }
        }
    }
}

#[test]
fn every_closing_step_fails_in_every_way() {
    for definition in all() {
        let Some(closing) = definition.closing() else { continue };
        let Some((first, _)) = definition.steps().find(|(_, def)| def.undoable()) else { continue };
        for way in WAYS {
            let mut run = Run::start(definition.clone());
            play(&mut run, |command| match command.kind {
                Kind::Action if command.step == first => Say::No("NO"),
                Kind::Action if command.step == closing => way,
                Kind::Action | Kind::Compensate => happy(command),
            });
            let saga_model::state::Hold::Stuck(stuck) = run.saga.hold.clone() else { panic!("stuck") };
            assert_eq!((stuck.step, stuck.cause), (Some(closing), StuckCause::NotifyFailed));
            assert_eq!(run.order(), OrderStatus::Cancelled);
            run.verb(replay());
            play(&mut run, happy);
            assert_eq!(run.status(), SagaStatus::Compensated);
        }
    }
}
