//! Where inputs wait for the commit loop, in bounded queues.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::control::Control;
use super::input::{Input, ReplyInput, Submission};
use crate::store::rows::AdminRequest;

/// Replies that wait; the intake stops reading at that number.
pub const MAX_REPLIES: usize = 16_384;
/// Submissions that wait; more are refused as `OVERLOADED`.
pub const MAX_SUBMISSIONS: usize = 8_192;
/// Inputs that one turn of the loop takes at most, of each kind.
const MAX_TURN: usize = 2_048;

/// The queues before the commit loop.
#[derive(Debug, Default)]
pub struct Inbox {
    queues: Mutex<Queues>,
    /// Something was put in.
    filled: Notify,
    /// Replies were taken out.
    room: Notify,
}

#[derive(Debug, Default)]
struct Queues {
    control: VecDeque<Control>,
    replies: VecDeque<ReplyInput>,
    requests: VecDeque<AdminRequest>,
    submissions: VecDeque<Submission>,
    /// Too much is on its way: no more sagas are taken in.
    full: bool,
    /// Nobody takes anything out any more. What is put in is dropped at once, which tells whoever waits for an answer.
    closed: bool,
}

impl Queues {
    fn wait(&self, admit: bool) -> bool {
        !self.replies.is_empty() || !self.requests.is_empty() || (admit && !self.submissions.is_empty())
    }
}

/// Closes an inbox when it is dropped, however the loop behind it has ended.
pub struct Closing(pub Arc<Inbox>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What a turn of the loop takes.
#[derive(Debug, Default)]
pub struct Taken {
    pub control: Vec<Control>,
    /// In the order replies, requests, submissions.
    pub inputs: Vec<Input>,
}

impl Inbox {
    fn lock(&self) -> MutexGuard<'_, Queues> {
        // Queues of whole values: a panic elsewhere cannot leave them half changed.
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn control(&self, control: Control) {
        {
            let mut queues = self.lock();
            if queues.closed {
                return;
            }
            queues.control.push_back(control);
        }
        self.filled.notify_one();
    }

    /// The loop has ended. Everything that waits, and all that comes after, is dropped: somebody who waits for an
    /// answer would otherwise wait for ever, since the inbox itself lives on with those who put something in.
    fn close(&self) {
        let left = std::mem::replace(&mut *self.lock(), Queues { closed: true, ..Queues::default() });
        drop(left); // out of the lock
        self.room.notify_one();
    }

    /// Puts replies in; waits for room first.
    pub async fn replies(&self, replies: Vec<ReplyInput>) {
        loop {
            let room = self.room.notified();
            {
                let mut queues = self.lock();
                if queues.closed {
                    return;
                }
                if queues.replies.len() < MAX_REPLIES {
                    queues.replies.extend(replies);
                    break;
                }
            }
            room.await;
        }
        self.filled.notify_one();
    }

    /// Puts a request in, unless it waits here already: it is handed over again while it is pending, and two answers
    /// to one request would not be stored, nor anything that stands in a batch with them.
    pub fn request(&self, request: AdminRequest) {
        {
            let mut queues = self.lock();
            // A closed inbox takes nothing: the request is pending still, for the next owner.
            if queues.closed || queues.requests.iter().any(|waiting| waiting.id == request.id) {
                return;
            }
            queues.requests.push_back(request);
        }
        self.filled.notify_one();
    }

    /// Puts a submission in.
    ///
    /// # Errors
    /// Gives it back if the queue is full.
    pub fn submit(&self, submission: Submission) -> Result<(), Box<Submission>> {
        {
            let mut queues = self.lock();
            if queues.closed {
                return Ok(()); // its caller hears that nobody answers any more
            }
            if queues.full || queues.submissions.len() >= MAX_SUBMISSIONS {
                return Err(Box::new(submission));
            }
            queues.submissions.push_back(submission);
        }
        self.filled.notify_one();
        Ok(())
    }

    /// Says whether too much is on its way, messages or sagas, to take more sagas in.
    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// Puts submissions back in front, in order.
    pub fn resubmit(&self, submissions: Vec<Submission>) {
        let mut queues = self.lock();
        if queues.closed {
            return;
        }
        for submission in submissions.into_iter().rev() {
            queues.submissions.push_front(submission);
        }
        drop(queues);
        self.filled.notify_one();
    }

    /// Forgets the waiting replies of shards that `keep` refuses: they will be read again by whoever owns them.
    pub fn retain_replies(&self, keep: impl Fn(&ReplyInput) -> bool) {
        self.lock().replies.retain(|reply| keep(reply));
        self.room.notify_one();
    }

    /// Whether anything waits.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Whether there is something that a turn would take into a commit.
    pub fn waits(&self, admit: bool) -> bool {
        self.lock().wait(admit)
    }

    /// Takes what is there, up to a turn's worth. Submissions stay while `admit` is false.
    pub fn take(&self, admit: bool) -> Taken {
        let mut queues = self.lock();
        let control = queues.control.drain(..).collect();
        let replies = queues.replies.len().min(MAX_TURN);
        let mut inputs = Vec::with_capacity(replies + queues.submissions.len().min(MAX_TURN));
        inputs.extend(queues.replies.drain(..replies).map(|reply| Input::Reply(Box::new(reply))));
        let requests = queues.requests.len().min(MAX_TURN);
        inputs.extend(queues.requests.drain(..requests).map(|request| Input::Request(Box::new(request))));
        if admit {
            let submissions = queues.submissions.len().min(MAX_TURN);
            inputs.extend(
                queues.submissions.drain(..submissions).map(|submission| Input::Submission(Box::new(submission))),
            );
        }
        let more = queues.wait(admit);
        drop(queues);
        if more {
            self.filled.notify_one();
        }
        self.room.notify_one();
        Taken { control, inputs }
    }
}

#[cfg(test)]
mod tests {
    use saga_model::ids::ShardId;
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn a_request_that_is_handed_over_again_stands_in_no_batch_twice() {
        let inbox = Inbox::default();
        let request = |id| AdminRequest {
            id: uuid::Uuid::from_u128(id),
            at: saga_model::Micros(0),
            actor: None,
            action: "pause".to_owned(),
            saga: None,
            shard: None,
            body: None,
            reason: None,
            revision: None,
            status: crate::store::rows::RequestStatus::Pending,
            code: None,
            detail: None,
        };
        inbox.request(request(1));
        inbox.request(request(2));
        inbox.request(request(1));
        assert_eq!(inbox.take(true).inputs.len(), 2);
        inbox.request(request(1));
        assert_eq!(inbox.take(true).inputs.len(), 1, "taken out, it may come again");
    }

    #[tokio::test]
    async fn whoever_waits_for_a_loop_that_has_ended_hears_of_it() {
        let inbox = Arc::new(Inbox::default());
        let ask = || {
            let (done, answered) = oneshot::channel();
            inbox.control(Control::Release { shard: ShardId(0), done });
            answered
        };
        let before = ask();
        drop(Closing(inbox.clone()));
        assert!(before.await.is_err(), "it was put in before the end, and taken out by nobody");
        assert!(ask().await.is_err(), "it was put in after the end");
        inbox.replies(Vec::new()).await;
        assert!(inbox.take(true).control.is_empty());
    }
}
