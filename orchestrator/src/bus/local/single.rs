//! Sending one message that somebody waits for.

use workers::transport::Delivery;

use super::LocalBus;
use crate::bus::{DELIVERED_WITHIN, Incoming, Message, Undelivered, topics};

impl LocalBus {
    /// Puts a message where it is read and waits until its reader has finished with it: until then, nothing would be
    /// left of it after a kill. (A reply need not be waited for: its question is asked again then.)
    pub(super) async fn deliver_one(&self, message: Message) -> Result<(), Undelivered> {
        let Message { topic, key, value, headers } = message;
        let partition = self.partition(key.as_deref());
        if topic.as_ref() == topics::REPLIES {
            self.lock().reply(Incoming { partition, offset: 0, key, value, headers });
            self.replied.notify_one();
            return Ok(());
        }
        let offset = {
            let mut state = self.lock();
            let to = state.topic(&topic, self.partitions);
            if !to.is_read() {
                to.pass(partition);
                return Ok(());
            }
            to.keep(Delivery { topic: topic.clone(), partition, offset: 0, key, value, headers }, None)
        };
        let done = async {
            loop {
                let finished = self.finished.notified();
                tokio::pin!(finished);
                finished.as_mut().enable();
                if self.lock().topic(&topic, self.partitions).is_done(partition, offset) {
                    return;
                }
                finished.await;
            }
        };
        let late = || Undelivered::Away(format!("no worker has finished with it within {DELIVERED_WITHIN:?}"));
        tokio::time::timeout(DELIVERED_WITHIN, done).await.map_err(|_| late())
    }
}
