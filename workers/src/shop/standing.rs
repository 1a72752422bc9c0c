//! What the books of the shop say, for whoever checks them against what their sagas say.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::gateway::entries::{EntryKind, entity as entry};
use super::stock::entity::{level, reservation};
use super::stock::shelf::read_lines;
use super::stock::sql::rows::State;

/// What of one saga stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Captures that were not refunded.
    pub captures: u32,
    /// What they are, less what was refunded, in hundredths.
    pub money: i64,
    /// Units that are set apart or sold.
    pub units: i64,
}

/// Rows that one query reads.
const PAGE: u64 = 5_000;

/// What stands of these sagas; nothing of those that are not in it.
///
/// # Errors
/// If the database does not answer, or holds what cannot be read.
pub async fn of(db: &impl ConnectionTrait, sagas: &[Uuid]) -> Result<BTreeMap<Uuid, Standing>, DbErr> {
    let mut standing: BTreeMap<Uuid, Standing> = BTreeMap::new();
    let entries = entry::Entity::find().filter(entry::Column::SagaId.is_in(sagas.iter().copied())).all(db).await?;
    let mut open: BTreeSet<(Uuid, String, i32)> = BTreeSet::new();
    let mut refunded: BTreeSet<(Uuid, String, i32)> = BTreeSet::new();
    for row in entries {
        let of = standing.entry(row.saga_id).or_default();
        let key = (row.saga_id, row.step, row.round);
        match EntryKind::from_code(row.kind).map_err(|trouble| DbErr::Custom(trouble.to_string()))? {
            EntryKind::Capture => {
                of.money += row.amount;
                open.insert(key);
            }
            EntryKind::Refund => {
                of.money -= row.amount;
                refunded.insert(key);
            }
            EntryKind::Void => {}
        }
    }
    open.retain(|key| !refunded.contains(key));
    for (saga, _, _) in open {
        standing.entry(saga).or_default().captures += 1;
    }
    let held = reservation::Entity::find().filter(reservation::Column::SagaId.is_in(sagas.iter().copied()));
    for row in held.all(db).await? {
        let (reserved, sold) = units(&row)?.values().fold((0, 0), |sum, units| (sum.0 + units.0, sum.1 + units.1));
        standing.entry(row.saga_id).or_default().units += reserved + sold;
    }
    Ok(standing)
}

/// What is wrong with the numbers of the products: they are the sums of the reservations. `read` hears of each page.
///
/// # Errors
/// If the database does not answer, or holds what cannot be read.
pub async fn stock(db: &impl ConnectionTrait, mut read: impl FnMut(u64)) -> Result<Vec<String>, DbErr> {
    let mut sums: BTreeMap<Uuid, (i64, i64)> = BTreeMap::new();
    let mut after: Option<(Uuid, String, i32)> = None;
    loop {
        use reservation::Column::{Round, SagaId, Step};
        let mut cursor = reservation::Entity::find().cursor_by((SagaId, Step, Round));
        if let Some(after) = after.take() {
            cursor.after(after);
        }
        let page = cursor.first(PAGE).all(db).await?;
        let Some(last) = page.last() else { break };
        after = Some((last.saga_id, last.step.clone(), last.round));
        for row in &page {
            for (sku, (reserved, sold)) in units(row)? {
                let sum = sums.entry(sku).or_default();
                *sum = (sum.0 + reserved, sum.1 + sold);
            }
        }
        read(page.len() as u64);
    }
    let mut wrong = Vec::new();
    for level in level::Entity::find().all(db).await? {
        let (reserved, sold) = sums.remove(&level.sku).unwrap_or_default();
        if (reserved, sold) != (level.reserved, level.sold) {
            wrong.push(format!(
                "product {}: {} reserved and {} sold, but its reservations are {reserved} and {sold}",
                level.sku, level.reserved, level.sold
            ));
        }
    }
    let unknown = sums.into_iter().filter(|(_, sum)| *sum != (0, 0));
    wrong.extend(
        unknown.map(|(sku, sum)| format!("product {sku} is not in the stock, but {sum:?} are reserved and sold")),
    );
    Ok(wrong)
}

/// The units of each product that a reservation holds: reserved, sold.
fn units(row: &reservation::Model) -> Result<BTreeMap<Uuid, (i64, i64)>, DbErr> {
    let strange = || DbErr::Custom(format!("the reservation of saga {} cannot be read", row.saga_id));
    let state = State::from_code(row.status).map_err(|_| strange())?;
    let lines = read_lines(&row.lines).ok_or_else(strange)?;
    let mut units: BTreeMap<Uuid, (i64, i64)> = BTreeMap::new();
    for line in lines {
        let unit = units.entry(line.sku).or_default();
        match state {
            State::Reserved => unit.0 += i64::from(line.quantity),
            State::Sold => unit.1 += i64::from(line.quantity),
            State::Released => {}
        }
    }
    Ok(units)
}
