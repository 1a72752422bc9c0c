//! Rules about a history, alone or with the state that it made.

use std::collections::BTreeSet;

use super::ensure;
use crate::definition::{Definition, StepIndex};
use crate::event::Action;
use crate::history::{Row, RowKind, fold};
use crate::state::{Kind, Phase, Saga, UndoStatus};

/// INV-3. The switch is the row that notes the failure; its own command comes after it.
pub(super) fn no_way_forward(definition: &Definition, rows: &[Row]) -> Result<(), String> {
    let switched = rows.iter().skip_while(|row| row.data.failure.is_none());
    switched.filter_map(|row| Some((row, row.data.next.as_ref()?))).try_for_each(|(row, next)| {
        let undoable = definition.find(&next.step).is_some_and(|step| definition.step(step).undoable());
        ensure(next.kind == Kind::Compensate || !undoable, || format!("row {} sends {next:?}", row.seq))
    })
}

/// INV-5.
pub(super) fn resolved_by_hand(_: &Definition, saga: &Saga, rows: &[Row]) -> Result<(), String> {
    let mut undos = saga.steps.iter().filter_map(|step| step.undo.as_ref());
    let waived = undos.any(|undo| undo.status == UndoStatus::Waived);
    let last = rows.iter().rfind(|row| row.kind != RowKind::ReplyIgnored);
    let resolved = last.is_some_and(|row| row.data.verb == Some(Action::Resolve));
    let fits = match saga.phase {
        Phase::Resolved => waived || resolved,
        Phase::Compensated => !waived && !resolved,
        Phase::Forward | Phase::Unwinding | Phase::Closing | Phase::Completed => !resolved,
    };
    ensure(fits, || format!("{:?}, waived: {waived}, by resolve: {resolved}", saga.phase))
}

/// INV-6.
pub(super) fn folds(definition: &Definition, saga: &Saga, rows: &[Row]) -> Result<(), String> {
    let folded = fold(definition, saga.id, saga.secret, rows).map_err(|error| error.to_string())?;
    ensure(folded == *saga, || format!("the history makes {folded:?}"))
}

/// INV-7.
pub(super) fn gapless(_: &Definition, saga: &Saga, rows: &[Row]) -> Result<(), String> {
    ensure((1..).zip(rows).all(|(seq, row)| row.seq == seq), || "a seq is missing or twice there".to_owned())?;
    let last = rows.last().map(|row| row.seq);
    ensure(last == Some(saga.revision), || format!("revision {}, last seq {last:?}", saga.revision))
}

/// INV-8.
pub(super) fn final_absorbs(_: &Definition, saga: &Saga, rows: &[Row]) -> Result<(), String> {
    let ended = rows.iter().find_map(|row| row.data.ended);
    let reached = saga.phase.is_final().then_some(saga.phase);
    ensure(ended == reached, || format!("ended {ended:?}, reached {reached:?}"))?;
    let mut after = rows.iter().skip_while(|row| row.data.ended.is_none()).skip(1);
    match after.find(|row| row.kind != RowKind::ReplyIgnored) {
        Some(row) => Err(format!("row {} is a {:?} after the end", row.seq, row.kind)),
        None => Ok(()),
    }
}

/// INV-10. Compensations are sent from the last step to the first, and none before all later ones have ended.
pub(super) fn reverse_order(definition: &Definition, saga: &Saga, rows: &[Row]) -> Result<(), String> {
    let sent = rows.iter().filter_map(|row| row.data.next.as_ref()).filter(|next| next.kind == Kind::Compensate);
    let order: Vec<Option<StepIndex>> = sent.map(|next| definition.find(&next.step)).collect();
    ensure(order.is_sorted_by(|earlier, later| earlier >= later), || format!("sent in the order {order:?}"))?;
    let mut open_later = None;
    for (index, def) in definition.steps().rev() {
        let Some(undo) = &saga.step(index).undo else { continue };
        let begun = undo.course.attempts > 0;
        if let (true, Some(later)) = (begun, open_later) {
            return Err(format!("{} is undone before {later}", def.name));
        }
        if undo.is_open() {
            open_later = Some(&def.name);
        }
    }
    Ok(())
}

/// INV-15.
pub(super) fn late_once(_: &Definition, saga: &Saga, rows: &[Row]) -> Result<(), String> {
    let late = rows.iter().filter(|row| row.kind == RowKind::ReplyIgnored);
    let mut seen = BTreeSet::new();
    for row in late {
        let once = seen.insert((row.step, row.data.kind, row.round, row.data.outcome));
        ensure(once, || format!("row {} repeats an earlier one", row.seq))?;
    }
    ensure(seen.len() == saga.ignored.len(), || format!("{} rows, {} remembered", seen.len(), saga.ignored.len()))
}
