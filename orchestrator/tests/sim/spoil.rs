//! What deliberate bugs make of a batch, and how the story tells of one.

use std::sync::Arc;

use orchestrator::store::memory::MemoryStore;
use orchestrator::store::rows::{Batch, HistoryRow, SagaWrite};
use saga_model::history::RowKind;
use saga_model::state::{Kind, Saga};

use super::bugs::Bug;
use super::ground::{Ground, short};
use super::life::Life;

/// The batch as a bug stores it; none if the bug leaves this one alone.
pub fn batch(bug: Bug, ground: &Ground, batch: &Batch) -> Option<Batch> {
    let mut spoilt = batch.clone();
    match bug {
        Bug::KeyNotStored => spoilt.keys.clear(),
        Bug::AnswerNotStored => spoilt.answers.clear(),
        Bug::DeadLetterNotStored => spoilt.dead_letters.clear(),
        Bug::SecondSagaNotStored => {
            spoilt.inserts.truncate(1);
        }
        Bug::StateNotStored => {
            let kept = spoilt.updates.len().saturating_sub(1);
            spoilt.updates.truncate(kept);
        }
        Bug::EventsNotStored => {
            let emitting = |row: &&mut HistoryRow| row.row.seq > 1 && !row.row.data.emit.is_empty();
            Arc::make_mut(&mut spoilt.history.iter_mut().find(emitting)?.row).data.emit.clear();
        }
        Bug::AttemptNotCounted => {
            let retried = |row: &&HistoryRow| row.row.kind == RowKind::AttemptStarted;
            let saga = batch.history.iter().find(retried)?.saga;
            let write = spoilt.updates.iter_mut().find(|write| write.record.saga.id == saga)?;
            change(write, |saga| {
                for step in &mut saga.steps {
                    step.action.budget_used = step.action.budget_used.min(1);
                    step.undo.iter_mut().for_each(|undo| undo.course.budget_used = undo.course.budget_used.min(1));
                }
            });
        }
        Bug::UndoOrderReversed => {
            for row in &mut spoilt.history {
                if let Some(next) = &mut Arc::make_mut(&mut row.row).data.next
                    && next.kind == Kind::Compensate
                {
                    let other = if next.step == "charge-payment" { "reserve-inventory" } else { "charge-payment" };
                    next.step = other.to_owned();
                }
            }
        }
        Bug::WatermarkTooFar => {
            spoilt.shards.iter_mut().for_each(|mark| mark.published = mark.last_seq.min(mark.published + 1));
        }
        Bug::ReplyMarkTooFar => {
            let net = ground.net();
            for mark in spoilt.shards.iter_mut().filter(|mark| mark.reply_offset < net.reply_end(mark.shard)) {
                mark.reply_offset += 1;
            }
        }
        Bug::LingeringNotFlagged => spoilt.lingering.clear(),
        Bug::PublishBeforeCommit => {
            for row in &batch.history {
                for event in &row.row.data.emit {
                    ground.oracle().early(row.saga, row.row.seq, &event.topic);
                }
            }
            return None;
        }
        _ => return None,
    }
    Some(spoilt)
}

fn change(write: &mut SagaWrite, with: impl FnOnce(&mut Saga)) {
    let mut saga = Saga::clone(&write.record.saga);
    with(&mut saga);
    write.record.saga = Arc::new(saga);
}

/// A batch of a deposed owner, made to fit behind what is stored.
pub fn past_the_fence(memory: &MemoryStore, batch: &Batch) -> Batch {
    let mut moved = batch.clone();
    let marks = memory.marks();
    for update in &mut moved.shards {
        let Some(stored) = marks.iter().find(|stored| stored.shard == update.shard) else { continue };
        let rows = moved.history.iter_mut().filter(|row| row.shard == update.shard);
        let mut last = stored.last_seq;
        for row in rows {
            last += 1;
            row.shard_seq = last;
        }
        (update.epoch, update.last_seq) = (stored.epoch, last);
    }
    moved
}

/// A batch in words.
pub fn words(life: &Life, batch: &Batch) -> String {
    let mut text = format!("{life} commits");
    for HistoryRow { saga, row, .. } in &batch.history {
        let step = row.step.map(|step| format!(" of step {}", step.0)).unwrap_or_default();
        let next = row
            .data
            .next
            .as_ref()
            .map(|next| format!(", next {:?} {} {}/{}", next.kind, next.step, next.round, next.attempt));
        let end = row.data.ended.map(|phase| format!(", ends {phase:?}"));
        let stuck = row.data.stuck.map(|cause| format!(", stuck: {cause:?}"));
        let verb = row.data.verb.map(|verb| format!(" ({verb:?})"));
        text.push_str(&format!(
            "\n            saga {} row {}: {:?}{}{step}{}{}{}",
            short(*saga),
            row.seq,
            row.kind,
            verb.unwrap_or_default(),
            next.unwrap_or_default(),
            stuck.unwrap_or_default(),
            end.unwrap_or_default(),
        ));
    }
    for letter in &batch.dead_letters {
        text.push_str(&format!("\n            dead letter {}: {}", letter.offset, letter.code));
    }
    for mark in &batch.shards {
        let (shard, published, replies) = (mark.shard, mark.published, mark.reply_offset);
        text.push_str(&format!(
            "\n            shard {shard}: rows to {}, sent to {published}, replies to {replies}",
            mark.last_seq
        ));
    }
    text
}
