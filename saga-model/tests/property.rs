//! Random lives of random sagas: whatever happens, in whatever order, however often, every invariant holds in
//! every state on the way.

mod support;

use proptest::prelude::*;
use saga_model::Definition;
use saga_model::advance::{Advance, Refused, advance, available_actions};
use saga_model::effect::Effect;
use saga_model::event::{Action, Actor, Event, Reply, Verb};
use saga_model::history::Row;
use saga_model::invariants;
use saga_model::json::RawJson;
use saga_model::render;
use saga_model::state::{CommandRef, Kind, Saga, WakeUp};
use support::{Run, Say, definitions};

/// One thing that happens, told without knowing the state.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// The command in flight is answered.
    Answer(Say),
    /// The timer that the state asks for goes off.
    Wake,
    /// A reply to some command that was ever sent: a duplicate, a late or a stale one.
    Again {
        which: usize,
        say: Say,
    },
    /// A reply to something that was never asked, or with a made-up token.
    Foreign {
        step: usize,
        kind: Kind,
        rounds: u32,
        attempts: u32,
        forged: bool,
    },
    /// A timer of some command that was ever sent.
    StrayTimer {
        which: usize,
        answer: bool,
    },
    Deadline,
    Jump {
        seconds: i64,
    },
    Verb(Action),
    /// `replay` with another input.
    Input,
    EngineFails,
}

fn say() -> impl Strategy<Value = Say> {
    prop_oneof![
        6 => Just(Say::Done),
        3 => Just(Say::Undone),
        1 => Just(Say::NothingToUndo),
        2 => Just(Say::No("NO")),
        3 => Just(Say::Again("BUSY")),
        2 => Just(Say::Perhaps),
        2 => Just(Say::Silence),
    ]
}

fn loud() -> impl Strategy<Value = Say> {
    say().prop_filter("silence is no reply", |say| *say != Say::Silence)
}

fn op() -> impl Strategy<Value = Op> {
    let verb = proptest::sample::select(Action::ALL.to_vec());
    let kind = prop_oneof![Just(Kind::Action), Just(Kind::Compensate)];
    prop_oneof![
        12 => say().prop_map(Op::Answer),
        8 => Just(Op::Wake),
        5 => (any::<usize>(), loud()).prop_map(|(which, say)| Op::Again { which, say }),
        1 => (any::<usize>(), kind, 0..3u32, 0..3u32, any::<bool>()).prop_map(
            |(step, kind, rounds, attempts, forged)| Op::Foreign { step, kind, rounds, attempts, forged }
        ),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(which, answer)| Op::StrayTimer { which, answer }),
        1 => Just(Op::Deadline),
        1 => (-10..200_000i64).prop_map(|seconds| Op::Jump { seconds }),
        6 => verb.prop_map(Op::Verb),
        1 => Just(Op::Input),
        1 => Just(Op::EngineFails),
    ]
}

fn definition() -> impl Strategy<Value = Definition> {
    let short = ["U", "P", "R", "Z", "UP", "PZ", "UUR", "UPR", "UPRR", "UUPZR", "RZ", "UUUPRZ", "UUUUUZ"];
    prop_oneof![
        2 => Just(definitions::order()),
        5 => proptest::sample::select(short.to_vec()).prop_map(definitions::short),
    ]
}

/// The saga, with all commands that were ever sent.
struct Life {
    run: Run,
    sent: Vec<CommandRef>,
}

impl Life {
    fn event(&mut self, op: Op) -> Option<Event> {
        let run = &self.run;
        let wake_up = run.saga.wake_up(&run.definition);
        let some = |which: usize| self.sent[which % self.sent.len()];
        Some(match op {
            Op::Answer(say) => match wake_up? {
                WakeUp::Backoff { .. } => return None,
                WakeUp::Reply { command, .. } if say == Say::Silence => Event::NoAnswer(command),
                WakeUp::Reply { command, .. } => run.reply(command, say),
            },
            Op::Wake => match wake_up? {
                WakeUp::Backoff { command, .. } => Event::BackoffOver(command),
                WakeUp::Reply { command, .. } => run.reply(command, Say::Done),
            },
            Op::Again { which, say } => run.reply(some(which), say),
            Op::Foreign { step, kind, rounds, attempts, forged } => {
                let known = run.saga.steps.len();
                let step = saga_model::definition::StepIndex((step % known) as u8);
                let command = CommandRef { step, kind, round: 1 + rounds, attempt: 1 + attempts };
                match run.reply(command, Say::Done) {
                    Event::Reply(reply) if forged => Event::Reply(Reply { token: "0".repeat(32), ..reply }),
                    event => event,
                }
            }
            Op::StrayTimer { which, answer: true } => Event::NoAnswer(some(which)),
            Op::StrayTimer { which, answer: false } => Event::BackoffOver(some(which)),
            Op::Deadline => Event::DeadlinePassed,
            Op::Jump { seconds } => {
                self.run.now = self.run.now.plus(seconds * 1_000_000);
                return None;
            }
            Op::Verb(action) => Event::Verb { verb: verb(run, action), reason: "why not".to_owned() },
            Op::Input => Event::Verb { verb: other_input(), reason: "a better one".to_owned() },
            Op::EngineFails => Event::EngineFailed { message: "disk full".to_owned() },
        })
    }

    fn happen(&mut self, op: Op) {
        let Some(event) = self.event(op) else { return };
        let before = self.run.saga.clone();
        match self.run.apply(&event) {
            Advance::Changed(made) => {
                self.sent.extend(made.effects.iter().filter_map(|effect| match effect {
                    Effect::Send(command) => Some(*command),
                    Effect::Emit { .. } | Effect::Finish(_) => None,
                }));
                check_effects(&self.run.definition, &made.saga, &made.row, &made.effects);
                check_json(&made.saga, &made.row);
                assert_eq!(made.saga.revision, before.revision + 1);
            }
            Advance::Ignored(_) | Advance::Refused(_) | Advance::DeadLetter(_) => assert_eq!(self.run.saga, before),
        }
        let broken = invariants::check(&self.run.definition, &self.run.saga, &self.run.rows);
        let tree = render::state(&self.run.definition, &self.run.saga);
        assert!(broken.is_empty(), "{}\nafter {event:?}\n{tree}", broken[0]);
        check_verbs(&self.run);
    }
}

fn other_input() -> Verb {
    Verb::Replay { from_step: None, input: Some(RawJson::from_string(r#"{ "n": 1.50 }"#.to_owned()).unwrap()) }
}

/// The verb of that name, for the step in hand.
fn verb(run: &Run, action: Action) -> Verb {
    let in_hand = run.saga.question(&run.definition).map(|question| question.step);
    let name = |step| run.definition.step(step).name.clone();
    match action {
        Action::Replay => support::replay(),
        Action::Cancel => Verb::Cancel,
        Action::Compensate => Verb::Compensate,
        Action::Pause => Verb::Pause,
        Action::Resume => Verb::Resume,
        Action::Skip => {
            Verb::Skip { step: in_hand.map_or_else(|| run.definition.blueprint().steps[0].name.clone(), name) }
        }
        Action::Resolve => Verb::Resolve,
    }
}

/// What is listed succeeds, what is not is refused.
fn check_verbs(run: &Run) {
    let available = available_actions(&run.definition, &run.saga);
    for action in Action::ALL {
        let verb = verb(run, action);
        let event = Event::Verb { verb, reason: "?".to_owned() };
        let made = advance(&run.definition, Some(&run.saga), &event, &Actor::Key("ops".to_owned()), run.now);
        match made {
            Advance::Changed(_) => assert!(available.contains(&action), "{action:?} is not in {available:?}"),
            Advance::Refused(Refused::ActionNotAllowed { action: refused, available: listed }) => {
                assert!(!available.contains(&action), "{action:?} is in {available:?}");
                assert_eq!((refused, listed), (action, available.clone()));
            }
            other => panic!("{action:?}: {other:?}"),
        }
    }
}

/// The effects are what the row says, and the command sent is the one that the state waits for.
fn check_effects(definition: &Definition, saga: &Saga, row: &Row, effects: &[Effect]) {
    let mut expected: Vec<Effect> = Vec::new();
    for event in &row.data.emit {
        expected.push(Effect::Emit { topic: event.topic.clone(), reason: event.reason.clone() });
    }
    if let Some(next) = &row.data.next {
        let step = definition.find(&next.step).unwrap();
        let command = CommandRef { step, kind: next.kind, round: next.round, attempt: next.attempt };
        assert!(saga.hold.is_none());
        assert_eq!(saga.wake_up(definition), Some(WakeUp::Reply { command, sent_at: row.at }));
        expected.push(Effect::Send(command));
    }
    expected.extend(row.data.ended.map(Effect::Finish));
    assert_eq!(effects, expected);
}

/// Written as JSON and read back it is the same, inputs and outputs to the letter.
fn check_json(saga: &Saga, row: &Row) {
    let text = serde_json::to_string(saga).unwrap();
    assert_eq!(&serde_json::from_str::<Saga>(&text).unwrap(), saga, "{text}");
    let text = serde_json::to_string(row).unwrap();
    assert_eq!(&serde_json::from_str::<Row>(&text).unwrap(), row, "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(2_000), max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn every_life_keeps_every_invariant(definition in definition(), ops in prop::collection::vec(op(), 1..60)) {
        let run = Run::start(definition);
        let sent = vec![run.in_flight()];
        let mut life = Life { run, sent };
        for op in ops {
            life.happen(op);
        }
    }

    /// Whatever happened, once workers answer and an operator lets it go on, it ends.
    #[test]
    fn every_life_can_end(definition in definition(), ops in prop::collection::vec(op(), 1..40)) {
        let run = Run::start(definition);
        let sent = vec![run.in_flight()];
        let mut life = Life { run, sent };
        for op in ops {
            life.happen(op);
        }
        let mut run = life.run;
        for _ in 0..3 {
            let available = available_actions(&run.definition, &run.saga);
            if available.contains(&Action::Resume) {
                run.verb(Verb::Resume);
            }
            if available.contains(&Action::Resolve) {
                run.verb(support::replay());
            }
            run.play(|_, command| Some(match command.kind {
                Kind::Action => Say::Done,
                Kind::Compensate => Say::Undone,
            }));
        }
        prop_assert!(run.saga.phase.is_final(), "{}", render::state(&run.definition, &run.saga));
        prop_assert_eq!(invariants::check(&run.definition, &run.saga, &run.rows), vec![]);
    }
}
