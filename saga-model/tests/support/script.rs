//! What happens to a saga and what became of it, as words, so that a table reads like the page that it checks.
//!
//! Events: a worker's `done`, `undone`, `none` (nothing to undo), `no`, `again`, `perhaps` to the command in flight;
//! the same after a command for any other (`p1 ACTION 1 1: done`); `silence`, `retry` (the backoff ends), `deadline`;
//! the verbs, with `replay from p1`, `replay with input`, `skip r2`; `engine` (it failed).

use saga_model::advance::{Advance, Refused};
use saga_model::event::{Event, Reply, Verb};
use saga_model::json::RawJson;
use saga_model::state::{CommandRef, Course, Deadline, Flight, Hold, Kind, Saga, WakeUp};

use super::{Run, Say, replay, short, skip};

/// Does what `words` say, separated by `;`, and gives the last answer.
pub fn perform(run: &mut Run, words: &str) -> Option<Advance> {
    words.split(';').map(str::trim).filter(|word| !word.is_empty()).map(|word| one(run, word)).last()
}

fn one(run: &mut Run, word: &str) -> Advance {
    let verb = |verb| Event::Verb { verb, reason: "a reason".to_owned() };
    let replay_with = |from: Option<&str>, input: Option<&str>| {
        let input = input.map(|text| RawJson::from_string(text.to_owned()).unwrap());
        verb(Verb::Replay { from_step: from.map(str::to_owned), input })
    };
    let wake_up = run.saga.wake_up(&run.definition);
    let event = match word {
        "silence" => match wake_up {
            Some(WakeUp::Reply { command, .. }) => Event::NoAnswer(command),
            Some(WakeUp::Backoff { command, .. }) => Event::NoAnswer(command),
            None => Event::NoAnswer(run.saga.command(&run.definition).unwrap_or(FIRST)),
        },
        "retry" => Event::BackoffOver(run.saga.command(&run.definition).unwrap_or(FIRST)),
        "deadline" => {
            if let Deadline::At(at) = run.saga.deadline {
                run.now = run.now.max(at);
            }
            Event::DeadlinePassed
        }
        "too early a deadline" => Event::DeadlinePassed,
        "engine" => Event::EngineFailed { message: "the disk is full".to_owned() },
        "cancel" => verb(Verb::Cancel),
        "compensate" => verb(Verb::Compensate),
        "pause" => verb(Verb::Pause),
        "resume" => verb(Verb::Resume),
        "resolve" => verb(Verb::Resolve),
        "replay" => verb(replay()),
        "replay with input" => replay_with(None, Some(r#"{"other":1}"#)),
        word => match (word.split_once(": "), word.strip_prefix("replay from "), word.strip_prefix("skip ")) {
            (Some((command, said)), _, _) => reply(run, command, said),
            (_, Some(from), _) => replay_with(Some(from), None),
            (_, _, Some(step)) => verb(skip(step)),
            (None, None, None) => run.reply(run.in_flight(), say(word)),
        },
    };
    run.apply(&event)
}

const FIRST: CommandRef =
    CommandRef { step: saga_model::definition::StepIndex(0), kind: Kind::Action, round: 1, attempt: 1 };

fn say(word: &str) -> Say {
    match word {
        "done" => Say::Done,
        "undone" => Say::Undone,
        "none" => Say::NothingToUndo,
        "no" => Say::No("NO"),
        "again" => Say::Again("BUSY"),
        "perhaps" => Say::Perhaps,
        other => panic!("no such word: {other}"),
    }
}

fn reply(run: &Run, command: &str, said: &str) -> Event {
    let words: Vec<&str> = command.split(' ').collect();
    let [step, kind, round, attempt] = words[..] else { panic!("a command is step, kind, round, attempt: {command}") };
    let kind = match kind {
        "ACTION" => Kind::Action,
        "COMPENSATE" => Kind::Compensate,
        other => panic!("no such kind: {other}"),
    };
    let command = run.command(step, kind, round.parse().unwrap(), attempt.parse().unwrap());
    match said.strip_suffix(", forged") {
        None => run.reply(command, say(said)),
        Some(said) => match run.reply(command, say(said)) {
            Event::Reply(reply) => Event::Reply(Reply { token: "f".repeat(32), ..reply }),
            other => other,
        },
    }
}

/// What an event became of, and how the saga is now.
pub fn summary(run: &Run, advance: &Advance) -> String {
    let became = match advance {
        Advance::Changed(made) => {
            let row = &made.row;
            let mut parts = vec![short(row.kind).to_owned()];
            if row.data.healed {
                parts.push("healed".to_owned());
            }
            parts.extend(row.data.failure.as_ref().map(|failure| format!("failure {}", failure.code)));
            parts.extend(row.data.waived.iter().map(|step| format!("waived {step}")));
            parts.extend(row.data.emit.iter().map(|event| format!("emit {}", event.topic)));
            parts.extend(row.data.retry_at.map(|_| "backoff".to_owned()));
            parts.extend(row.data.next.as_ref().map(|next| {
                let command = run.command(&next.step, next.kind, next.round, next.attempt);
                format!("send {}", run.named(command))
            }));
            parts.join(", ")
        }
        Advance::Ignored(why) => format!("ignored {why:?}"),
        Advance::Refused(Refused::ActionNotAllowed { .. }) => "refused".to_owned(),
        Advance::Refused(why) => format!("refused {why:?}"),
        Advance::DeadLetter(why) => format!("dead letter {why:?}"),
    };
    format!("{became} => {}", state(run, &run.saga))
}

/// How a saga is, in a line.
pub fn state(run: &Run, saga: &Saga) -> String {
    let cause = match &saga.hold {
        Hold::Stuck(stuck) => format!("({})", word(&stuck.cause)),
        Hold::None | Hold::Paused { .. } => String::new(),
    };
    let steps = run.definition.steps().map(|(index, def)| {
        let step = saga.step(index);
        let undo = step.undo.as_ref().map_or_else(String::new, |undo| format!("/{}", word(&undo.status)));
        format!("{} {}{undo}", def.name, word(&step.status))
    });
    let steps: Vec<String> = steps.collect();
    format!("{:?} {}{cause} {}: {}", saga.phase, word(&saga.status()), word(&saga.order), steps.join(", "))
}

fn word(value: &impl serde::Serialize) -> String {
    serde_json::to_value(value).unwrap().as_str().unwrap().to_owned()
}

/// How far each course of a saga is, in a line.
pub fn steps(run: &Run) -> String {
    let course = |course: &Course| {
        let flight = match course.flight {
            Flight::None => "",
            Flight::Sent { .. } => " Sent",
            Flight::Backoff { until: Some(_) } => " Backoff",
            Flight::Backoff { until: None } => " Backoff without end",
        };
        format!("{flight} {}.{} ({} of the budget)", course.round, course.attempts, course.budget_used)
    };
    let steps = run.definition.steps().map(|(index, def)| {
        let step = run.saga.step(index);
        let unanswered = if step.unanswered { ", unanswered" } else { "" };
        let undo = step.undo.as_ref().map(|undo| {
            let undone = undo.undone.map_or_else(String::new, |undone| format!(", undone {undone}"));
            format!(", undo {}{}{undone}", word(&undo.status), course(&undo.course))
        });
        let undo = undo.unwrap_or_default();
        format!("{} {}{}{unanswered}{undo}", def.name, word(&step.status), course(&step.action))
    });
    steps.collect::<Vec<_>>().join("; ")
}
