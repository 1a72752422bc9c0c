//! Messages to the commit loop that are no transitions.

use saga_model::ids::ShardId;
use tokio::sync::oneshot;

use crate::bus::{NoReplyEnd, Progress};
use crate::store::rows::{HistoryRow, LiveSaga, SagaRecord, ShardGrant};

/// Something that the loop has to know.
#[derive(Debug)]
pub enum Control {
    /// A shard was taken and loaded; answered once it is in memory.
    Install { loaded: Box<LoadedShard>, done: oneshot::Sender<()> },
    /// A shard is to be given up; answered once nothing of it is in memory.
    Release { shard: ShardId, done: oneshot::Sender<Option<u64>> },
    /// After a commit whose outcome was unknown: the shards have been taken again or lost for good.
    Retaken,
    /// How far the workers of a command topic have come; answered once it is noted, so that the next look is taken
    /// after all that was known at this one.
    Progress { topic: String, progress: Vec<Progress>, done: oneshot::Sender<()> },
    /// The end of a shard's reply partition, as its owner of this epoch asked for it.
    ReplyEnd { shard: ShardId, epoch: u64, end: Result<i64, NoReplyEnd> },
}

/// A shard as its new owner finds it.
#[derive(Debug)]
pub struct LoadedShard {
    pub grant: ShardGrant,
    /// Its live sagas.
    pub live: Vec<LiveSaga>,
    /// Rows after `grant.published`: their messages may not have left.
    pub unpublished: Vec<HistoryRow>,
    /// The sagas of these rows that have ended.
    pub ended: Vec<SagaRecord>,
}
