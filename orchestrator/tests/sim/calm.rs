//! After the faults: everything that is there works, time passes, and all has to come to rest.

use super::rules;
use super::world::World;

/// Rounds after which what has not come to rest never will.
const ROUNDS: usize = 400;

impl World<'_> {
    /// Nothing goes wrong any more.
    pub async fn calm_down(&mut self) {
        self.ground.tell(|| "-- from here on nothing goes wrong".to_owned());
        self.ground.chance().calm();
        self.disk.close_all();
        for place in 0..self.instances.len() {
            if self.instances[place].life.is_over() {
                self.restart(place);
            }
            let instance = &mut self.instances[place];
            instance.asleep = None;
            instance.bus.set_full(false);
            instance.life.go_on();
        }
    }

    /// Everybody does what there is to do, in turn, until all rests; whether it does.
    pub async fn come_to_rest(&mut self) -> bool {
        let mut quiet = 0;
        for _ in 0..ROUNDS {
            if self.ground.oracle().wrong.is_some() {
                return true;
            }
            self.round().await;
            rules::memory(self);
            quiet = if rules::unrest(self).is_none() { quiet + 1 } else { 0 };
            if quiet >= 2 {
                return true;
            }
            let millis = self.until_due().unwrap_or(300).clamp(1, 1_500);
            self.pass(millis.max(if quiet > 0 { 600 } else { 1 })).await;
        }
        false
    }

    async fn round(&mut self) {
        while !self.ground.net().late.is_empty() {
            self.arrive();
        }
        for place in 0..self.instances.len() {
            let instance = &mut self.instances[place];
            instance.round().await;
            instance.turn().await;
            instance.round().await;
            instance.bus.hear();
            instance.deliver(16).await;
            // The next look finds them.
            let _away = instance.door.take_requests().await;
            instance.turn().await;
            instance.look().await;
            instance.turn().await;
            instance.look().await;
        }
        let ground = std::sync::Arc::clone(&self.ground);
        self.callers.step(&ground, |_| true).await;
        tokio::task::yield_now().await;
        self.settle_workers().await;
        self.shop.sell(true);
    }

    /// The workers do what there is to do.
    pub async fn settle_workers(&mut self) {
        for worker in &mut self.workers {
            for _ in 0..12 {
                worker.thaw();
                worker.step_frozen().await;
                if !worker.has_work(&self.ground) {
                    break;
                }
                worker.step(&self.shop).await;
                tokio::task::yield_now().await;
            }
        }
    }

    /// All commands come again, and all replies: nothing may come of it.
    pub async fn linger(&mut self) {
        self.ground.tell(|| "-- all commands and replies come again".to_owned());
        self.ground.oracle().over = true;
        for worker in &mut self.workers {
            worker.rewind(&self.ground);
        }
        self.pass(5_000).await;
        for _ in 0..4 {
            self.settle_workers().await;
            self.pass(20).await;
        }
        for _ in 0..6 {
            self.round().await;
            self.pass(200).await;
        }
    }
}
