//! One seed, from the beginning of its world to the end.

use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};

use super::bugs::Bug;
use super::common::Common;
use super::fault::{Chance, Fault, Kept};
use super::ground::Ground;
use super::net::Net;
use super::oracle::{Oracle, Wrong};
use super::rules;
use super::world::{Size, World};

/// What makes a run what it is.
#[derive(Debug, Clone, Default)]
pub struct Recipe {
    pub seed: u64,
    pub bug: Option<Bug>,
    pub kept: Kept,
    /// Whether the story is kept.
    pub told: bool,
}

/// What became of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub wrong: Option<Wrong>,
    /// The faults that happened, with their numbers.
    pub faults: Vec<(u32, Fault)>,
    pub story: Vec<String>,
    /// The rows that were stored: two runs of one recipe have the same.
    pub rows: usize,
    /// A number that differs if anything was different.
    pub trace: u64,
}

/// Runs worlds, one after the other, in one thread.
pub struct Simulator {
    common: Common,
    runtime: Runtime,
}

impl Simulator {
    pub fn new() -> Self {
        // Time is the world's: it stands still unless the world moves it.
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        Self { common: Common::new(), runtime }
    }

    /// Runs one recipe.
    pub fn run(&self, recipe: &Recipe) -> Outcome {
        self.runtime.block_on(run(&self.common, recipe))
    }
}

async fn run(common: &Common, recipe: &Recipe) -> Outcome {
    tokio::task::yield_now().await;
    let mut chance = Chance::new(recipe.seed, recipe.kept.clone());
    let size = Size::any(&mut chance.rng, common.definitions.len());
    let clocks_agree = !chance.is_on(Fault::ClockJumps);
    let definition = Arc::clone(&common.definitions[size.policy].1);
    let oracle = Oracle::new(definition, clocks_agree, !chance.is_on(Fault::Poison));
    let ground = Arc::new(Ground::new(chance, Net::new(size.shards), oracle, recipe.bug, recipe.told));
    let mut world = World::new(Arc::clone(&ground), common, size);
    live(&mut world).await;
    world.workers.iter_mut().for_each(|worker| worker.end());
    for instance in &world.instances {
        instance.life.end();
    }
    drop(world);
    tokio::task::yield_now().await;
    let oracle = ground.oracle();
    let rows = oracle.sagas.values().map(|log| log.rows.len()).sum();
    let mut chance = ground.chance();
    let trace = chance.rng.u64(..) ^ rows as u64;
    let faults = chance.hits.clone();
    Outcome { wrong: oracle.wrong.clone(), faults, story: ground.story(), rows, trace }
}

async fn live(world: &mut World<'_>) {
    let ground = Arc::clone(&world.ground);
    let is_wrong = || ground.oracle().wrong.is_some();
    world.begin().await;
    for _ in 0..world.size.steps {
        world.step().await;
        if is_wrong() {
            return;
        }
    }
    world.calm_down().await;
    if !world.come_to_rest().await {
        let what = rules::unrest(world).map(|unrest| unrest.to_string()).unwrap_or_default();
        ground.oracle().object("ComesToRest", what);
    }
    if is_wrong() {
        return;
    }
    rules::at_rest(world);
    if is_wrong() || !ground.chance().one_in(4) {
        return;
    }
    world.linger().await;
    rules::at_rest(world);
}
