//! Rows of the stock, one by one, in a transaction: on Postgres and SQLite alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use saga_model::SagaId;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::super::entity::{level, reservation};
use super::super::shelf::{read_lines, write_lines};
use super::super::{Level, Line, StepKey};
use crate::participant::EffectKey;
use crate::trouble::Trouble;

/// The state of a reservation, with the code under which it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i16)]
pub enum State {
    Reserved = 0,
    Sold = 1,
    Released = 2,
}

impl State {
    /// The state with that code.
    pub fn from_code(code: i16) -> Result<Self, Trouble> {
        [Self::Reserved, Self::Sold, Self::Released]
            .into_iter()
            .find(|state| *state as i16 == code)
            .ok_or_else(|| Trouble::Poison(format!("reservation holds the unknown state {code}")))
    }
}

/// A reservation that is on record.
#[derive(Debug, Clone)]
pub struct Reservation {
    pub key: EffectKey,
    pub state: State,
    pub lines: Vec<Line>,
    /// The generation of Redis that admitted it; 0 where SQL admits alone.
    pub generation: i64,
    /// Whether units were ever set apart for it.
    pub held: bool,
    /// The generation in which it was released.
    pub released_in: Option<i64>,
}

impl TryFrom<reservation::Model> for Reservation {
    type Error = Trouble;
    fn try_from(row: reservation::Model) -> Result<Self, Trouble> {
        let strange = |what: &str| Trouble::Poison(format!("reservation of saga {} holds {what}", row.saga_id));
        Ok(Self {
            key: EffectKey {
                saga: SagaId::from(row.saga_id),
                step: Arc::from(row.step.as_str()),
                round: u32::try_from(row.round).map_err(|_| strange("a negative round"))?,
            },
            state: State::from_code(row.status)?,
            lines: read_lines(&row.lines).ok_or_else(|| strange("lines that cannot be read"))?,
            generation: row.generation,
            held: row.held,
            released_in: row.released_in,
        })
    }
}

impl From<level::Model> for Level {
    fn from(level::Model { sku, on_hand, reserved, sold }: level::Model) -> Self {
        Self { sku, on_hand, reserved, sold }
    }
}

/// A round as it is stored. The wire has none above 2^31-1.
pub fn stored_round(round: u32) -> i32 {
    i32::try_from(round).unwrap_or(i32::MAX)
}

/// The reservation under a key.
pub async fn reservation(db: &impl ConnectionTrait, key: &EffectKey) -> Result<Option<Reservation>, Trouble> {
    let id = (key.saga.uuid(), key.step.to_string(), stored_round(key.round));
    reservation::Entity::find_by_id(id).one(db).await?.map(Reservation::try_from).transpose()
}

/// All rounds of a step, or of all steps of a saga.
pub async fn reservations(
    db: &impl ConnectionTrait,
    saga: SagaId,
    step: Option<&str>,
) -> Result<Vec<Reservation>, Trouble> {
    let mut query = reservation::Entity::find().filter(reservation::Column::SagaId.eq(saga.uuid()));
    if let Some(step) = step {
        query = query.filter(reservation::Column::Step.eq(step));
    }
    query.all(db).await?.into_iter().map(Reservation::try_from).collect()
}

/// Puts a reservation on record, unless there is one under its key.
pub async fn insert(db: &impl ConnectionTrait, key: &EffectKey, state: State, lines: &[Line]) -> Result<(), Trouble> {
    let row = reservation::ActiveModel {
        saga_id: Set(key.saga.uuid()),
        step: Set(key.step.to_string()),
        round: Set(stored_round(key.round)),
        status: Set(state as i16),
        lines: Set(write_lines(lines)),
        generation: Set(0),
        held: Set(state != State::Released),
        released_in: Set(None),
        at: Set(service::time::now().0),
    };
    let columns = [reservation::Column::SagaId, reservation::Column::Step, reservation::Column::Round];
    let once = OnConflict::columns(columns).do_nothing().to_owned();
    reservation::Entity::insert(row).on_conflict(once).exec_without_returning(db).await?;
    Ok(())
}

/// Changes the state of a reservation; a released one is released in `generation`.
pub async fn move_to(db: &impl ConnectionTrait, key: &EffectKey, state: State, generation: i64) -> Result<(), Trouble> {
    let released_in = (state == State::Released).then_some(generation);
    reservation::Entity::update_many()
        .col_expr(reservation::Column::Status, Expr::value(state as i16))
        .col_expr(reservation::Column::ReleasedIn, Expr::value(released_in))
        .filter(reservation::Column::SagaId.eq(key.saga.uuid()))
        .filter(reservation::Column::Step.eq(&*key.step))
        .filter(reservation::Column::Round.eq(stored_round(key.round)))
        .exec(db)
        .await?;
    Ok(())
}

/// The levels of these products, as far as there are any; locked until the transaction ends.
pub async fn locked_levels(
    db: &impl ConnectionTrait,
    skus: impl Iterator<Item = Uuid>,
) -> Result<BTreeMap<Uuid, Level>, Trouble> {
    let mut levels = BTreeMap::new();
    for sku in skus {
        if let Some(row) = level::Entity::find_by_id(sku).lock_exclusive().one(db).await? {
            levels.insert(sku, row.into());
        }
    }
    Ok(levels)
}

/// Makes a product known, unless it is.
pub async fn insert_level(db: &impl ConnectionTrait, sku: Uuid, on_hand: i64) -> Result<(), Trouble> {
    let row = level::ActiveModel { sku: Set(sku), on_hand: Set(on_hand), reserved: Set(0), sold: Set(0) };
    let once = OnConflict::column(level::Column::Sku).do_nothing().to_owned();
    level::Entity::insert(row).on_conflict(once).exec_without_returning(db).await?;
    Ok(())
}

/// Stores a level.
pub async fn update_level(db: &impl ConnectionTrait, to: &Level) -> Result<(), Trouble> {
    level::Entity::update_many()
        .col_expr(level::Column::OnHand, Expr::value(to.on_hand))
        .col_expr(level::Column::Reserved, Expr::value(to.reserved))
        .col_expr(level::Column::Sold, Expr::value(to.sold))
        .filter(level::Column::Sku.eq(to.sku))
        .exec(db)
        .await?;
    Ok(())
}

/// The level of a product.
pub async fn level(db: &impl ConnectionTrait, sku: Uuid) -> Result<Option<Level>, Trouble> {
    Ok(level::Entity::find_by_id(sku).one(db).await?.map(Level::from))
}

/// The levels after `after` in the order of their ids, at most `limit`.
pub async fn levels(db: &impl ConnectionTrait, after: Option<Uuid>, limit: u64) -> Result<Vec<Level>, Trouble> {
    let mut query = level::Entity::find().order_by_asc(level::Column::Sku).limit(limit);
    if let Some(after) = after {
        query = query.filter(level::Column::Sku.gt(after));
    }
    Ok(query.all(db).await?.into_iter().map(Level::from).collect())
}

/// What is set apart or sold for a step becomes free; returns all its rounds as they are now. The caller stores
/// `shelf`, which holds the levels of all products concerned.
pub async fn release(
    db: &impl ConnectionTrait,
    (saga, step): &StepKey,
    generation: i64,
    shelf: &mut BTreeMap<Uuid, Level>,
) -> Result<Vec<Reservation>, Trouble> {
    let mut rounds = reservations(db, *saga, Some(step)).await?;
    for round in &mut rounds {
        if round.state == State::Released {
            continue;
        }
        for Line { sku, quantity } in &round.lines {
            if let Some(level) = shelf.get_mut(sku) {
                let part = if round.state == State::Reserved { &mut level.reserved } else { &mut level.sold };
                *part -= i64::from(*quantity);
            }
        }
        move_to(db, &round.key, State::Released, generation).await?;
        (round.state, round.released_in) = (State::Released, Some(generation));
    }
    Ok(rounds)
}
