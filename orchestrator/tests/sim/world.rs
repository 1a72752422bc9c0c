//! One world: everything that runs in it, and one thing after the other that happens there, by chance.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use orchestrator::store::memory::MemoryStore;
use orchestrator::store::{InstanceId, Store};
use saga_model::Micros;
use saga_model::ids::ShardCount;

use super::callers::{Callers, Operators};
use super::common::Common;
use super::disk::Disk;
use super::fault::Fault;
use super::ground::Ground;
use super::instance::{Instance, LEASE};
use super::rules;
use super::worker::{Shop, Worker};

/// How large a world is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub shards: ShardCount,
    pub instances: usize,
    pub wishes: usize,
    pub steps: usize,
    pub policy: usize,
}

impl Size {
    pub fn any(rng: &mut fastrand::Rng, policies: usize) -> Self {
        Self {
            shards: ShardCount::new([1, 2, 2, 4][rng.usize(..4)]).unwrap(),
            instances: [1, 1, 2, 2, 3][rng.usize(..5)],
            wishes: [1, 1, 1, 2, 2, 3][rng.usize(..6)],
            steps: rng.usize(30..120),
            policy: rng.usize(..policies),
        }
    }
}

/// See the module.
pub struct World<'a> {
    pub ground: Arc<Ground>,
    pub common: &'a Common,
    pub disk: Arc<Disk>,
    pub size: Size,
    pub instances: Vec<Instance>,
    pub shop: Shop,
    pub workers: Vec<Worker>,
    pub callers: Callers,
    pub operators: Operators,
    started: usize,
}

impl<'a> World<'a> {
    pub fn new(ground: Arc<Ground>, common: &'a Common, size: Size) -> Self {
        let time = Arc::clone(&ground.time);
        let clock = Arc::new(move || Micros(time.load(Ordering::Relaxed)));
        let disk = Arc::new(Disk::new(Arc::clone(&ground), MemoryStore::new(size.shards, clock)));
        let callers = Callers::new(&mut ground.chance().rng, size.wishes);
        let shop = Shop::new(Arc::clone(&ground), common);
        let workers = (0..3).map(|topic| Worker::new(&shop, topic)).collect();
        let (instances, operators) = (Vec::new(), Operators::default());
        let mut world = Self { ground, common, disk, size, instances, shop, workers, callers, operators, started: 0 };
        for _ in 0..size.instances {
            let instance = world.start();
            world.instances.push(instance);
        }
        world
    }

    fn start(&mut self) -> Instance {
        self.started += 1;
        // A name says nothing of the age: the order of names decides who gets which share.
        let name = format!("i{}", char::from(b'A' + (self.started * 7 % 26) as u8));
        self.ground.tell(|| format!("{name} starts"));
        Instance::start(&self.ground, &self.disk, self.common, self.size.policy, name)
    }

    /// Starts an instance in place of one that is dead.
    pub fn restart(&mut self, place: usize) {
        let instance = self.start();
        self.instances[place] = instance;
    }

    /// Time goes on, by whole milliseconds.
    pub async fn pass(&mut self, millis: i64) {
        let database = self.ground.time.fetch_add(millis * 1_000, Ordering::Relaxed) + millis * 1_000;
        for instance in &self.instances {
            instance.tick(millis * 1_000, Micros(database));
        }
        tokio::time::advance(Duration::from_millis(millis.unsigned_abs())).await;
    }

    /// Milliseconds until the next timer of an instance is due.
    pub fn until_due(&self) -> Option<i64> {
        let due = |instance: &Instance| Some(instance.next_due()?.since(instance.life.now()));
        let next = self.instances.iter().filter(|instance| !instance.life.is_over()).filter_map(due).min()?;
        Some(next / 1_000 + 1)
    }

    /// The instances start one after the other, in most worlds, before anything else happens.
    pub async fn begin(&mut self) {
        if self.ground.chance().one_in(4) {
            return;
        }
        for _ in 0..2 {
            for instance in self.instances.iter_mut().filter(|instance| !instance.life.is_over()) {
                instance.round().await;
                instance.turn().await;
                instance.round().await;
            }
        }
    }

    /// Something happens.
    pub async fn step(&mut self) {
        self.trouble().await;
        let dice = self.ground.chance().rng.u32(..100);
        let place = self.ground.chance().rng.usize(..self.instances.len());
        match dice {
            0..8 => self.wish(place),
            8..20 => {
                self.work().await;
                rules::effects(self);
            }
            20..28 => self.time().await,
            28..31 => {
                let mark = !self.ground.hit(Fault::MarkLost);
                self.shop.sell(mark);
                rules::effects(self);
            }
            31..35 => self.arrive(),
            _ => {
                self.instance(place, dice).await;
                rules::memory(self);
            }
        }
        self.hear().await;
        // What was begun aside goes on.
        tokio::task::yield_now().await;
    }

    async fn instance(&mut self, place: usize, dice: u32) {
        let now = self.ground.now();
        if self.instances[place].life.is_over() {
            if self.ground.chance().one_in(3) {
                self.restart(place);
            }
            return;
        }
        let instance = &mut self.instances[place];
        if !instance.is_awake(now) {
            return;
        }
        instance.asleep = None;
        if instance.life.is_waiting() && self.ground.chance().one_in(3) {
            instance.life.go_on();
        }
        match dice {
            35..65 => instance.turn().await,
            65..73 => instance.round().await,
            73..84 => {
                let most = self.ground.chance().rng.usize(1..5);
                instance.deliver(most).await;
                instance.turn().await;
            }
            84..90 => {
                instance.bus.hear();
                instance.turn().await;
            }
            90..96 => {
                instance.look().await;
                instance.turn().await;
                instance.look().await;
            }
            _ => {
                // The next look finds them.
                let _away = super::drive::poll_once(Box::pin(instance.door.take_requests())).await;
            }
        }
    }

    /// Callers hear, and those who have crashed are noticed.
    async fn hear(&mut self) {
        if self.callers.are_waiting() {
            let now = self.ground.now();
            let instances = &self.instances;
            let awake = |life: &super::life::Life| {
                instances.iter().any(|instance| instance.life.name == life.name && instance.is_awake(now))
            };
            self.callers.step(&self.ground, awake).await;
        }
    }

    /// Somebody asks for a saga.
    fn wish(&mut self, place: usize) {
        let now = self.ground.now();
        if !self.instances[place].is_awake(now) {
            return;
        }
        if self.callers.next < self.callers.wishes.len() {
            let wish = self.callers.next;
            self.callers.next += 1;
            self.callers.ask(&self.ground, &self.instances[place], wish);
        } else if self.ground.hit(Fault::CallerAgain) {
            let wish = self.ground.chance().rng.usize(..self.callers.wishes.len());
            self.callers.ask(&self.ground, &self.instances[place], wish);
        }
    }

    async fn work(&mut self) {
        let topic = self.ground.chance().rng.usize(..self.workers.len());
        let worker = &mut self.workers[topic];
        if worker.has_frozen() && self.ground.chance().one_in(4) {
            worker.thaw();
        }
        worker.step_frozen().await;
        if worker.has_work(&self.ground) {
            worker.step(&self.shop).await;
            tokio::task::yield_now().await;
            worker.step(&self.shop).await;
        }
    }

    async fn time(&mut self) {
        let dice = self.ground.chance().rng.u32(..20);
        let millis = match dice {
            0..13 => self.ground.chance().rng.i64(1..80),
            13..18 => self.until_due().unwrap_or(200).min(3_000),
            18 => self.ground.chance().rng.i64(200..1_500),
            _ => LEASE.0 as i64 + 100,
        };
        self.pass(millis).await;
    }

    /// One of the late replies arrives.
    pub fn arrive(&mut self) {
        let mut net = self.ground.net();
        if !net.late.is_empty() {
            let at = self.ground.chance().rng.usize(..net.late.len());
            let late = net.late.swap_remove(at);
            net.reply(late.shard, late.incoming);
        }
    }

    /// What may go wrong at any moment.
    async fn trouble(&mut self) {
        let ground = Arc::clone(&self.ground);
        let any = |world: &Self| ground.chance().rng.usize(..world.instances.len());
        if ground.hit(Fault::Freeze) {
            let (place, millis) = (any(self), ground.chance().rng.i64(10..1_500));
            self.instances[place].asleep = Some(ground.now().plus(millis * 1_000));
        }
        if ground.hit(Fault::FreezeForLong) {
            let place = any(self);
            self.instances[place].asleep = Some(ground.now().plus(LEASE.micros() * 3 / 2));
        }
        if ground.hit(Fault::Leave) {
            let place = any(self);
            self.leave(place).await;
        }
        if ground.hit(Fault::Backlog) {
            let (place, full) = (any(self), ground.chance().one_in(2));
            self.instances[place].bus.set_full(full);
        }
        if ground.hit(Fault::ClockJumps) {
            let millis = ground.chance().rng.i64(-5_000..8_000);
            ground.time.fetch_add(millis * 1_000, Ordering::Relaxed);
        }
        if ground.hit(Fault::CommandsLost) {
            let topic = ground.chance().rng.usize(..3);
            for partition in &mut ground.net().commands[topic] {
                partition.begin = partition.messages.len();
                partition.cut = true;
            }
        }
        if self.disk.has_open() && ground.chance().one_in(8) {
            self.disk.close_all();
        }
        if ground.hit(Fault::Operator) {
            self.operators.ask(&ground, &self.disk.memory).await;
        }
        if ground.hit(Fault::Withdrawal) {
            self.operators.withdraw(&ground, &self.disk.memory).await;
        }
        let hung_up = ground.hit(Fault::CallerAgain).then(|| self.callers.hang_up(&mut ground.chance().rng)).flatten();
        if let Some(wish) = hung_up {
            let place = any(self);
            if self.instances[place].is_awake(ground.now()) {
                self.callers.ask(&ground, &self.instances[place], wish);
            }
        }
    }

    /// An instance ends in order, as far as the database is concerned.
    async fn leave(&mut self, place: usize) {
        let instance = &self.instances[place];
        if !instance.life.is_over() {
            instance.life.end();
            let name = InstanceId(instance.life.name.clone());
            // What it did not give up expires.
            let _away = self.disk.memory.leave(&name).await;
        }
    }
}
