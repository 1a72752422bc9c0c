//! An instance of the orchestrator: the real loop, keeper and door, on this world's database and bus.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use orchestrator::engine::stepwise::{Door, Leases, Stepwise, Turns};
use orchestrator::engine::{Acks, EngineParts, MAX_MOVING};
use orchestrator::store::InstanceId;
use saga_model::Micros;
use saga_model::micros::Millis;
use service::telemetry::Tracer;

use super::bus::SimBus;
use super::common::{Common, LINGER_AFTER};
use super::disk::Disk;
use super::drive::{Slot, poll_once};
use super::ground::{Ground, SeededIds};
use super::life::Life;
use super::store::SimStore;

/// How long a lease is.
pub const LEASE: Millis = Millis(3_000);

/// See the module.
pub struct Instance {
    pub life: Arc<Life>,
    pub bus: Arc<SimBus>,
    pub turns: Slot<Turns>,
    pub leases: Slot<Leases>,
    pub look: Option<Pin<Box<dyn Future<Output = ()>>>>,
    pub door: Door,
    /// It stands still until then.
    pub asleep: Option<Micros>,
}

impl Instance {
    pub fn start(ground: &Arc<Ground>, disk: &Arc<Disk>, common: &Common, policy: usize, name: String) -> Self {
        let now = ground.now();
        let life = Arc::new(Life::new(name.clone(), now));
        let acks = Arc::new(Acks::default());
        let bus = Arc::new(SimBus::new(Arc::clone(ground), Arc::clone(&life), &acks));
        let store = SimStore { ground: Arc::clone(ground), disk: Arc::clone(disk), life: Arc::clone(&life) };
        let shard_count = ground.net().shards;
        let parts = EngineParts {
            store: Arc::new(store),
            bus: Arc::clone(&bus) as _,
            acks,
            max_moving: MAX_MOVING,
            linger_after: LINGER_AFTER[policy],
            ids: Arc::new(SeededIds(Arc::clone(ground))),
            definitions: Arc::clone(&common.definitions[policy].0),
            shard_count,
            instance: InstanceId(name),
            lease: LEASE,
            now,
            meters: common.meters.clone(),
            tracer: Tracer::OFF,
        };
        let Stepwise { turns, leases, door } = Stepwise::new(parts, Arc::clone(&life.clock));
        Self {
            life,
            bus,
            turns: Slot::Idle(Box::new(turns)),
            leases: Slot::Idle(Box::new(leases)),
            look: None,
            door,
            asleep: None,
        }
    }

    /// Whether it can do something now.
    pub fn is_awake(&self, now: Micros) -> bool {
        !self.life.is_over() && self.asleep.is_none_or(|until| until <= now)
    }

    /// One turn of its loop, or a part of one.
    pub async fn turn(&mut self) {
        self.turns
            .step(|mut turns| async move {
                turns.turn().await;
                turns
            })
            .await;
    }

    /// One round of its keeper, or a part of one.
    pub async fn round(&mut self) {
        self.leases
            .step(|mut leases| async move {
                // It tries again at the next round.
                let _away = leases.round().await;
                leases
            })
            .await;
    }

    /// One look at the broker, or a part of one.
    pub async fn look(&mut self) {
        let look = self.look.get_or_insert_with(|| Box::pin(self.door.clone().look()));
        if poll_once(look).await.is_some() {
            self.look = None;
        }
    }

    /// Replies are handed over, if there are any.
    pub async fn deliver(&self, most: usize) {
        let replies = self.bus.read(most);
        if !replies.is_empty() {
            self.door.deliver(replies).await;
        }
    }

    /// Its clock goes on; a difference to the database's is worked off, and never jumped.
    pub fn tick(&self, span: i64, database: Micros) {
        let clock = &self.life.clock;
        let plain = clock.load(Ordering::Relaxed) + span;
        let slew = (database.0 - plain).clamp(-span / 10, span / 10) / 1_000 * 1_000;
        clock.store(plain + slew, Ordering::Relaxed);
    }

    /// When one of its timers is due.
    pub fn next_due(&self) -> Option<Micros> {
        self.turns.idle()?.next_due(self.life.now())
    }
}
