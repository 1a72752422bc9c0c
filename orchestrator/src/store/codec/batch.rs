//! A batch as rows of the tables.

use uuid::Uuid;

use super::operators::AnswerRow;
use super::{history, number, operators, ownership, saga};
use crate::store::Result;
use crate::store::entity;
use crate::store::rows::{Batch, ShardUpdate};

/// All rows of a batch.
pub struct BatchRows {
    /// In order of shard, as locks are taken.
    pub shards: Vec<MarksRow>,
    pub keys: Vec<entity::idempotency::Model>,
    pub inserts: Vec<saga::New>,
    pub updates: Vec<saga::Change>,
    pub lingering: Vec<Uuid>,
    pub history: Vec<history::Entry>,
    pub answers: Vec<AnswerRow>,
    pub dead_letters: Vec<entity::dead_letter::Model>,
}

/// The columns of a shard that a commit writes, and its fence.
pub struct MarksRow {
    pub id: i16,
    pub epoch: i64,
    pub last_seq: i64,
    pub published: i64,
    pub reply_offset: i64,
    pub untaken: String,
    pub live_from: Uuid,
}

impl BatchRows {
    /// Encodes a batch.
    ///
    /// # Errors
    /// [`crate::store::StoreError::Refused`] if something in it does not fit its column.
    pub fn of(batch: &Batch) -> Result<Self> {
        let mut shards: Vec<MarksRow> = batch.shards.iter().map(marks).collect::<Result<_>>()?;
        shards.sort_by_key(|marks| marks.id);
        // In order of id, what goes to one page of an index goes there at once, and what is new to its last one.
        let mut inserts: Vec<saga::New> = batch.inserts.iter().map(saga::new).collect::<Result<_>>()?;
        inserts.sort_unstable_by_key(|row| row.rest.id);
        let mut updates: Vec<saga::Change> = batch.updates.iter().map(saga::change).collect::<Result<_>>()?;
        updates.sort_unstable_by_key(|row| row.id);
        let mut history: Vec<history::Entry> = batch.history.iter().map(history::entry).collect::<Result<_>>()?;
        history.sort_unstable_by_key(|row| (row.saga_id, row.seq));
        Ok(Self {
            shards,
            keys: batch.keys.iter().map(ownership::key_row).collect(),
            inserts,
            updates,
            lingering: batch.lingering.iter().map(|saga| saga.uuid()).collect(),
            history,
            answers: batch.answers.iter().map(operators::answer_row).collect(),
            dead_letters: batch.dead_letters.iter().map(operators::dead_letter_row).collect::<Result<_>>()?,
        })
    }
}

fn marks(update: &ShardUpdate) -> Result<MarksRow> {
    let what = format_args!("shard {}", update.shard);
    Ok(MarksRow {
        id: number(what, update.shard.0)?,
        epoch: number(what, update.epoch)?,
        last_seq: number(what, update.last_seq)?,
        published: number(what, update.published)?,
        reply_offset: update.reply_offset,
        untaken: ownership::untaken_text(&update.untaken)?,
        live_from: update.live_from.uuid(),
    })
}
