//! Calling the participant.

use std::sync::Arc;

use saga_model::state::Failure;
use tower::ServiceExt;

use super::Runtime;
use crate::layers::{Call, InTime, Jobs};
use crate::participant::{Job, Participant};
use crate::patience::Hopeless;

/// An answer of the participant, or none in time.
pub(super) enum Reached<A> {
    Answer(A),
    TooLate(Failure),
}

impl<P: Participant> Runtime<P> {
    /// Calls the participant for jobs, if there are any, until nothing that it needs is away. The jobs as they were
    /// answered: a call that failed may have done any of them, so each is a repeated one from then on.
    pub(super) async fn call<A: Send + 'static>(
        &self,
        call: &Call<P::Task, A>,
        jobs: Vec<Job<P::Task>>,
    ) -> Result<(Jobs<P::Task>, Vec<Reached<A>>), Hopeless> {
        let mut jobs: Jobs<P::Task> = jobs.into();
        if jobs.is_empty() {
            return Ok((jobs, Vec::new()));
        }
        let mut tried = false;
        let attempt = || {
            if std::mem::replace(&mut tried, true) {
                jobs = jobs.iter().map(|job| Job { repeated: true, ..job.clone() }).collect();
            }
            call.clone().oneshot(Arc::clone(&jobs))
        };
        let answers = match self.around.patience.insist(attempt).await? {
            InTime::Yes(answers) => answers.into_iter().map(Reached::Answer).collect(),
            InTime::No { limit } => {
                let message = format!("took longer than {} ms", limit.as_millis());
                jobs.iter().map(|_| Reached::TooLate(Failure::new("TIMEOUT", message.clone()))).collect()
            }
        };
        Ok((jobs, answers))
    }
}
