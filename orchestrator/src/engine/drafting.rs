//! From inputs to a [`Draft`]: each input becomes an event, each event goes through `advance`.

use std::collections::HashMap;
use std::sync::Arc;

use saga_model::advance::{Advance, Foreign, Refused, Transition};
use saga_model::event::{Actor, Event, Reply, Verb};
use saga_model::ids::ShardId;
use saga_model::wire::{DeadLetterCode, Unreadable};
use saga_model::{Definition, Micros, SagaId};

use super::core::Core;
use super::draft::{Draft, PassedOn, judge};
use super::input::{Input, ReplyInput, Submission};
use super::refusal::code;
use crate::store::rows::{AdminAnswer, AdminRequest, KeyRecord, NewKey, Origin, RequestStatus, SagaRecord};

/// Sagas that are not in memory (they have ended), as the store has them.
pub type Loaded = HashMap<SagaId, SagaRecord>;

impl Core {
    /// The sagas that these inputs concern and that are not in memory.
    pub fn missing(&self, inputs: &[Input]) -> Vec<SagaId> {
        let mut missing: Vec<SagaId> = inputs
            .iter()
            .filter(|input| !matches!(input, Input::Submission(_)))
            .filter_map(Input::saga)
            .filter(|saga| !self.sagas.contains_key(saga) && self.shards.contains_key(&self.shard_of(*saga)))
            .collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    /// Gives ids to submissions that have none in a shard of ours. `false` if there is no such shard.
    pub fn mint(&self, submission: &mut Submission, now: Micros) -> bool {
        if submission.minted.is_some_and(|(id, _)| self.shards.contains_key(&self.shard_of(id))) {
            return true;
        }
        if self.shards.is_empty() {
            return false;
        }
        loop {
            let id = SagaId::from(self.ids.uuid(now));
            if self.shards.contains_key(&self.shard_of(id)) {
                submission.minted = Some((id, saga_model::state::Secret(self.ids.secret())));
                return true;
            }
        }
    }

    /// Applies `inputs` to copies. Inputs of shards that are not ours change nothing and are not answered.
    pub fn draft(&self, inputs: &[Input], loaded: &Loaded, now: Micros) -> Draft {
        let mut draft = Draft::new(now);
        for (index, input) in inputs.iter().enumerate() {
            match input {
                Input::Reply(reply) => self.draft_reply(&mut draft, reply, loaded),
                Input::Request(request) => self.draft_request(&mut draft, request, loaded),
                Input::Submission(submission) => self.draft_submission(&mut draft, index, submission),
                Input::Internal { saga, event, actor } => {
                    if let Some((record, definition, shard)) = self.find(&draft, *saga, loaded) {
                        let judged = judge(Some(&record), &definition, event, actor, now);
                        self.note(&mut draft, &record, &definition, shard, judged);
                    }
                }
            }
        }
        draft
    }

    /// A saga of ours as the draft, the memory or the store has it.
    fn find(&self, draft: &Draft, saga: SagaId, loaded: &Loaded) -> Option<(SagaRecord, Arc<Definition>, ShardId)> {
        let shard = self.shard_of(saga);
        if !self.shards.contains_key(&shard) {
            return None;
        }
        if let Some(member) = draft.copy(saga) {
            return Some((member.record.clone(), member.definition.clone(), shard));
        }
        if let Some(live) = self.sagas.get(&saga) {
            return Some((live.record.clone(), live.definition.clone(), shard));
        }
        let record = loaded.get(&saga)?;
        let definition = self.definitions.get(record.origin.definition)?;
        Some((record.clone(), definition, shard))
    }

    fn draft_reply(&self, draft: &mut Draft, input: &ReplyInput, loaded: &Loaded) {
        if !self.shards.contains_key(&input.shard) {
            return;
        }
        let message = match &input.reading {
            Ok(message) => message,
            Err(why) => return draft.dead_letter(self.ids.uuid(draft.now), input, why.clone()),
        };
        let to = self.shard_of(message.saga_id);
        if to != input.shard {
            draft.passed_on.push(PassedOn { reply: input.incoming.clone(), from: input.shard, to });
            return;
        }
        let Some((record, definition, shard)) = self.find(draft, message.saga_id, loaded) else {
            let why = Unreadable::new(DeadLetterCode::UnknownSaga, format!("there is no saga {}", message.saga_id));
            return draft.dead_letter(self.ids.uuid(draft.now), input, why);
        };
        let Some(step) = definition.find(&message.step) else {
            let detail = format!("{} has no step {:?}", definition.name(), message.step);
            return draft.dead_letter(
                self.ids.uuid(draft.now),
                input,
                Unreadable::new(DeadLetterCode::UnknownStep, detail),
            );
        };
        if !draft.known_steps.contains(&message.step) {
            draft.known_steps.insert(message.step.clone());
        }
        let event = Event::Reply(Reply {
            step,
            kind: message.kind,
            round: message.round,
            attempt: message.attempt,
            token: message.token.clone(),
            outcome: message.outcome,
            output: message.output.clone(),
            error: message.error.clone(),
            partition: input.incoming.partition,
            offset: input.incoming.offset,
        });
        let judged = judge(Some(&record), &definition, &event, &Actor::Worker, draft.now);
        match self.note(draft, &record, &definition, shard, judged) {
            Noted::Done | Noted::Refused(_) => {}
            Noted::Foreign(foreign) => draft.dead_letter(self.ids.uuid(draft.now), input, describe(foreign)),
            Noted::Broken(said) => {
                draft.dead_letter(self.ids.uuid(draft.now), input, Unreadable::new(DeadLetterCode::EngineError, said));
            }
        }
    }

    fn draft_request(&self, draft: &mut Draft, request: &AdminRequest, loaded: &Loaded) {
        let Some(saga) = request.saga.filter(|saga| self.shards.contains_key(&self.shard_of(*saga))) else { return };
        let answer = |status, code: Option<&str>, detail: Option<String>| AdminAnswer {
            request: request.id,
            status,
            code: code.map(str::to_owned),
            detail,
        };
        let refused = |code, detail| answer(RequestStatus::Refused, Some(code), Some(detail));
        if let Some(code) = &request.code {
            // It was judged before and could not be stored.
            draft.answers.push(refused(code, request.detail.clone().unwrap_or_default()));
            return;
        }
        let verb = request.body.as_deref().map(serde_json::from_str::<Verb>);
        let Some(Ok(verb)) = verb else {
            draft.answers.push(refused("ENGINE_ERROR", "the request could not be read".to_owned()));
            return;
        };
        let Some((record, definition, shard)) = self.find(draft, saga, loaded) else {
            draft.answers.push(refused("SAGA_NOT_FOUND", format!("there is no saga {saga}")));
            return;
        };
        let revision = record.saga.revision;
        if let Some(wanted) = request.revision.filter(|wanted| *wanted != revision) {
            let detail = format!("the saga is at revision {revision}, not {wanted}: read it again");
            draft.answers.push(refused("REVISION_MISMATCH", detail));
            return;
        }
        let name = request.actor.as_deref().and_then(|actor| actor.strip_prefix("key:")).unwrap_or("anonymous");
        let actor = Actor::Key(name.to_owned());
        let event = Event::Verb { verb, reason: request.reason.clone().unwrap_or_default() };
        let judged = judge(Some(&record), &definition, &event, &actor, draft.now);
        let answer = match self.note(draft, &record, &definition, shard, judged) {
            Noted::Done => answer(RequestStatus::Done, None, None),
            Noted::Refused(why) => refused(code(&why), why.to_string()),
            Noted::Foreign(_) => refused("ENGINE_ERROR", "the request was taken for a reply".to_owned()),
            Noted::Broken(said) => refused("ENGINE_ERROR", said),
        };
        draft.answers.push(answer);
    }

    fn draft_submission(&self, draft: &mut Draft, index: usize, submission: &Submission) {
        let Some((id, secret)) = submission.minted else { return };
        let shard = self.shard_of(id);
        let Some((definition_id, definition)) = self.definitions.active(&submission.definition) else {
            draft.failed.push((index, format!("there is no definition {:?}", submission.definition)));
            return;
        };
        let event = Event::Submitted { id, secret };
        match judge(None, &definition, &event, &submission.actor, draft.now) {
            Ok(Advance::Changed(transition)) => {
                let origin = Origin {
                    definition: definition_id,
                    input: submission.input.clone(),
                    user_id: submission.user_id,
                    business_key: submission.business_key.clone(),
                    traceparent: submission.traceparent.clone(),
                };
                let Transition { saga, row, effects } = *transition;
                let record = SagaRecord { saga: Arc::new(saga), origin: Arc::new(origin) };
                draft.start(record, definition, shard, index, (row, effects));
                if let Some(keyed) = &submission.key {
                    let record = KeyRecord { saga: id, fingerprint: keyed.fingerprint.clone() };
                    draft.keys.push((index, NewKey { key: keyed.key.clone(), record, at: draft.now }));
                }
            }
            Ok(other) => draft.failed.push((index, format!("the saga could not be started: {other:?}"))),
            Err(said) => draft.failed.push((index, said)),
        }
    }

    /// Puts what was judged into the draft. After a panic the saga is stuck, in place of the transition.
    fn note(
        &self,
        draft: &mut Draft,
        record: &SagaRecord,
        definition: &Arc<Definition>,
        shard: ShardId,
        judged: Result<Advance, String>,
    ) -> Noted {
        match judged {
            Ok(Advance::Changed(transition)) => draft.change(record, definition, shard, *transition),
            Ok(Advance::Ignored(why)) => draft.ignore(why),
            Ok(Advance::Refused(why)) => return Noted::Refused(why),
            Ok(Advance::DeadLetter(foreign)) => return Noted::Foreign(foreign),
            Err(said) => {
                tracing::error!(saga.id = %record.saga.id, error = %said, "A transition panicked; the saga is stuck");
                let event = Event::EngineFailed { message: said.clone() };
                if let Ok(Advance::Changed(stuck)) = judge(Some(record), definition, &event, &Actor::Engine, draft.now)
                {
                    draft.change(record, definition, shard, *stuck);
                }
                return Noted::Broken(said);
            }
        }
        Noted::Done
    }
}

/// What [`Core::note`] could not put into the draft.
enum Noted {
    Done,
    Refused(Refused),
    Foreign(Foreign),
    Broken(String),
}

fn describe(foreign: Foreign) -> Unreadable {
    let (code, detail) = match foreign {
        Foreign::FutureStep => (DeadLetterCode::FutureStep, "this step, kind or round was not sent yet"),
        Foreign::WrongToken => (DeadLetterCode::WrongToken, "the token is not that of the question"),
        Foreign::FutureAttempt => (DeadLetterCode::FutureAttempt, "this attempt was not sent yet"),
    };
    Unreadable::new(code, detail)
}
