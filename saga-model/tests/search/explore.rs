//! Breadth-first search of everything that a model can do.
//!
//! States are told apart by a fingerprint of 128 bits (SipHash), so the set of those that were seen costs about
//! thirty bytes a state whatever a state is; two of a thousand million states share a fingerprint with a chance of
//! 2^-69. Whole states live only in the frontier. For each state the ordinal of the one that it was reached from is
//! kept, and which of its steps it was: enough to walk the shortest way to a violation again.

use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use siphasher::sip128::{Hasher128, SipHasher13};

use super::model::{Model, Steps, Wrong};
use super::seen::Seen;

/// When to stop.
#[derive(Clone, Copy)]
pub struct Limits {
    pub threads: usize,
    /// After so many states, though there are more.
    pub states: u64,
}

/// How far a search is, for whoever watches it.
#[derive(Default)]
pub struct Progress {
    pub states: AtomicU64,
    pub steps: AtomicU64,
    pub depth: AtomicU32,
    /// States that are known and whose steps are not.
    pub frontier: AtomicU64,
    /// Set by a watcher: the search ends as soon as it can.
    pub stop: AtomicBool,
}

/// What a search found.
pub struct Found {
    pub states: u64,
    pub steps: u64,
    /// The length of the shortest way to the farthest state.
    pub depth: u32,
    /// Whether these are all states.
    pub complete: bool,
    pub took: Duration,
    pub violation: Option<Violation>,
}

/// The shortest way to a state in which a property does not hold.
pub struct Violation {
    pub what: String,
    pub trace: Vec<String>,
    /// What follows if all goes well from there on, where only that shows what is wrong.
    pub way: Vec<String>,
}

/// States that go from hand to hand together.
const CHUNK: usize = 2048;

/// Found states, with the ordinal that each was reached from and the number of the step.
struct Chunk<S> {
    first: u32,
    states: Vec<S>,
    from: Vec<(u32, u16)>,
}

impl<S> Chunk<S> {
    fn new() -> Self {
        Self { first: 0, states: Vec::with_capacity(CHUNK), from: Vec::with_capacity(CHUNK) }
    }
}

struct Broken {
    from: u32,
    /// None if the state itself is wrong.
    step: Option<u16>,
    wrong: Wrong,
}

struct Search<'m, M: Model> {
    model: &'m M,
    limits: Limits,
    progress: &'m Progress,
    seen: Seen,
    todo: Mutex<Vec<Chunk<M::State>>>,
    found: Mutex<Vec<Chunk<M::State>>>,
    broken: Mutex<Option<Broken>>,
}

/// Visits every state once, the near ones first.
pub fn explore<M: Model>(model: &M, limits: Limits, progress: &Progress) -> Found {
    let began = Instant::now();
    let search = Search {
        model,
        limits,
        progress,
        seen: Seen::default(),
        todo: Mutex::default(),
        found: Mutex::default(),
        broken: Mutex::default(),
    };
    // Of each state by ordinal: where it came from. The first one came from nowhere.
    let mut from: Vec<u32> = vec![0];
    let mut choice: Vec<u16> = vec![0];
    let start = model.start();
    search.seen.insert(fingerprint(&start));
    progress.states.store(1, Relaxed);
    if let Err(wrong) = model.check(&start) {
        *lock(&search.broken) = Some(Broken { from: 0, step: None, wrong });
    }
    lock(&search.todo).push(Chunk { first: 0, states: vec![start], from: Vec::new() });
    let mut depth = 0;
    loop {
        let wide: usize = lock(&search.todo).iter().map(|chunk| chunk.states.len()).sum();
        progress.depth.store(depth, Relaxed);
        progress.frontier.store(wide as u64, Relaxed);
        if wide == 0 || search.is_over() {
            break;
        }
        // A narrow level is not worth a second thread.
        std::thread::scope(|scope| {
            for _ in 1..limits.threads.min(wide.div_ceil(CHUNK / 8)) {
                scope.spawn(|| search.work());
            }
            search.work();
        });
        let mut level = std::mem::take(&mut *lock(&search.found));
        for chunk in &mut level {
            chunk.first = u32::try_from(from.len()).unwrap_or(u32::MAX);
            for (parent, step) in std::mem::take(&mut chunk.from) {
                from.push(parent);
                choice.push(step);
            }
        }
        // The next level takes its chunks from the end.
        level.reverse();
        if !level.is_empty() {
            depth += 1;
        }
        *lock(&search.todo) = level;
    }
    let complete = lock(&search.todo).is_empty() && lock(&search.broken).is_none();
    let broken = lock(&search.broken).take();
    Found {
        states: progress.states.load(Relaxed),
        steps: progress.steps.load(Relaxed),
        depth,
        complete,
        took: began.elapsed(),
        violation: broken.map(|broken| retrace(model, &from, &choice, broken)),
    }
}

impl<M: Model> Search<'_, M> {
    fn is_over(&self) -> bool {
        self.progress.stop.load(Relaxed)
            || self.progress.states.load(Relaxed) >= self.limits.states.min(u64::from(u32::MAX))
            || lock(&self.broken).is_some()
    }

    /// Takes chunks of the level until there are none.
    fn work(&self) {
        let mut steps = Steps::default();
        let mut found = Chunk::new();
        while !self.is_over() {
            let Some(chunk) = lock(&self.todo).pop() else { break };
            let mut taken = 0;
            for (ordinal, state) in (chunk.first..).zip(&chunk.states) {
                self.model.next(state, &mut steps);
                taken += steps.list.len() as u64;
                for (number, (_, step)) in (0..).zip(steps.list.drain(..)) {
                    let wrong = match step {
                        Ok(next) => self.visit(&mut found, ordinal, number, next),
                        Err(what) => Some(what.into()),
                    };
                    if let Some(wrong) = wrong {
                        lock(&self.broken).get_or_insert(Broken { from: ordinal, step: Some(number), wrong });
                    }
                }
            }
            self.progress.steps.fetch_add(taken, Relaxed);
            self.progress.frontier.fetch_sub(chunk.states.len() as u64, Relaxed);
        }
        self.hand_over(found);
    }

    /// Notes a state, unless it is known; answers with what is wrong with it.
    fn visit(&self, found: &mut Chunk<M::State>, from: u32, number: u16, state: M::State) -> Option<Wrong> {
        if !self.seen.insert(fingerprint(&state)) {
            return None;
        }
        self.progress.states.fetch_add(1, Relaxed);
        let wrong = self.model.check(&state).err();
        found.states.push(state);
        found.from.push((from, number));
        if found.states.len() == CHUNK {
            self.hand_over(std::mem::replace(found, Chunk::new()));
        }
        wrong
    }

    fn hand_over(&self, chunk: Chunk<M::State>) {
        if !chunk.states.is_empty() {
            lock(&self.found).push(chunk);
        }
    }
}

/// Walks from the start to the violation again.
fn retrace<M: Model>(model: &M, from: &[u32], choice: &[u16], broken: Broken) -> Violation {
    let mut choices: Vec<u16> = broken.step.into_iter().collect();
    let mut at = broken.from as usize;
    while at > 0 {
        choices.push(choice[at]);
        at = from[at] as usize;
    }
    let mut state = model.start();
    let mut trace = Vec::new();
    for number in choices.into_iter().rev() {
        let mut steps = Steps::default();
        model.next(&state, &mut steps);
        let (action, next) = steps.list.swap_remove(usize::from(number));
        trace.push(model.tell(&state, action));
        match next {
            Ok(next) => state = next,
            Err(_) => break,
        }
    }
    let Wrong { what, way } = broken.wrong;
    Violation { what, trace, way }
}

pub fn fingerprint<S: Hash>(state: &S) -> u128 {
    let mut hasher = SipHasher13::new();
    state.hash(&mut hasher);
    let _: u64 = hasher.finish();
    hasher.finish128().as_u128()
}

/// A thread that panicked leaves a broken search, whose panic ends the process anyway.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
