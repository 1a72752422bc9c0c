//! The steps of a trace, for people.

use saga_model::definition::StepIndex;
use saga_model::history::Row;
use saga_model::state::{Hold, Kind, Outcome, SagaStatus};

use super::book::{Edge, Page};
use super::stimulus::Stimulus;
use super::worker::{Answer, Command, Ledger, Move};
use super::world::{Action, State, World};

pub fn line(world: &World, from: &State, action: Action) -> String {
    let name = |step: u8| world.book.definition.step(StepIndex(step)).name.as_str();
    match action {
        Action::Arrives { step, command } => {
            let worker = from.workers[usize::from(step)];
            let becomes = match worker.take(command, world.trouble.twin) {
                Some((_, Some(answer))) => format!("answers {}", said(answer)),
                Some((_, None)) => "begins".to_owned(),
                None => "waits".to_owned(),
            };
            format!("worker {}: {} arrives, it {becomes}", name(step), asked(command))
        }
        Action::Worker { step, does } => {
            let undoing = matches!(from.workers[usize::from(step)].ledger, Ledger::Undoing { .. });
            let what = match (does, undoing) {
                (Move::Effect, false) => "the effect happens".to_owned(),
                (Move::Effect, true) => "the effect is undone".to_owned(),
                (Move::Succeed, _) => "records and answers SUCCEEDED".to_owned(),
                (Move::Refuse, _) => "answers REJECTED".to_owned(),
                (Move::Retryable, _) => "answers RETRYABLE".to_owned(),
                (Move::Unknown, _) => "answers UNKNOWN".to_owned(),
                (Move::Die, _) => "falls silent, its lease ends".to_owned(),
                (Move::WakeUp { round }, _) => {
                    format!("one that fell silent wakes up: the effect of round {round} happens")
                }
            };
            format!("worker {}: {what}", name(step))
        }
        Action::Saga(stimulus) => {
            let what = match stimulus {
                Stimulus::Reply { step, answer } => {
                    format!("the answer {} of {} to {} is read", said(answer), name(step), asked(answer.to))
                }
                Stimulus::NoAnswer => "the answer is overdue".to_owned(),
                Stimulus::BackoffOver => "the backoff is over".to_owned(),
                Stimulus::Deadline => "the deadline passes".to_owned(),
                Stimulus::Verb(ask) => format!("an operator asks for {ask:?}"),
                Stimulus::EngineFails => "the engine fails".to_owned(),
            };
            let page = world.book.page(from.page);
            let follows = match world.book.turn(&page, stimulus) {
                Edge::To(next) => follows(world, &page, &world.book.page(next)),
                Edge::Stays => "nothing changes".to_owned(),
                Edge::Broken(_) => "and a rule is broken".to_owned(),
            };
            format!("saga: {what} -> {follows}")
        }
    }
}

fn asked(command: Command) -> String {
    let kind = match command.kind {
        Kind::Action => "ACTION",
        Kind::Compensate => "COMPENSATE",
    };
    match command.round {
        1 => format!("{kind} {}", command.attempt),
        round => format!("{kind} {} of round {round}", command.attempt),
    }
}

fn said(answer: Answer) -> &'static str {
    match (answer.outcome, answer.to.kind, answer.undone) {
        (Outcome::Succeeded, Kind::Action, _) => "SUCCEEDED",
        (Outcome::Succeeded, Kind::Compensate, true) => "SUCCEEDED (undone)",
        (Outcome::Succeeded, Kind::Compensate, false) => "SUCCEEDED (there was nothing)",
        (Outcome::Rejected, _, _) => "REJECTED",
        (Outcome::Retryable, _, _) => "RETRYABLE",
        (Outcome::Unknown, _, _) => "UNKNOWN",
    }
}

/// What the saga writes, says, asks and becomes.
fn follows(world: &World, before: &Page, after: &Page) -> String {
    // The page may have been reached by another way first, with other rows: what is told is read off the sagas.
    let mut parts: Vec<String> = Vec::new();
    let status = after.saga.status();
    let was = before.saga.status();
    if status != was || status == SagaStatus::Stuck {
        let cause = match &after.saga.hold {
            Hold::Stuck(stuck) => format!("({:?})", stuck.cause),
            Hold::None | Hold::Paused { .. } => String::new(),
        };
        parts.push(format!("it is {}{cause}", format!("{status:?}").to_uppercase()));
    }
    for sent in after.sent.iter().filter(|sent| !before.sent.contains(sent)) {
        let name = &world.book.definition.step(sent.step).name;
        parts.push(format!("sends {} to {name}", asked(super::world::command(*sent))));
    }
    if parts.is_empty() {
        parts.push(after.rows().last().map_or_else(String::new, |row: &Row| format!("{:?}", row.kind)));
    }
    parts.join(", ")
}
