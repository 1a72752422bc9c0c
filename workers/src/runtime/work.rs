//! Calling the participant, and what its answers mean to the ledger and to the one who asked.

use saga_model::json::RawJson;
use saga_model::state::{Failure, Outcome};

use super::Runtime;
use super::call::Reached;
use super::read::Item;
use crate::ledger::{Answer, ClaimId, Ending, undone};
use crate::participant::{Acted, Job, Participant, Settled, Undone};
use crate::patience::Hopeless;

/// Commands, and what the participant is asked to do about each.
type Work<T> = Vec<(Item<T>, Job<T>)>;

/// What a wave has to do.
pub(super) struct Plan<T> {
    act: Work<T>,
    /// Actions that an earlier attempt refused, and did not come to settle what was before it.
    refuse: Vec<RefusedAgain<T>>,
    /// Actions of an earlier round, before the command's own question is asked again.
    settle: Work<T>,
    /// Compensations that can go ahead, and those whose action has to be settled before.
    undo: Vec<Item<T>>,
    settle_and_undo: Work<T>,
}

/// How the work for a command ended.
pub(super) struct Done<T> {
    pub(super) item: Item<T>,
    pub(super) ending: Ending,
    /// None if it was not the command's own question.
    pub(super) answer: Option<Answer>,
}

/// A refusal of something that may have been done by an earlier attempt.
struct RefusedAgain<T> {
    item: Item<T>,
    job: Job<T>,
    why: Failure,
}

impl<T> Default for Plan<T> {
    fn default() -> Self {
        Self { act: Vec::new(), refuse: Vec::new(), settle: Vec::new(), undo: Vec::new(), settle_and_undo: Vec::new() }
    }
}

impl<T> Plan<T> {
    pub(super) fn act(&mut self, item: Item<T>, repeated: bool) {
        let job = item.job(item.key.round, repeated);
        self.act.push((item, job));
    }

    pub(super) fn refuse(&mut self, item: Item<T>, why: Failure) {
        let job = item.job(item.key.round, true);
        self.refuse.push(RefusedAgain { item, job, why });
    }

    pub(super) fn settle(&mut self, item: Item<T>, round: u32) {
        let job = item.job(round, true);
        self.settle.push((item, job));
    }

    pub(super) fn undo(&mut self, item: Item<T>, settle: Option<u32>) {
        match settle {
            None => self.undo.push(item),
            Some(round) => {
                let job = item.job(round, true);
                self.settle_and_undo.push((item, job));
            }
        }
    }
}

impl<P: Participant> Runtime<P> {
    /// Does what is planned: actions beside settling and undoing, which are about other sagas.
    pub(super) async fn work(&self, claim: ClaimId, plan: Plan<P::Task>) -> Result<Vec<Done<P::Task>>, Hopeless> {
        let Plan { act, refuse, settle, undo, settle_and_undo } = plan;
        let (acted, undone) =
            tokio::join!(self.act(claim, act, refuse), self.settle_then_undo(settle, undo, settle_and_undo));
        let mut done = acted?;
        done.extend(undone?);
        Ok(done)
    }

    async fn act(
        &self,
        claim: ClaimId,
        work: Work<P::Task>,
        refused_before: Vec<RefusedAgain<P::Task>>,
    ) -> Result<Vec<Done<P::Task>>, Hopeless> {
        let (items, jobs): (Vec<_>, Vec<_>) = work.into_iter().unzip();
        let (jobs, answers) = self.call(&self.calls.act, jobs).await?;
        let (mut done, mut refused) = (Vec::with_capacity(items.len()), Vec::new());
        for ((item, job), acted) in items.into_iter().zip(jobs.iter()).zip(answers) {
            let (ending, answer) = match acted {
                Reached::Answer(Acted::Done(output)) => succeeded(output),
                Reached::Answer(Acted::Refused(why)) if job.repeated => {
                    refused.push(RefusedAgain { item, job: job.clone(), why });
                    continue;
                }
                Reached::Answer(Acted::Refused(why)) => rejected(why),
                Reached::Answer(Acted::Retry(why)) => (Ending::Open, failed(Outcome::Retryable, why)),
                Reached::Answer(Acted::Unknown(why)) => (Ending::Open, failed(Outcome::Unknown, why)),
                Reached::TooLate(why) => (Ending::Open, failed(Outcome::Unknown, why)),
            };
            done.push(Done { item, ending, answer: Some(answer) });
        }
        let mut refused = self.note_refused(claim, refused, &mut done).await?;
        refused.extend(refused_before);
        done.extend(self.settle_refused(refused).await?);
        Ok(done)
    }

    /// Has the ledger remember why: once an earlier attempt is settled, who asks the participant again only hears that
    /// it is kept out. Whose claim was lost meanwhile is left to the one who has it now.
    async fn note_refused(
        &self,
        claim: ClaimId,
        refused: Vec<RefusedAgain<P::Task>>,
        done: &mut Vec<Done<P::Task>>,
    ) -> Result<Vec<RefusedAgain<P::Task>>, Hopeless> {
        if refused.is_empty() {
            return Ok(refused);
        }
        let records: Vec<_> =
            refused.iter().map(|refused| refused.item.record(Ending::Refusing(refused.why.clone()))).collect();
        let held = self.around.patience.insist(|| self.ledger.record(claim, &records)).await?;
        let (noted, lost): (Vec<_>, Vec<_>) = refused.into_iter().zip(held).partition(|(_, held)| *held);
        done.extend(lost.into_iter().map(|(lost, _)| Done { item: lost.item, ending: Ending::Open, answer: None }));
        Ok(noted.into_iter().map(|(noted, _)| noted).collect())
    }

    /// A refusal says that no effect stands, now or later. Where an earlier attempt was begun that only holds once it is
    /// settled: its worker, taken for dead, may be about to wake up and do what was refused just now.
    async fn settle_refused(&self, refused: Vec<RefusedAgain<P::Task>>) -> Result<Vec<Done<P::Task>>, Hopeless> {
        let jobs = refused.iter().map(|refused| refused.job.clone()).collect();
        let (_, answers) = self.call(&self.calls.settle, jobs).await?;
        let end = |(refused, answer): (RefusedAgain<P::Task>, Reached<Settled>)| {
            let RefusedAgain { item, job, why } = refused;
            let (ending, answer) = match answer {
                Reached::Answer(Settled::Absent) => rejected(why),
                Reached::Answer(Settled::Stands(output)) => {
                    let (saga, step) = (job.key.saga, &*job.key.step);
                    tracing::info!(saga.id = %saga, step.name = step, code = why.code, "What was refused had been done before");
                    succeeded(output)
                }
                Reached::TooLate(why) => (Ending::Open, failed(Outcome::Unknown, why)),
            };
            Done { item, ending, answer: Some(answer) }
        };
        Ok(refused.into_iter().zip(answers).map(end).collect())
    }

    async fn settle_then_undo(
        &self,
        settle: Work<P::Task>,
        mut undo: Vec<Item<P::Task>>,
        settle_and_undo: Work<P::Task>,
    ) -> Result<Vec<Done<P::Task>>, Hopeless> {
        let (items, jobs): (Vec<_>, Vec<_>) = settle.into_iter().unzip();
        let (undo_items, undo_jobs): (Vec<_>, Vec<_>) = settle_and_undo.into_iter().unzip();
        let (_, answers) = self.call(&self.calls.settle, jobs.into_iter().chain(undo_jobs).collect()).await?;
        let mut answers = answers.into_iter();
        let mut done: Vec<Done<P::Task>> = items.into_iter().zip(answers.by_ref()).map(settled).collect();
        for (item, answer) in undo_items.into_iter().zip(answers) {
            match answer {
                // Either way the effect is known now, and what stands of it the undo will find.
                Reached::Answer(Settled::Stands(_) | Settled::Absent) => undo.push(item),
                Reached::TooLate(why) => {
                    done.push(Done { item, ending: Ending::Open, answer: Some(failed(Outcome::Unknown, why)) });
                }
            }
        }
        let jobs = undo.iter().map(|item| item.job(item.key.round, true)).collect();
        let (_, answers) = self.call(&self.calls.undo, jobs).await?;
        done.extend(undo.into_iter().zip(answers).map(undone_or_not));
        Ok(done)
    }
}

/// An action of an earlier round, settled: its question is decided, the command's own is asked again.
fn settled<T>((item, answer): (Item<T>, Reached<Settled>)) -> Done<T> {
    let (ending, answer) = match answer {
        Reached::Answer(Settled::Stands(output)) => (Ending::Succeeded(output), None),
        Reached::Answer(Settled::Absent) => {
            let why = Failure::new("SUPERSEDED", "a later round was asked for before this one was done");
            (Ending::Rejected(why), None)
        }
        Reached::TooLate(why) => (Ending::Open, Some(failed(Outcome::Unknown, why))),
    };
    Done { item, ending, answer }
}

fn undone_or_not<T>((item, answer): (Item<T>, Reached<Undone>)) -> Done<T> {
    let (ending, answer) = match answer {
        Reached::Answer(Undone::Done { was_there }) => (Ending::Undone { was_there }, undone(was_there)),
        Reached::Answer(Undone::Refused(why)) => (Ending::UndoRefused(why.clone()), failed(Outcome::Rejected, why)),
        Reached::Answer(Undone::Retry(why)) => (Ending::Open, failed(Outcome::Retryable, why)),
        Reached::Answer(Undone::Unknown(why)) => (Ending::Open, failed(Outcome::Unknown, why)),
        Reached::TooLate(why) => (Ending::Open, failed(Outcome::Unknown, why)),
    };
    Done { item, ending, answer: Some(answer) }
}

fn succeeded(output: RawJson) -> (Ending, Answer) {
    let answer = Answer { outcome: Outcome::Succeeded, output: Some(output.clone()), error: None };
    (Ending::Succeeded(output), answer)
}

fn rejected(why: Failure) -> (Ending, Answer) {
    (Ending::Rejected(why.clone()), failed(Outcome::Rejected, why))
}

fn failed(outcome: Outcome, why: Failure) -> Answer {
    Answer { outcome, output: None, error: Some(why) }
}
