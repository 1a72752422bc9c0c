//! What the log tells operators of a stored batch: sagas that rest until somebody acts, messages that changed nothing.

use super::draft::{Draft, Member};
use crate::store::rows::DeadLetter;

/// Tells of a draft that was stored.
pub fn stored(draft: &Draft) {
    draft.members.iter().for_each(stuck);
    for (_, letter) in &draft.dead_letters {
        let DeadLetter { topic, partition, offset, code, detail, .. } = letter;
        let saga = letter.saga.map(tracing::field::display);
        tracing::warn!(saga.id = saga, topic, partition, offset, code, detail, "A reply is a dead letter");
    }
}

fn stuck(member: &Member) {
    for (row, _) in &member.transitions {
        if let Some(cause) = row.data.stuck {
            let step = row.step.map(|step| member.definition.step(step).name.as_str());
            let (saga, cause) = (member.record.saga.id, cause.as_str());
            tracing::warn!(saga.id = %saga, step.name = step, cause, "Saga stuck: it waits for an operator");
        }
    }
}
