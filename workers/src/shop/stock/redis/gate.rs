//! What Redis holds, and the calls that change it.
//!
//! Under one hash tag: the marker (`<generation>@<run_id>`), and for the generation a hash of available units and a
//! record for each reservation, its lines or `X` once it is kept out. Records live for a day. They are there for the
//! moments in which a worker may die between Redis and SQL, and for those who wake up late; SQL remembers for ever.
//! So do the notes that what an earlier generation admitted was put back.

use std::collections::{BTreeSet, HashMap};
use std::sync::LazyLock;
use std::time::Duration;

use redis::{RedisError, Script};
use uuid::Uuid;

use super::link::{Link, Live};
use crate::participant::EffectKey;
use crate::shop::stock::shelf::write_lines;
use crate::shop::stock::{Level, Want};
use crate::trouble::{Part, Trouble};

static RESERVE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("reserve.lua")));
static RELEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("release.lua")));
static LEARN: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("learn.lua")));
static FLIP: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("flip.lua")));

/// How long records live.
const RECORDS: Duration = Duration::from_secs(24 * 3600);
/// Products that are loaded in one command.
const CHUNK: usize = 1_000;
/// A field of the hash of units that no product has: written first, so that it is there if everything is.
const FIRST: &str = "loaded";
/// How long a load is kept that was given up (s).
const UNFINISHED: i64 = 3600;
/// How often a load is begun anew that Redis forgot meanwhile.
const LOADS: usize = 8;

/// Redis, as far as it is ours.
#[derive(Debug)]
pub(in crate::shop::stock) struct Gate {
    link: Link,
    /// What every key begins with: a hash tag, so that one node of a cluster holds them all.
    tag: String,
}

/// What Redis makes of a want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shop::stock) enum Admitted {
    /// The units are set apart, now or before.
    Taken,
    /// Its record says that it is kept out.
    Out,
    /// The line at that index is short of units.
    Short { line: usize, available: i64 },
    /// The product of the line at that index is not known here.
    Unknown { line: usize },
}

/// What to put back; see `release.lua`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shop::stock) enum PutBack<'a> {
    KeepOut(&'a str),
    Return(&'a str),
    Drop,
    Forget,
}

/// Redis is not in the generation that was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::shop::stock) struct Stale;

impl Gate {
    pub(in crate::shop::stock) fn new(url: &str, name: &str, patience: Duration) -> Result<Self, RedisError> {
        Ok(Self { link: Link::new(url, patience)?, tag: format!("{{{name}}}") })
    }

    pub(in crate::shop::stock) async fn ping(&self) -> Result<(), Trouble> {
        self.link.ping().await
    }

    fn marker_key(&self) -> String {
        format!("{}:generation", self.tag)
    }

    fn shelf_key(&self, generation: i64) -> String {
        format!("{}:{generation}:available", self.tag)
    }

    fn record_prefix(&self, generation: i64) -> String {
        format!("{}:{generation}:", self.tag)
    }

    /// Whether Redis holds that generation, loaded into this very process of Redis.
    pub(in crate::shop::stock) async fn holds(&self, generation: i64) -> Result<bool, Trouble> {
        let live = self.link.live().await?;
        let (found,): (Option<String>,) = self.link.pipe(&live, redis::pipe().get(self.marker_key())).await?;
        Ok(found == Some(marker(generation, &live)))
    }

    /// Loads a generation, which nobody else loads. It counts from when this returns; until then the one before does.
    pub(in crate::shop::stock) async fn load(&self, generation: i64, levels: &[Level]) -> Result<(), Trouble> {
        for _ in 0..LOADS {
            if self.fill_and_flip(generation, levels).await? {
                return Ok(());
            }
        }
        let detail = "it forgets what it is loaded with".to_owned();
        Err(Trouble::Away { part: Part::Redis, detail })
    }

    /// Whether all of it was there in the end.
    async fn fill_and_flip(&self, generation: i64, levels: &[Level]) -> Result<bool, Trouble> {
        let live = self.link.live().await?;
        let (shelf, marker_key) = (self.shelf_key(generation), self.marker_key());
        let mut begin = redis::pipe();
        begin.del(&shelf).ignore().hset(&shelf, FIRST, 1).ignore().expire(&shelf, UNFINISHED).ignore();
        let () = self.link.pipe(&live, &begin).await?;
        for chunk in levels.chunks(CHUNK) {
            let units: Vec<(String, i64)> =
                chunk.iter().map(|level| (level.sku.to_string(), level.available())).collect();
            let () = self.link.pipe(&live, redis::pipe().hset_multiple(&shelf, &units).ignore()).await?;
        }
        let arguments = [marker(generation, &live), FIRST.to_owned()];
        let answer: Vec<String> = self.link.script(&live, &FLIP, [&marker_key, &shelf], &arguments).await?;
        if answer.first().is_none_or(|word| word != "OK") {
            return Ok(false);
        }
        let before = answer.get(1).and_then(|before| before.split_once('@')?.0.parse::<i64>().ok());
        if let Some(before) = before.filter(|before| *before != generation) {
            let () = self.link.pipe(&live, redis::pipe().unlink(self.shelf_key(before)).ignore()).await?;
        }
        Ok(true)
    }

    /// Sets units apart for a batch.
    pub(in crate::shop::stock) async fn reserve(
        &self,
        generation: i64,
        wants: &[&Want],
    ) -> Result<Result<Vec<Admitted>, Stale>, Trouble> {
        let lines = || wants.iter().flat_map(|want| want.lines.iter());
        let products: BTreeSet<Uuid> = lines().map(|line| line.sku).collect();
        let place: HashMap<Uuid, usize> = products.iter().copied().zip(1..).collect();
        let mut each = Vec::with_capacity(products.len() + 2 + wants.len() * 3 + lines().count() * 2);
        each.push(products.len().to_string());
        each.extend(products.iter().map(Uuid::to_string));
        each.push(wants.len().to_string());
        for want in wants {
            each.extend([name(&want.key), write_lines(&want.lines), want.lines.len().to_string()]);
            for line in want.lines.iter() {
                // All are in it; Redis knows no product in place 0.
                let place = place.get(&line.sku).copied().unwrap_or_default();
                each.extend([place.to_string(), line.quantity.to_string()]);
            }
        }
        let answers: Vec<String> = self.run(&RESERVE, generation, each).await?;
        let Some((first, answers)) = answers.split_first() else { return Err(nonsense(&answers)) };
        if first == "STALE" {
            return Ok(Err(Stale));
        }
        let (each, rest) = answers.as_chunks::<3>();
        if each.len() != wants.len() || !rest.is_empty() {
            return Err(nonsense(answers));
        }
        Ok(Ok(each.iter().map(admitted).collect::<Option<_>>().ok_or_else(|| nonsense(answers))?))
    }

    /// Puts units back, each reservation once.
    pub(in crate::shop::stock) async fn release(
        &self,
        generation: i64,
        what: &[(EffectKey, PutBack<'_>)],
    ) -> Result<Result<(), Stale>, Trouble> {
        let mut each = Vec::with_capacity(1 + what.len() * 3);
        each.push(what.len().to_string());
        for (key, what) in what {
            let (what, lines) = match what {
                PutBack::KeepOut(lines) => ("keep-out", *lines),
                PutBack::Return(lines) => ("return", *lines),
                PutBack::Drop => ("drop", ""),
                PutBack::Forget => ("forget", ""),
            };
            each.extend([name(key), what.to_owned(), lines.to_owned()]);
        }
        let answer: String = self.run(&RELEASE, generation, each).await?;
        Ok(fresh(&answer))
    }

    /// Makes products known.
    pub(in crate::shop::stock) async fn learn(
        &self,
        generation: i64,
        units: impl IntoIterator<Item = (Uuid, i64)>,
    ) -> Result<Result<(), Stale>, Trouble> {
        let live = self.link.live().await?;
        let mut arguments = vec![marker(generation, &live)];
        arguments.extend(units.into_iter().flat_map(|(sku, units)| [sku.to_string(), units.to_string()]));
        let keys = [self.marker_key(), self.shelf_key(generation)];
        let answer: String = self.link.script(&live, &LEARN, [&keys[0], &keys[1]], &arguments).await?;
        Ok(fresh(&answer))
    }

    async fn run<T: redis::FromRedisValue>(
        &self,
        script: &Script,
        generation: i64,
        each: Vec<String>,
    ) -> Result<T, Trouble> {
        let live = self.link.live().await?;
        let mut arguments =
            vec![marker(generation, &live), self.record_prefix(generation), RECORDS.as_secs().to_string()];
        arguments.extend(each);
        let keys = [self.marker_key(), self.shelf_key(generation)];
        self.link.script(&live, script, [&keys[0], &keys[1]], &arguments).await
    }
}

fn marker(generation: i64, live: &Live) -> String {
    format!("{generation}@{}", live.run_id)
}

fn name(key: &EffectKey) -> String {
    format!("{}/{}/{}", key.saga, key.step, key.round)
}

fn fresh(answer: &str) -> Result<(), Stale> {
    if answer == "STALE" { Err(Stale) } else { Ok(()) }
}

fn admitted([what, line, available]: &[String; 3]) -> Option<Admitted> {
    Some(match what.as_str() {
        "taken" => Admitted::Taken,
        "out" => Admitted::Out,
        "short" => Admitted::Short { line: line.parse().ok()?, available: available.parse().ok()? },
        "unknown" => Admitted::Unknown { line: line.parse().ok()? },
        _ => return None, // not a word of reserve.lua
    })
}

fn nonsense(answer: &[String]) -> Trouble {
    Trouble::Away { part: Part::Redis, detail: format!("it answers what no script of ours says: {answer:?}") }
}
