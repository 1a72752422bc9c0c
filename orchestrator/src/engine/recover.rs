//! Taking a shard over. There is no other way to start: a first start finds no rows, that is all.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use saga_model::wire::SagaInput;
use saga_model::{Definition, Micros, SagaId};

use super::control::LoadedShard;
use super::core::{Barrier, Core, OwnedShard};
use super::messages;
use super::settle::{pending, push};
use super::taken::Waiting;
use super::watermark::Watermark;
use crate::bus::{MadeOf, Outgoing};
use crate::store::rows::{SagaRecord, Untaken};

impl Core {
    /// Takes a loaded shard in and returns the messages that may not have left: the domain events of the rows
    /// past the watermark, in order, and the *pending* commands of sagas with such rows. A command that its
    /// saga asks no more is never sent again.
    ///
    /// From a bus that forgets everything, all pending commands are lost.
    pub fn install(&mut self, loaded: LoadedShard, bus_forgets: bool, now: Micros) -> Vec<Outgoing> {
        let LoadedShard { grant, live, unpublished, ended } = loaded;
        let shard = grant.shard;
        self.drop_shard(shard);
        self.shards.insert(
            shard,
            OwnedShard {
                epoch: grant.epoch,
                last_seq: grant.last_seq,
                watermark: Watermark::new(grant.published),
                reply_next: grant.reply_offset,
                passing: BTreeSet::new(),
                stored: (grant.published, grant.reply_offset, Untaken::new()),
                barrier: Barrier::None,
                live_from: grant.live_from,
                untaken: Untaken::new(),
                young: BTreeSet::new(),
            },
        );
        let mut known: BTreeMap<SagaId, (SagaRecord, Arc<Definition>)> = BTreeMap::new();
        for record in ended {
            if let Some(definition) = self.definitions.get(record.origin.definition) {
                known.insert(record.saga.id, (record, definition));
            }
        }
        for found in live {
            let record = &found.record;
            let Some(definition) = self.definitions.get(record.origin.definition) else {
                // The loader has just read all that were ever pinned, and none is ever deleted.
                tracing::error!(saga.id = %record.saga.id, "A saga of an unknown definition was loaded");
                self.grown(shard, record.saga.id, found.lingering); // so that the next owner finds it
                continue;
            };
            known.insert(record.saga.id, (record.clone(), definition.clone()));
            self.remember(found, definition, shard, now);
        }
        let mut send = Vec::new();
        // The last row of each saga that asked something: its messages include the pending command.
        let mut asked: HashMap<SagaId, u64> = HashMap::new();
        for stored in &unpublished {
            if stored.row.data.next.is_some() {
                asked.insert(stored.saga, stored.shard_seq);
            }
        }
        let mut sent_again = BTreeSet::new();
        for stored in &unpublished {
            let before = send.len();
            let ticket = self.ticket(shard, MadeOf::Row(stored.shard_seq));
            if let (Some((record, definition)), Some(ticket)) = (known.get(&stored.saga), ticket) {
                let input = SagaInput::new(&record.origin.input);
                for event in &stored.row.data.emit {
                    let message = messages::domain_event(record, &input, definition, &stored.row, event);
                    push(&mut send, message.map(|message| message.as_event(ticket)), stored.saga);
                }
                if asked.get(&stored.saga) == Some(&stored.shard_seq)
                    && let Some(command) = pending(record, definition)
                {
                    push(&mut send, messages::command(record, &input, definition, command, ticket), stored.saga);
                    sent_again.insert(stored.saga);
                }
            }
            self.handed_over(shard, stored.shard_seq, send.len() - before);
        }
        self.handed_over(shard, grant.last_seq, 0);
        for (saga, (record, definition)) in &known {
            let Some(command) = pending(record, definition).filter(|_| !sent_again.contains(saga)) else { continue };
            if bus_forgets {
                self.send_again(*saga, command, &mut send);
            } else {
                self.taken.inherited(&definition.step(command.step).topic, Waiting { saga: *saga, command });
            }
        }
        send
    }
}
