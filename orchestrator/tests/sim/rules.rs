//! What must hold of the whole: while it runs, at rest, and after that.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures::FutureExt;
use orchestrator::store::Store;
use orchestrator::store::rows::{DeadLetterFilter, RequestStatus};
use saga_model::SagaId;
use saga_model::ids::ShardId;
use saga_model::state::{Hold, Phase, Saga, StepStatus};

use super::callers::{Told, own_product};
use super::ground::short;
use super::oracle::Log;
use super::shelf::ON_HAND;
use super::world::World;

fn object(world: &World<'_>, rule: &str, what: impl Into<String>) {
    world.ground.oracle().object(rule, what);
}

/// The memory of whoever owns a shard is what is stored, and it has the timers that its sagas ask for.
pub fn memory(world: &World<'_>) {
    let marks = world.disk.memory.marks();
    let open = world.disk.has_open();
    if let Some(saga) = world.disk.memory.lost() {
        object(world, "LiveSagasAreFound", format!("a takeover would not load {}", short(saga)));
    }
    for instance in world.instances.iter().filter(|instance| !instance.life.is_over()) {
        let Some(turns) = instance.turns.idle() else { continue };
        if let Some(saga) = turns.wrongly_armed() {
            object(world, "TimersFitTheState", format!("{} has other timers for {}", instance.life, short(saga)));
        }
        for known in turns.remembered() {
            let current = marks.iter().any(|mark| mark.shard == known.shard && mark.epoch == known.epoch);
            let stored = world.ground.oracle().sagas.get(&known.saga).map(|log| log.record.saga.revision);
            if current && stored != Some(known.revision) && !open {
                let what = format!(
                    "{} has saga {} at {}, stored is {stored:?}",
                    instance.life,
                    short(known.saga),
                    known.revision
                );
                object(world, "MemoryIsStored", what);
            }
        }
    }
}

/// What has not come to rest.
pub enum Unrest {
    Caller,
    Saga(SagaId, Arc<Saga>),
    Worker,
    Unsent { shard: ShardId, sent: u64, rows: u64 },
    Unread { shard: ShardId, read: i64, replies: i64 },
    Operator,
}

impl fmt::Display for Unrest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unrest::Caller => f.write_str("somebody waits for an answer"),
            Unrest::Saga(id, saga) => write!(f, "saga {} is {:?}: {:?}", short(*id), saga.phase, saga.steps),
            Unrest::Worker => f.write_str("a worker has work"),
            Unrest::Unsent { shard, sent, rows } => write!(f, "shard {shard}: sent to {sent} of {rows}"),
            Unrest::Unread { shard, read, replies } => write!(f, "shard {shard}: replies read to {read} of {replies}"),
            Unrest::Operator => f.write_str("an operator has no answer"),
        }
    }
}

/// Something that has not come to rest.
pub fn unrest(world: &World<'_>) -> Option<Unrest> {
    if world.callers.are_waiting() {
        return Some(Unrest::Caller);
    }
    if let Some((saga, log)) = world.ground.oracle().sagas.iter().find(|(_, log)| !log.record.saga.at_rest()) {
        return Some(Unrest::Saga(*saga, Arc::clone(&log.record.saga)));
    }
    if world.workers.iter().any(|worker| worker.has_work(&world.ground) || worker.has_frozen()) {
        return Some(Unrest::Worker);
    }
    let net = world.ground.net();
    for mark in world.disk.memory.marks() {
        if mark.published < mark.last_seq {
            return Some(Unrest::Unsent { shard: mark.shard, sent: mark.published, rows: mark.last_seq });
        }
        let end = net.reply_end(mark.shard);
        if mark.reply_offset < end {
            return Some(Unrest::Unread { shard: mark.shard, read: mark.reply_offset, replies: end });
        }
    }
    drop(net);
    let pending = world.operators.asked.iter().any(|demand| status(world, demand.id).is_none() && !demand.withdrawn);
    pending.then_some(Unrest::Operator)
}

fn status(world: &World<'_>, id: uuid::Uuid) -> Option<RequestStatus> {
    let answers = world.disk.memory.answers(&[id]).now_or_never()?.ok()?;
    answers.first().map(|answer| answer.status)
}

/// What holds at any moment of what workers have done.
pub fn effects(world: &World<'_>) {
    for level in world.shop.shelf.all() {
        if level.available() < 0 || level.reserved < 0 || level.sold < 0 || level.on_hand != ON_HAND {
            object(world, "StockBalances", format!("{level:?}"));
        }
    }
    let sagas: Vec<SagaId> = world.ground.oracle().sagas.keys().copied().collect();
    for saga in sagas {
        let captures = world.shop.bank.captures(saga);
        if captures > 1 {
            object(world, "ChargedOnce", format!("saga {} is charged {captures} times", short(saga)));
        }
        let compensated =
            world.ground.oracle().sagas.get(&saga).is_some_and(|log| log.record.saga.phase == Phase::Compensated);
        if compensated {
            nothing_stands(world, saga, captures);
        }
    }
}

/// The wish that a saga is for.
fn wish_of(world: &World<'_>, saga: SagaId) -> Option<usize> {
    let oracle = world.ground.oracle();
    let tag = oracle.sagas.get(&saga)?.record.origin.business_key.clone()?;
    world.callers.asked.iter().find(|asked| asked.tag == tag).map(|asked| asked.wish)
}

/// How many sagas are for a wish.
fn sagas_for(world: &World<'_>, wish: usize) -> usize {
    let tags: Vec<&str> =
        world.callers.asked.iter().filter(|asked| asked.wish == wish).map(|asked| asked.tag.as_str()).collect();
    let oracle = world.ground.oracle();
    let of_wish = |log: &&Log| log.record.origin.business_key.as_deref().is_some_and(|tag| tags.contains(&tag));
    oracle.sagas.values().filter(of_wish).count()
}

fn units(world: &World<'_>, wish: usize) -> (i64, i64) {
    let all = world.shop.shelf.all();
    let level = all.iter().find(|level| level.sku == own_product(wish));
    level.map_or((0, 0), |level| (level.reserved, level.sold))
}

fn nothing_stands(world: &World<'_>, saga: SagaId, captures: u32) {
    if captures > 0 {
        object(world, "CompensatedMeansNothingStands", format!("saga {} is charged", short(saga)));
    }
    let Some(wish) = wish_of(world, saga) else { return };
    let (reserved, sold) = units(world, wish);
    if sagas_for(world, wish) == 1 && (reserved, sold) != (0, 0) {
        let what = format!("saga {}: {reserved} units are reserved, {sold} sold", short(saga));
        object(world, "CompensatedMeansNothingStands", what);
    }
}

/// What holds once all has come to rest.
pub fn at_rest(world: &World<'_>) {
    sagas(world);
    requests(world);
    callers(world);
    letters(world);
    effects(world);
}

fn sagas(world: &World<'_>) {
    let ended: BTreeMap<SagaId, (Phase, bool)> = {
        let oracle = world.ground.oracle();
        let state = |log: &Log| {
            let notified = log.record.saga.steps.last().is_some_and(|step| step.status == StepStatus::Succeeded);
            (log.record.saga.phase, notified)
        };
        oracle.sagas.iter().map(|(saga, log)| (*saga, state(log))).collect()
    };
    for (saga, (phase, notified)) in ended {
        untold(world, saga);
        let confirmed = match phase {
            Phase::Completed => true,
            Phase::Compensated => false,
            Phase::Resolved | Phase::Forward | Phase::Unwinding | Phase::Closing => continue,
        };
        let captures = world.shop.bank.captures(saga);
        if captures != u32::from(confirmed) {
            object(world, "MoneyBalances", format!("saga {} is {phase:?} with {captures} captures", short(saga)));
        }
        if let Some(wish) = wish_of(world, saga)
            && sagas_for(world, wish) == 1
            && units(world, wish) != (0, i64::from(confirmed))
        {
            object(world, "StockBalances", format!("saga {} is {phase:?}: {:?}", short(saga), units(world, wish)));
        }
        let said = world.shop.said.of(saga);
        let right = if confirmed { "CONFIRMED" } else { "CANCELLED" };
        if notified && said.last().map(String::as_str) != Some(right) {
            object(world, "CustomersKnow", format!("saga {} is {phase:?}, the customer heard {said:?}", short(saga)));
        }
    }
}

/// All events of a saga stand in their topics, and one that is held says why.
fn untold(world: &World<'_>, saga: SagaId) {
    let mut oracle = world.ground.oracle();
    let Some(log) = oracle.sagas.get(&saga) else { return };
    if let Some((seq, event)) = log.events.get(log.told) {
        let what = format!("{} of saga {} row {seq} was never sent", event.topic, short(saga));
        oracle.object("EventsAreComplete", what);
        return;
    }
    if let Hold::Stuck(stuck) = &log.record.saga.hold
        && stuck.message.is_empty()
    {
        oracle.object("StuckSaysWhy", format!("saga {}", short(saga)));
    }
}

/// An operator who was told that it is done finds it done once, and who was told otherwise finds nothing.
fn requests(world: &World<'_>) {
    for demand in &world.operators.asked {
        let done = {
            let oracle = world.ground.oracle();
            let rows = oracle.sagas.get(&demand.saga).map(|log| log.rows.as_slice()).unwrap_or_default();
            rows.iter().filter(|row| row.data.reason.as_deref() == Some(&demand.reason)).count()
        };
        let told = status(world, demand.id);
        let right = match told {
            Some(RequestStatus::Done) => 1,
            _ => 0,
        };
        if done != right || (demand.withdrawn && done > 0) {
            let what = format!("{}: {told:?}, withdrawn {}, done {done} times", demand.reason, demand.withdrawn);
            object(world, "AnswersAreTrue", what);
        }
    }
}

/// A caller who was told that a saga stands finds it, and who was told that none does finds none.
fn callers(world: &World<'_>) {
    for asked in &world.callers.asked {
        let found: Vec<SagaId> = {
            let oracle = world.ground.oracle();
            let tagged = oracle.sagas.iter();
            let tagged = tagged.filter(|(_, log)| log.record.origin.business_key.as_deref() == Some(&asked.tag));
            tagged.map(|(saga, _)| *saga).collect()
        };
        let right = match asked.told {
            Told::Started(saga) => found == [saga],
            Told::No => found.is_empty(),
            Told::Nothing => found.len() <= 1,
        };
        if !right {
            let found: Vec<String> = found.iter().map(short).collect();
            object(world, "OneKeyOneSaga", format!("{}: told {:?}, found {found:?}", asked.tag, asked.told));
        }
    }
}

/// Every reply that no saga can take is a dead letter, in the list and in the topic.
fn letters(world: &World<'_>) {
    let filter = DeadLetterFilter { limit: u64::MAX, ..DeadLetterFilter::default() };
    let Some(Ok(letters)) = world.disk.memory.dead_letters(&filter).now_or_never() else { return };
    let garbage = world.ground.net().garbage.clone();
    for (shard, offset) in garbage {
        let known = |letter: &&_| {
            let letter: &orchestrator::store::rows::DeadLetter = letter;
            letter.partition == i32::from(shard.0) && letter.offset == offset
        };
        if !letters.items.iter().any(|letter| known(&letter)) {
            object(world, "GarbageIsKept", format!("reply {offset} of shard {shard} is no dead letter"));
        }
        if !world.ground.net().letters.contains(&(shard, offset)) {
            object(world, "GarbageIsTold", format!("reply {offset} of shard {shard} is not in the topic"));
        }
    }
}
