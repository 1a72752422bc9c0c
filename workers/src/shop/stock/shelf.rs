//! The arithmetic of a shelf, shared by all kinds of stock.

use std::collections::BTreeMap;

use saga_model::state::Failure;
use uuid::Uuid;

/// So many units of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line {
    pub sku: Uuid,
    pub quantity: u32,
}

/// How many units of a product there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Level {
    pub sku: Uuid,
    /// All units ever put on the shelf.
    pub on_hand: i64,
    pub reserved: i64,
    pub sold: i64,
}

impl Level {
    /// Units that nobody has a claim on.
    pub fn available(&self) -> i64 {
        self.on_hand - self.reserved - self.sold
    }
}

/// What became of a want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// It is set apart.
    Yes,
    /// There are not enough units of a product.
    Short { line: Line, available: i64 },
    /// A product that nobody ever heard of.
    UnknownSku(Uuid),
    /// It was settled or released before: it will never be set apart.
    KeptOut,
}

impl Reserved {
    /// Why it was refused, with the public code; `None` if it was not.
    pub fn refusal(&self) -> Option<Failure> {
        match self {
            Reserved::Yes => None,
            Reserved::Short { line, available } => Some(Failure::new(
                "INSUFFICIENT_STOCK",
                format!("{} of product {} were asked for and {available} are available", line.quantity, line.sku),
            )),
            Reserved::UnknownSku(sku) => {
                Some(Failure::new("UNKNOWN_SKU", format!("product {sku} is not in stock and never was")))
            }
            Reserved::KeptOut => {
                Some(Failure::new("COMPENSATED_ALREADY", "this reservation was released before it arrived"))
            }
        }
    }
}

/// Takes lines off the shelf, all or none.
///
/// # Errors
/// The first line that cannot be served, a product that is unknown before one that is short.
pub(super) fn take(shelf: &mut BTreeMap<Uuid, Level>, lines: &[Line]) -> Result<(), Reserved> {
    if let Some(line) = lines.iter().find(|line| !shelf.contains_key(&line.sku)) {
        return Err(Reserved::UnknownSku(line.sku));
    }
    for line in lines {
        let available = shelf.get(&line.sku).map_or(0, Level::available);
        if available < i64::from(line.quantity) {
            return Err(Reserved::Short { line: *line, available });
        }
    }
    for line in lines {
        if let Some(level) = shelf.get_mut(&line.sku) {
            level.reserved += i64::from(line.quantity);
        }
    }
    Ok(())
}

/// Lines as text, `sku=quantity` separated by commas: for the row of a reservation, and for Redis.
pub(super) fn write_lines(lines: &[Line]) -> String {
    let mut text = String::with_capacity(lines.len() * 40);
    for line in lines {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(&format!("{}={}", line.sku.as_hyphenated(), line.quantity));
    }
    text
}

/// Reads what [`write_lines`] wrote; `None` if it is anything else.
pub(in crate::shop) fn read_lines(text: &str) -> Option<Vec<Line>> {
    if text.is_empty() {
        return Some(Vec::new());
    }
    text.split(',')
        .map(|line| {
            let (sku, quantity) = line.split_once('=')?;
            Some(Line { sku: sku.parse().ok()?, quantity: quantity.parse().ok()? })
        })
        .collect()
}

/// How many units of each product some lines are, in the order of their ids: rows are locked in this order.
pub(super) fn totals<'a>(lines: impl IntoIterator<Item = &'a Line>) -> BTreeMap<Uuid, i64> {
    let mut totals = BTreeMap::new();
    for line in lines {
        *totals.entry(line.sku).or_insert(0) += i64::from(line.quantity);
    }
    totals
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_as_they_were_written() {
        let line = |n, quantity| Line { sku: Uuid::from_u128(n), quantity };
        for lines in [vec![], vec![line(1, 1)], vec![line(1, 1), line(u128::MAX, 1_000_000)]] {
            assert_eq!(read_lines(&write_lines(&lines)), Some(lines));
        }
        for bad in [",", "a=1", "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000001=x"] {
            assert_eq!(read_lines(bad), None, "{bad}");
        }
    }

    #[test]
    fn all_lines_or_none() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let level = |sku, on_hand| (sku, Level { sku, on_hand, reserved: 0, sold: 0 });
        let mut shelf = BTreeMap::from([level(one, 5), level(two, 1)]);
        let before = shelf.clone();
        let lines = |a, b| [Line { sku: one, quantity: a }, Line { sku: two, quantity: b }];
        let short = Reserved::Short { line: Line { sku: two, quantity: 2 }, available: 1 };
        assert_eq!(take(&mut shelf, &lines(5, 2)), Err(short));
        assert_eq!(shelf, before);
        assert_eq!(take(&mut shelf, &lines(5, 1)), Ok(()));
        assert!(shelf.values().all(|level| level.available() == 0));
        let unknown = Line { sku: Uuid::from_u128(3), quantity: 1 };
        assert_eq!(take(&mut shelf, &[lines(9, 9)[0], unknown]), Err(Reserved::UnknownSku(unknown.sku)));
    }
}
