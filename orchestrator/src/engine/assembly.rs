//! The parts of an engine, put together: by [`super::Engine`] to run by themselves, by [`super::stepwise`] to be moved by
//! hand.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::EngineParts;
use super::clock::Clock;
use super::commit_loop::{CommitLoop, Parts};
use super::core::Core;
use super::doubt::Doubt;
use super::inbox::Inbox;
use super::shards::Keeper;
use super::submit::Front;
use super::watchers::Watchers;

/// See the module.
pub(super) struct Assembly {
    pub(super) commit_loop: CommitLoop,
    pub(super) keeper: Keeper,
    pub(super) front: Arc<Front>,
    pub(super) inbox: Arc<Inbox>,
    pub(super) watchers: Arc<Watchers>,
}

impl Assembly {
    pub(super) fn of(parts: EngineParts, clock: Arc<Clock>, shutdown: CancellationToken) -> Self {
        let EngineParts {
            store,
            bus,
            acks,
            max_moving,
            linger_after,
            ids,
            definitions,
            shard_count,
            instance,
            lease,
            now,
            meters,
            tracer,
        } = parts;
        let (inbox, watchers) = (Arc::new(Inbox::default()), Arc::new(Watchers::default()));
        let (doubt, retake) = Doubt::new();
        let core = Core::new(shard_count, definitions.clone(), ids, linger_after, now);
        let parts = Parts {
            store: store.clone(),
            bus,
            clock: clock.clone(),
            inbox: inbox.clone(),
            acks,
            max_moving,
            watchers: watchers.clone(),
            meters,
            tracer,
        };
        let keeper = Keeper {
            store: store.clone(),
            instance,
            lease,
            clock,
            definitions,
            inbox: inbox.clone(),
            watchers: watchers.clone(),
            retake,
        };
        let front = Arc::new(Front::new(store, inbox.clone()));
        Self { commit_loop: CommitLoop::new(parts, core, doubt, shutdown), keeper, front, inbox, watchers }
    }
}
