//! Stock with Redis in front of Postgres.
//!
//! ```text
//!   reserve:  Redis admits the batch -> SQL enters it, comparing the generation -> the answer
//!   release:  SQL, then Redis (if it was loaded before that), then the answer
//!   sell:     SQL alone: what is available does not change
//! ```
//!
//! A worker that dies between Redis and SQL leaves units set apart in Redis for an order that is not on record: the
//! same command comes again, finds them by its name and enters them, or its compensation puts them back. What Redis
//! forgets is loaded from SQL; what it never should have admitted SQL refuses, and Redis is loaded anew.

pub(super) mod gate;
mod link;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use redis::RedisError;
use saga_model::SagaId;
use tokio::sync::Mutex;
use uuid::Uuid;

use self::gate::{Admitted, Gate, PutBack, Stale};
use super::books::{Booked, Books};
use super::shelf::write_lines;
use super::sql::rows::{Reservation, State};
use super::sql::{self, rows};
use super::{Change, Changed, Level, Reserved, StepKey, Stock, Want, rebuild};
use crate::participant::EffectKey;
use crate::sql::{Db, Pool, WrongDatabase};
use crate::trouble::{Part, Trouble};

/// Stock in Postgres, admitted by Redis.
#[derive(Debug)]
pub struct RedisStock {
    db: Db,
    books: Books,
    gate: Gate,
    /// How many units of a product there are that is asked for the first time; none if it is then unknown.
    default_stock: Option<i64>,
    /// The generation that counted when it was last looked at; 0 if it never was.
    generation: AtomicI64,
    /// Held by the one who looks after the generation.
    looking: Mutex<()>,
}

/// Why there is no such stock.
#[derive(Debug, thiserror::Error)]
pub enum CannotStock {
    #[error("REDIS_URL: {0}")]
    Redis(#[from] RedisError),
    #[error("Redis stands in front of Postgres only: {0}")]
    Database(#[from] WrongDatabase),
}

/// How often a batch is tried in one generation after another before its caller has to wait.
const GENERATIONS: usize = 8;

impl RedisStock {
    /// Stock in `db` with the Redis at `url`, whose keys begin with `name`. Each answer of Redis is waited for so long.
    ///
    /// # Errors
    /// If the URL makes no sense, or `db` is no Postgres. Nobody is asked yet.
    pub fn new(
        db: Db,
        url: &str,
        name: &str,
        patience: Duration,
        default_stock: Option<i64>,
    ) -> Result<Self, CannotStock> {
        let Pool::Postgres(pool) = &db.pool else { return Err(WrongDatabase.into()) };
        let books = Books::new(pool.clone());
        let gate = Gate::new(url, name, patience)?;
        Ok(Self { db, books, gate, default_stock, generation: AtomicI64::new(0), looking: Mutex::new(()) })
    }

    /// Whether Redis answers and can admit; loads it if it cannot.
    ///
    /// # Errors
    /// [`Trouble`].
    pub async fn ready(&self) -> Result<(), Trouble> {
        self.gate.ping().await?;
        if !self.gate.holds(self.generation.load(Ordering::Acquire)).await? {
            self.renew(None).await?;
        }
        Ok(())
    }

    /// Finds out which generation counts, and loads Redis if it does not hold that one, or if it is `distrusted`.
    async fn renew(&self, distrusted: Option<i64>) -> Result<i64, Trouble> {
        let seen = self.generation.load(Ordering::Acquire);
        let _looking = self.looking.lock().await;
        let now = self.generation.load(Ordering::Acquire);
        if now != seen {
            return Ok(now); // somebody else of this process did it meanwhile
        }
        let counts = rebuild::current(self.db.connection()).await?;
        let fine = distrusted != Some(counts) && self.gate.holds(counts).await?;
        let counts = if fine { counts } else { rebuild::rebuild(&self.db, &self.gate, distrusted).await? };
        self.generation.store(counts, Ordering::Release);
        Ok(counts)
    }

    /// Reserves what is not on record yet: the answer for each, or none where it has to be tried again in `generation`.
    async fn try_reserve(&self, generation: i64, wants: &[&Want]) -> Result<Vec<Option<Reserved>>, Trouble> {
        let Ok(admitted) = self.gate.reserve(generation, wants).await? else {
            self.renew(None).await?;
            return Ok(vec![None; wants.len()]);
        };
        let (mut answers, mut unknown) = (vec![None; wants.len()], BTreeSet::new());
        let mut taken = Vec::new();
        for (place, (want, admitted)) in wants.iter().zip(admitted).enumerate() {
            match admitted {
                Admitted::Taken => taken.push(place),
                Admitted::Out => answers[place] = Some(Reserved::KeptOut),
                Admitted::Short { line, available } => {
                    answers[place] = want.lines.get(line).map(|line| Reserved::Short { line: *line, available });
                }
                Admitted::Unknown { line } => {
                    let first = want.lines.get(line).map(|line| line.sku);
                    unknown.extend(want.lines.iter().map(|line| line.sku));
                    answers[place] = first.map(Reserved::UnknownSku);
                }
            }
        }
        self.book(generation, wants, &taken, &mut answers).await?;
        self.learn(generation, unknown, &mut answers).await?;
        Ok(answers)
    }

    /// Enters what Redis admitted.
    async fn book(
        &self,
        generation: i64,
        wants: &[&Want],
        taken: &[usize],
        answers: &mut [Option<Reserved>],
    ) -> Result<(), Trouble> {
        if taken.is_empty() {
            return Ok(());
        }
        let admitted: Vec<&Want> = taken.iter().map(|place| wants[*place]).collect();
        let known = match self.books.book(generation, &admitted).await? {
            Booked::Done(known) => known,
            Booked::Stale => {
                self.renew(None).await?;
                return Ok(());
            }
            Booked::Disagrees(detail) => {
                tracing::warn!(detail, "Redis admitted more than there is; it is loaded anew");
                self.renew(Some(generation)).await?;
                return Ok(());
            }
        };
        let mut extra = Vec::new();
        for (place, known) in taken.iter().zip(known) {
            answers[*place] = Some(Reserved::Yes);
            let Some(known) = known else { continue };
            // It was on record before we came: what Redis set apart just now may be one too many.
            match known.state {
                State::Reserved | State::Sold if known.generation == generation => {}
                State::Reserved | State::Sold => extra.push((known.key, PutBack::Forget)),
                State::Released => {
                    answers[*place] = Some(Reserved::KeptOut);
                    extra.push((known.key, PutBack::Drop));
                }
            }
        }
        self.put_back(generation, &extra).await
    }

    /// Makes products known that Redis does not know: SQL may, or there is a default. Those that stay unknown are
    /// refused; orders of the others are tried again.
    async fn learn(
        &self,
        generation: i64,
        unknown: BTreeSet<Uuid>,
        answers: &mut [Option<Reserved>],
    ) -> Result<(), Trouble> {
        if unknown.is_empty() {
            return Ok(());
        }
        if let Some(on_hand) = self.default_stock {
            for sku in &unknown {
                rows::insert_level(self.db.connection(), *sku, on_hand).await?;
            }
        }
        let mut units = Vec::new();
        for sku in unknown {
            units.extend(rows::level(self.db.connection(), sku).await?.map(|level| (sku, level.available())));
        }
        let known: BTreeSet<Uuid> = units.iter().map(|(sku, _)| *sku).collect();
        if self.gate.learn(generation, units).await? == Err(Stale) {
            self.renew(None).await?;
        }
        for answer in answers {
            // The first product that Redis did not know is known by now; the next one, if any, it names next time.
            if matches!(answer, Some(Reserved::UnknownSku(sku)) if known.contains(sku)) {
                *answer = None;
            }
        }
        Ok(())
    }

    /// Puts units back into Redis. If it is in another generation by now, it was loaded, or will be, with what SQL says.
    async fn put_back(&self, generation: i64, what: &[(EffectKey, PutBack<'_>)]) -> Result<(), Trouble> {
        if what.is_empty() {
            return Ok(());
        }
        match self.gate.release(generation, what).await? {
            Ok(()) | Err(Stale) => Ok(()),
        }
    }
}

#[async_trait]
impl Stock for RedisStock {
    async fn reserve(&self, wants: &[Want]) -> Result<Vec<Reserved>, Trouble> {
        // What may have been begun before may be on record, and in another generation than the one that counts.
        let mut known = self.books.known(wants.iter().filter(|want| want.repeated).map(|want| &want.key)).await?;
        let on_record = |known: Reservation| match known.state {
            State::Reserved | State::Sold => Reserved::Yes,
            State::Released => Reserved::KeptOut,
        };
        let mut answers: Vec<Option<Reserved>> =
            wants.iter().map(|want| known.remove(&want.key).map(on_record)).collect();
        for _ in 0..GENERATIONS {
            let open: Vec<usize> = (0..wants.len()).filter(|place| answers[*place].is_none()).collect();
            if open.is_empty() {
                return Ok(answers.into_iter().flatten().collect());
            }
            let generation = match self.generation.load(Ordering::Acquire) {
                0 => self.renew(None).await?,
                generation => generation,
            };
            let still: Vec<&Want> = open.iter().map(|place| &wants[*place]).collect();
            for (place, answer) in open.into_iter().zip(self.try_reserve(generation, &still).await?) {
                answers[place] = answer;
            }
        }
        let detail = "its memory is loaded over and over".to_owned();
        Err(Trouble::Away { part: Part::Redis, detail })
    }

    async fn settle(&self, keys: &[EffectKey]) -> Result<Vec<bool>, Trouble> {
        let transaction = self.db.begin().await?;
        let stand = sql::settle(&transaction, keys).await?;
        let generation = rebuild::current(&transaction).await?;
        transaction.commit().await?;
        let absent = keys.iter().zip(&stand).filter(|(_, stands)| !**stands);
        let drop: Vec<_> = absent.map(|(key, _)| (key.clone(), PutBack::Drop)).collect();
        self.put_back(generation, &drop).await?;
        Ok(stand)
    }

    async fn release(&self, steps: &[StepKey]) -> Result<Vec<bool>, Trouble> {
        let (generation, rounds) = self.books.release(steps).await?;
        let lines: Vec<String> = rounds.iter().map(|round| write_lines(&round.lines)).collect();
        let mut back = Vec::new();
        for (round, lines) in rounds.iter().zip(&lines) {
            match (round.held, round.released_in) {
                // Redis was loaded before it was released, and has to hear of it.
                (true, Some(released_in)) if released_in == generation => {
                    let admitted_here = round.generation == generation;
                    let what = if admitted_here { PutBack::KeepOut(lines) } else { PutBack::Return(lines) };
                    back.push((round.key.clone(), what));
                }
                (true, _) => {} // Redis was loaded since
                (false, _) => back.push((round.key.clone(), PutBack::Drop)),
            }
        }
        self.put_back(generation, &back).await?;
        let held = |(saga, step): &StepKey| {
            rounds.iter().any(|round| round.held && round.key.saga == *saga && round.key.step == *step)
        };
        Ok(steps.iter().map(held).collect())
    }

    async fn sell(&self, sagas: &[SagaId]) -> Result<(), Trouble> {
        self.books.sell(sagas).await
    }

    async fn level(&self, sku: Uuid) -> Result<Option<Level>, Trouble> {
        rows::level(self.db.connection(), sku).await
    }

    async fn levels(&self, after: Option<Uuid>, limit: u64) -> Result<Vec<Level>, Trouble> {
        rows::levels(self.db.connection(), after, limit).await
    }

    async fn set(&self, change: &Change) -> Result<Changed, Trouble> {
        let transaction = self.db.begin().await?;
        rebuild::locked(&transaction).await?;
        let changed = sql::set(&transaction, change).await?;
        if matches!(changed, Changed::Done(_)) {
            rebuild::begin(&transaction).await?;
        }
        transaction.commit().await?;
        if matches!(changed, Changed::Done(_)) {
            // It is in force: nobody reserves before Redis is loaded with it. That may as well be done here.
            if let Err(trouble) = self.renew(None).await {
                tracing::warn!(%trouble, "Redis will be loaded with the changed stock later");
            }
        }
        Ok(changed)
    }
}
