//! What becomes of inputs that the store refuses even when they are alone.

use saga_model::event::{Actor, Event};
use saga_model::wire::{DeadLetterCode, Unreadable};

use super::input::{Input, Submitted};

/// Turns the inputs of one saga into what can be said about their failure: the saga is stuck, replies become dead
/// letters, requests are refused, a submission is answered.
pub fn condemn(inputs: Vec<Input>, why: &str) -> Vec<Input> {
    let message = format!("the database refuses it: {why}").replace('\0', "\u{fffd}");
    let mut saga = None;
    let mut condemned = Vec::new();
    for mut input in inputs {
        match &mut input {
            Input::Submission(submission) => {
                submission.answer.give(Submitted::Failed(message.clone()));
                continue;
            }
            Input::Reply(reply) => {
                saga = saga.or(reply.reading.as_ref().ok().map(|message| message.saga_id));
                reply.reading = Err(Unreadable::new(DeadLetterCode::EngineError, message.clone()));
            }
            Input::Request(request) => {
                saga = saga.or(request.saga);
                request.code = Some("ENGINE_ERROR".to_owned());
                request.detail = Some(message.clone());
            }
            Input::Internal { saga: of, .. } => {
                saga = saga.or(Some(*of));
                continue;
            }
        }
        condemned.push(input);
    }
    if let Some(saga) = saga {
        condemned.push(Input::Internal { saga, event: Event::EngineFailed { message }, actor: Actor::Engine });
    }
    condemned
}
