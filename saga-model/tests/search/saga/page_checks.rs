//! What is asked of every saga that is reached, whatever its workers do: which verbs it allows, that timers which are
//! not armed change nothing, and that a reply counts once.

use saga_model::advance::{Advance, Ignored, Refused, advance, available_actions};
use saga_model::event::{Action, Actor, Event, Verb};
use saga_model::history::{Row, RowKind};
use saga_model::state::{CommandRef, Deadline, OrderStatus, Outcome, Phase, Saga, StepStatus, WakeUp};
use saga_model::{Definition, Micros};

use super::book::Page;
use super::channel::ATTEMPTS;
use super::live::Replies;
use super::plain::plain;
use super::stimulus::{Ask, Stimulus, asked, event_of};
use super::twin::{Twin, machine};
use super::worker::{Answer, Command, ROUNDS};

/// The timers that are armed.
pub fn armed(definition: &Definition, saga: &Saga) -> Vec<Stimulus> {
    if saga.at_rest() {
        return Vec::new();
    }
    let wake_up = saga.wake_up(definition).map(|wake_up| match wake_up {
        WakeUp::Reply { .. } => Stimulus::NoAnswer,
        WakeUp::Backoff { .. } => Stimulus::BackoffOver,
    });
    let deadline = match saga.deadline {
        Deadline::At(_) => Some(Stimulus::Deadline),
        Deadline::Held { .. } | Deadline::None => None,
    };
    wake_up.into_iter().chain(deadline).collect()
}

/// Timers that are not armed change nothing: those of other commands, and a deadline that stands still or is none.
pub fn spurious_timers(definition: &Definition, saga: &Saga, sent: &[CommandRef], now: Micros) -> Result<(), String> {
    let armed = armed(definition, saga);
    let mut events = Vec::new();
    for command in sent {
        let current = saga.command(definition) == Some(*command);
        if !(current && armed.contains(&Stimulus::NoAnswer)) {
            events.push(Event::NoAnswer(*command));
        }
        if !(current && armed.contains(&Stimulus::BackoffOver)) {
            events.push(Event::BackoffOver(*command));
        }
    }
    let end_of_time = Micros(i64::MAX / 2);
    let at = if armed.contains(&Stimulus::Deadline) { now } else { end_of_time };
    let late = advance(definition, Some(saga), &Event::DeadlinePassed, &Actor::Timer, at);
    let mut all = events
        .into_iter()
        .map(|event| (advance(definition, Some(saga), &event, &Actor::Timer, now), format!("{event:?}")))
        .chain([(late, "DeadlinePassed".to_owned())]);
    match all.find(|(made, _)| *made != Advance::Ignored(Ignored::SpuriousTimer)) {
        Some((made, event)) => Err(format!("a timer that is not armed, {event}, is not ignored: {made:?}")),
        None => Ok(()),
    }
}

/// The verbs that are possible. Those that are listed are accepted, all others refused, for the right reason.
pub fn verbs(definition: &Definition, saga: &Saga, now: Micros) -> Result<Vec<Stimulus>, String> {
    let available = available_actions(definition, saga);
    let apply = |verb: &Verb| advance(definition, Some(saga), &asked(verb.clone()), &Actor::Key("ops".to_owned()), now);
    let not_allowed = |action| Refused::ActionNotAllowed { action, available: available.clone() };
    let in_hand = saga.question(definition).map(|question| question.step);
    let mut possible = Vec::new();
    for ask in Ask::ALL {
        let verb = ask.verb(definition, saga);
        let listed = available.contains(&verb.action());
        match apply(&verb) {
            Advance::Changed(_) if listed => possible.push(Stimulus::Verb(ask)),
            Advance::Refused(why) if !listed && why == not_allowed(verb.action()) => {}
            Advance::Refused(Refused::EffectMayStand) if listed && ask == Ask::ReplayWithInput => {}
            // All is undone, and nothing is in hand.
            Advance::Refused(Refused::StepNotReplayable { .. }) if ask == Ask::ReplayFromHand && in_hand.is_none() => {}
            other => return Err(format!("{verb:?} where {available:?} are possible: {other:?}")),
        }
    }
    let other = definition.steps().find(|(step, _)| Some(*step) != in_hand).map(|(_, def)| def.name.clone());
    let mut refusals =
        vec![(Verb::Skip { step: "nothing".to_owned() }, Refused::UnknownStep { step: "nothing".to_owned() })];
    if let Some(step) = other {
        refusals.push((Verb::Skip { step: step.clone() }, not_allowed(Action::Skip)));
        let why = match available.contains(&Action::Replay) {
            true => Refused::StepNotReplayable { step: step.clone() },
            false => not_allowed(Action::Replay),
        };
        refusals.push((Verb::Replay { from_step: Some(step), input: None }, why));
    }
    match refusals.into_iter().find(|(verb, why)| apply(verb) != Advance::Refused(why.clone())) {
        Some((verb, why)) => Err(format!("{verb:?} is not refused with {why:?}: {:?}", apply(&verb))),
        None => Ok(possible),
    }
}

/// An answer counts the same whichever attempt it names, and a reply that comes again changes nothing more than the
/// record of a late one.
pub fn reply(
    definition: &Definition,
    twin: Option<Twin>,
    before: &Saga,
    after: &Saga,
    (step, answer): (u8, Answer),
    now: Micros,
) -> Result<(), String> {
    let apply = |saga: &Saga, answer: Answer| {
        let event = event_of(definition, saga, Stimulus::Reply { step, answer });
        machine(definition, twin, Some(saga), &event, &Actor::Worker, now)
    };
    match answer.outcome {
        Outcome::Succeeded | Outcome::Rejected => {
            let Command { kind, round, .. } = answer.to;
            let course = before.steps.get(usize::from(step)).and_then(|step| match kind {
                saga_model::state::Kind::Action => Some(&step.action),
                saga_model::state::Kind::Compensate => step.undo.as_ref().map(|undo| &undo.course),
            });
            let last = course.and_then(|course| course.sent(u32::from(round))).map_or(1, |sent| sent.attempts);
            let latest = Answer { to: Command { attempt: last as u8, ..answer.to }, ..answer };
            match apply(before, latest) {
                Ok((saga, _)) if plain(definition, &saga) == plain(definition, after) => {}
                other => return Err(format!("of attempt {last}, the answer counts otherwise: {other:?}")),
            }
        }
        Outcome::Retryable | Outcome::Unknown => {}
    }
    match apply(after, answer) {
        Err(Advance::Ignored(_)) => Ok(()),
        Ok((saga, rows)) if essence(&saga) == essence(after) && only_noted(&rows) => Ok(()),
        other => Err(format!("the same reply again is not ignored: {other:?}")),
    }
}

/// All of a saga but the record of late replies.
fn essence(saga: &Saga) -> Saga {
    Saga { revision: 0, ignored: Vec::new(), ..saga.clone() }
}

fn only_noted(rows: &[Row]) -> bool {
    rows.iter().all(|row| row.kind == RowKind::ReplyIgnored)
}

/// The order is cancelled in the very transition after which a saga that turns back owes nothing, held or not.
pub fn cancelled_in_time(definition: &Definition, saga: &Saga) -> Result<(), String> {
    let owed = definition.steps().filter(|(_, def)| def.undoable()).any(|(step, _)| {
        let state = saga.step(step);
        match &state.undo {
            Some(undo) => undo.is_open(),
            None if saga.phase != Phase::Forward => false,
            None => match state.status {
                StepStatus::Succeeded | StepStatus::Running | StepStatus::Unknown => true,
                StepStatus::Rejected => state.unanswered,
                StepStatus::Pending | StepStatus::Skipped => false,
            },
        }
    });
    let turns_back = saga.failure.is_some() && saga.phase != Phase::Resolved;
    let cancelled = saga.order == OrderStatus::Cancelled;
    match (turns_back && !owed, cancelled) {
        (true, false) => Err("it turns back and owes nothing, and its order is not cancelled".to_owned()),
        (false, true) if saga.phase != Phase::Resolved => {
            Err("the order is cancelled, and something is owed".to_owned())
        }
        (true | false, _) => Ok(()),
    }
}

/// Replies that are dead change nothing but the record of late ones.
pub fn dead_replies(definition: &Definition, saga: &Saga, replies: &Replies, now: Micros) -> Result<(), String> {
    for (step, answer) in replies.dead.iter().copied() {
        let event = event_of(definition, saga, Stimulus::Reply { step, answer });
        match advance(definition, Some(saga), &event, &Actor::Worker, now) {
            Advance::Ignored(_) => {}
            Advance::Changed(made)
                if essence(&made.saga) == essence(saga) && only_noted(std::slice::from_ref(&made.row)) => {}
            other => return Err(format!("{answer:?} of step {step} should change nothing: {other:?}")),
        }
    }
    Ok(())
}

/// What is dead before a transition is dead after it.
pub fn dead_stay_dead(before: &Replies, after: &Replies) -> Result<(), String> {
    match before.dead.iter().find(|(step, answer)| after.is_live(*step, *answer)) {
        Some((step, answer)) => Err(format!("{answer:?} of step {step} should never matter again, and does")),
        None => Ok(()),
    }
}

/// Two sagas that are taken for one are asked the same, and must become the same.
pub fn alike(
    definition: &Definition,
    twin: Option<Twin>,
    page: &Page,
    other: &Saga,
    now: Micros,
) -> Result<(), String> {
    let possible = |saga| available_actions(definition, saga);
    if possible(&page.saga) != possible(other) {
        return Err(format!("taken for one, but {:?} and {:?} are possible", possible(&page.saga), possible(other)));
    }
    let replies = page.replies.live.iter().map(|(step, answer)| Stimulus::Reply { step: *step, answer: *answer });
    let all = page.timers.iter().chain(&page.verbs).copied().chain([Stimulus::EngineFails]).chain(replies);
    for stimulus in all {
        let turned = |saga: &Saga| {
            let now = match (stimulus, saga.deadline) {
                (Stimulus::Deadline, Deadline::At(at)) => at,
                (_, Deadline::At(_) | Deadline::Held { .. } | Deadline::None) => now,
            };
            let event = event_of(definition, saga, stimulus);
            let made = machine(definition, twin, Some(saga), &event, &Actor::Worker, now);
            made.map(|(saga, rows)| {
                let topics: Vec<String> = rows.into_iter().flat_map(|row| row.data.emit).map(|e| e.topic).collect();
                (plain(definition, &saga), topics)
            })
        };
        let (one, two) = (turned(&page.saga), turned(other));
        if one != two {
            return Err(format!("taken for one, but {stimulus:?} makes\n{one:?}\nof one and\n{two:?}\nof the other"));
        }
    }
    Ok(())
}

/// Rounds and attempts fit what the model has room for.
pub fn room(saga: &Saga) -> Result<(), String> {
    let courses = saga.steps.iter().flat_map(|step| [Some(&step.action), step.undo.as_ref().map(|undo| &undo.course)]);
    for course in courses.flatten() {
        if course.round as usize > ROUNDS || course.attempts as usize > ATTEMPTS {
            return Err(format!("the model has no room for attempt {} of round {}", course.attempts, course.round));
        }
    }
    Ok(())
}
