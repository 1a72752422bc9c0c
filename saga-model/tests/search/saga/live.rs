//! Which replies may still matter.
//!
//! Most that is written is soon of no interest: the answer to a question that is no longer asked, a RETRYABLE of an
//! attempt that is over. Such a reply changes nothing, now or ever, but for the record of a late one; so it is left
//! out of the channels. This page says which they are; that it is right is checked on every page and on every
//! transition (see [`super::page_checks`]): a dead reply is applied and must change nothing, and it stays dead.

use saga_model::Definition;
use saga_model::definition::StepIndex;
use saga_model::state::{Kind, Outcome, Question, Saga, StepStatus};

use super::channel::Channel;
use super::plain::sent;
use super::twin::Twin;
use super::worker::{Answer, Command};
use super::world::command;

/// The replies that there can be to what was ever sent, by step.
#[derive(Clone, Default)]
pub struct Replies {
    /// Those that may still change something: they answer one question, in one round.
    pub live: Vec<(u8, Answer)>,
    /// Those that never will.
    pub dead: Vec<(u8, Answer)>,
    /// The live ones as a set.
    channel: Channel,
}

const OUTCOMES: [(Outcome, bool); 5] = [
    (Outcome::Succeeded, false),
    (Outcome::Succeeded, true),
    (Outcome::Rejected, false),
    (Outcome::Retryable, false),
    (Outcome::Unknown, false),
];

impl Replies {
    pub fn of(definition: &Definition, saga: &Saga, twin: Option<Twin>) -> Self {
        let mut replies = Self::default();
        for sent in sent(definition, saga, twin) {
            for (outcome, undone) in OUTCOMES {
                if undone && sent.kind == Kind::Action {
                    continue;
                }
                let answer = Answer { to: command(sent), outcome, undone };
                if is_live(definition, saga, sent.step, answer) {
                    replies.live.push((sent.step.0, answer));
                    replies.channel.put(answer);
                } else {
                    replies.dead.push((sent.step.0, answer));
                }
            }
        }
        // What counts for any attempt is told of the first.
        replies.live.retain(|(_, answer)| match answer.outcome {
            Outcome::Succeeded | Outcome::Rejected => answer.to.attempt == 1,
            Outcome::Retryable | Outcome::Unknown => true,
        });
        replies
    }

    /// Whether this answer of that step's worker may still change something.
    pub fn is_live(&self, step: u8, answer: Answer) -> bool {
        let asked =
            |(at, live): &(u8, Answer)| (*at, live.to.kind, live.to.round) == (step, answer.to.kind, answer.to.round);
        self.live.first().is_some_and(asked) && self.channel.has(answer)
    }

    /// Of the replies under way at `before`, those that may change something now.
    pub fn still(&self, before: &Self, channel: Channel) -> Channel {
        let question = |replies: &Self| {
            let (step, answer) = replies.live.first()?;
            Some((*step, answer.to.kind, answer.to.round))
        };
        if question(self) == question(before) { channel.and(self.channel) } else { Channel::default() }
    }
}

/// The question whose answer may still change something: the open one, unless its answer is in and only a hold keeps
/// the saga from going on.
pub fn unanswered(definition: &Definition, saga: &Saga) -> Option<Question> {
    saga.question(definition).filter(|question| match (question.kind, saga.step(question.step).status) {
        (Kind::Action, StepStatus::Succeeded | StepStatus::Skipped) => false,
        (Kind::Action, StepStatus::Rejected) => !definition.step(question.step).undoable(),
        (Kind::Action, StepStatus::Pending | StepStatus::Running | StepStatus::Unknown) | (Kind::Compensate, _) => true,
    })
}

/// Whether this reply may change something, now or later.
fn is_live(definition: &Definition, saga: &Saga, step: StepIndex, answer: Answer) -> bool {
    let Answer { to: Command { kind, round, attempt }, outcome, .. } = answer;
    let question = Question { step, kind };
    let Some(course) = saga.course(question).filter(|_| unanswered(definition, saga) == Some(question)) else {
        return false; // a question that was left is asked again only in a new round, if ever
    };
    if u32::from(round) != course.round || course.recorded.has(outcome) {
        return false;
    }
    let is_current = u32::from(attempt) == course.attempts && u32::from(attempt) > course.answered_attempt;
    match outcome {
        Outcome::Succeeded | Outcome::Rejected => true,
        // In a backoff it is stale, but should the step be refused then, it stands in the history after all.
        Outcome::Retryable => is_current,
        Outcome::Unknown => is_current || kind == Kind::Action && !saga.step(step).unanswered,
    }
}
