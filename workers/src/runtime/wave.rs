//! One wave: claim, do, record, reply; again for what was busy or lost.

use std::time::Duration;

use service::cloudevents;

use super::read::Item;
use super::work::{Done, Plan};
use super::{Runtime, reply};
use crate::ledger::{Answer, ClaimId, Judgement};
use crate::participant::Participant;
use crate::patience::Hopeless;
use crate::transport::Sent;

/// How long to wait before asking again for what somebody else works on.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What the ledger said about a wave.
struct Judged<T> {
    plan: Plan<T>,
    answers: Vec<(Item<T>, Answer)>,
    busy: Vec<Item<T>>,
}

impl<P: Participant> Runtime<P> {
    /// Answers every command of a wave.
    pub(super) async fn answer(
        &self,
        claim: ClaimId,
        mut open: Vec<Item<P::Task>>,
        sent: &mut Vec<Sent>,
    ) -> Result<(), Hopeless> {
        let mut pause = FIRST_PAUSE;
        while !open.is_empty() {
            let Judged { plan, mut answers, busy } = self.claim(claim, open).await?;
            let waits = !busy.is_empty();
            let mut again = busy;
            let done = self.work(claim, plan).await?;
            for (done, held) in self.record(claim, done).await? {
                match done.answer {
                    Some(answer) if held => answers.push((done.item, answer)),
                    // An earlier round was settled, or somebody else holds the row by now: the ledger knows more.
                    Some(_) | None => again.push(done.item),
                }
            }
            self.reply(&answers, sent)?;
            if waits {
                self.around.patience.pause(pause).await?;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            again.sort_unstable_by_key(|item| item.key.saga);
            open = again;
        }
        Ok(())
    }

    async fn claim(&self, claim: ClaimId, open: Vec<Item<P::Task>>) -> Result<Judged<P::Task>, Hopeless> {
        let questions: Vec<_> = open.iter().map(Item::question).collect();
        let ask = || self.ledger.claim(claim, self.lease, &questions);
        let judgements = self.around.patience.insist(ask).await?;
        let mut judged = Judged { plan: Plan::default(), answers: Vec::new(), busy: Vec::new() };
        for (mut item, judgement) in open.into_iter().zip(judgements) {
            match judgement {
                Judgement::Answer(answer) => judged.answers.push((item, answer)),
                Judgement::Busy => judged.busy.push(item),
                Judgement::Act { repeated } => judged.plan.act(item, repeated),
                Judgement::Refuse { why } => judged.plan.refuse(item, why),
                Judgement::Settle { round } => judged.plan.settle(item, round),
                Judgement::Undo { settle, trace } => {
                    item.undoes = trace.and_then(|trace| trace.parse().ok());
                    judged.plan.undo(item, settle);
                }
            }
        }
        Ok(judged)
    }

    async fn record(&self, claim: ClaimId, done: Vec<Done<P::Task>>) -> Result<Vec<(Done<P::Task>, bool)>, Hopeless> {
        if done.is_empty() {
            return Ok(Vec::new());
        }
        let records: Vec<_> = done.iter().map(|done| done.item.record(done.ending.clone())).collect();
        let held = self.around.patience.insist(|| self.ledger.record(claim, &records)).await?;
        Ok(done.into_iter().zip(held).collect())
    }

    fn reply(&self, answers: &[(Item<P::Task>, Answer)], sent: &mut Vec<Sent>) -> Result<(), Hopeless> {
        let now = service::time::now();
        let mut replies = Vec::with_capacity(answers.len());
        for (item, answer) in answers {
            let definition = cloudevents::definition(&item.delivery.headers);
            self.observer.answered(&item.command, answer, definition, item.span.as_ref(), item.undoes);
            if !item.silent {
                replies.push(reply::reply(item, answer, now)?);
            }
        }
        if !replies.is_empty() {
            sent.push(self.around.sink.send(replies));
        }
        Ok(())
    }
}
