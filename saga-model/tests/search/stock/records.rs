//! SQL: the tables `stock`, `reservation` and `stock_generation` (`workers/src/shop/stock/books.rs`, `rebuild.rs`).

use super::memory::PutBack;
use super::twin::Twin;

/// Orders that a world has room for, the one that asks last of all included.
pub const ORDERS: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Status {
    Reserved,
    Sold,
    Released,
}

/// A row of `reservation`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Reservation {
    pub status: Status,
    /// The generation that admitted it.
    pub generation: u8,
    /// Whether units were ever set apart for it.
    pub held: bool,
    /// The generation in which it was released.
    pub released_in: Option<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Records {
    pub generation: u8,
    /// A number that no generation has had; the real one is the time.
    pub next_generation: u8,
    /// The worker whose transaction has the row of the generation for itself.
    pub locked_by: Option<u8>,
    /// Whether the product was ever asked for; then it has its default stock.
    pub known: bool,
    pub on_hand: u8,
    pub reserved: u8,
    pub sold: u8,
    pub reservations: [Option<Reservation>; ORDERS],
}

/// What `Books::book` found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Booked {
    New,
    Known(Reservation),
    Stale,
    Disagrees,
}

impl Records {
    pub fn new(on_hand: u8) -> Self {
        Self {
            generation: 0,
            next_generation: 1,
            locked_by: None,
            known: false,
            on_hand,
            reserved: 0,
            sold: 0,
            reservations: [None; ORDERS],
        }
    }

    pub fn available(&self) -> u8 {
        self.on_hand.saturating_sub(self.reserved + self.sold)
    }

    pub fn of(&self, order: u8) -> Option<Reservation> {
        self.reservations[usize::from(order)]
    }

    /// Whether units are set apart or sold.
    pub fn stands(&self, order: u8) -> bool {
        self.of(order).is_some_and(|known| known.status != Status::Released)
    }

    /// `Books::book`: one transaction. It waits for a rebuild.
    pub fn book(&mut self, order: u8, generation: u8, twin: Option<Twin>) -> Option<Booked> {
        if self.locked_by.is_some() {
            return None;
        }
        if self.generation != generation && Twin::checks_generations(twin) {
            return Some(Booked::Stale);
        }
        if let Some(known) = self.of(order) {
            return Some(Booked::Known(known));
        }
        if self.reserved + self.sold >= self.on_hand && Twin::checks_the_table(twin) {
            return Some(Booked::Disagrees);
        }
        self.reserved += 1;
        self.reservations[usize::from(order)] =
            Some(Reservation { status: Status::Reserved, generation, held: true, released_in: None });
        Some(Booked::New)
    }

    /// `sql::settle`: what is not on record is kept out. Whether it stands, and the generation that was read.
    pub fn settle(&mut self, order: u8) -> (bool, u8) {
        let kept_out = Reservation { status: Status::Released, generation: 0, held: false, released_in: None };
        let known = self.reservations[usize::from(order)].get_or_insert(kept_out);
        (known.status != Status::Released, self.generation)
    }

    /// `Books::release` and what `RedisStock::release` makes of it: the generation, what to put back, whether there was
    /// something. It waits for a rebuild.
    pub fn release(&mut self, order: u8, twin: Option<Twin>) -> Option<(u8, Option<PutBack>, bool)> {
        if self.locked_by.is_some() {
            return None;
        }
        let generation = self.generation;
        let Some(known) = &mut self.reservations[usize::from(order)] else { return Some((generation, None, false)) };
        let before = known.status;
        match before {
            Status::Reserved => self.reserved -= 1,
            Status::Sold => self.sold -= 1,
            Status::Released => {}
        }
        if before != Status::Released {
            (known.status, known.released_in) = (Status::Released, Some(generation));
        }
        let back = match (known.held, known.released_in) {
            (true, Some(released_in)) if released_in == generation => {
                Some(if known.generation == generation || twin == Some(Twin::OneRecordForTwoUnits) {
                    PutBack::KeepOut
                } else {
                    PutBack::Return
                })
            }
            (true, _) => None,
            (false, _) => Some(PutBack::Drop),
        };
        let repeated = before == Status::Released;
        let told = back.filter(|_| !(repeated && twin == Some(Twin::ReleaseNotRepeated)));
        Some((generation, told, known.held))
    }

    /// `Books::sell`.
    pub fn sell(&mut self, order: u8) -> bool {
        match &mut self.reservations[usize::from(order)] {
            Some(known) if known.status == Status::Reserved => {
                known.status = Status::Sold;
                self.reserved -= 1;
                self.sold += 1;
                true
            }
            Some(_) | None => false,
        }
    }

    /// What the table and its rows say of each other.
    pub fn add_up(&self) -> Result<(), String> {
        let count = |status| self.reservations.iter().flatten().filter(|row| row.status == status).count();
        let (reserved, sold) = (count(Status::Reserved), count(Status::Sold));
        if reserved + sold > usize::from(self.on_hand) {
            return Err(format!("{} are on hand, and {reserved} are reserved and {sold} sold", self.on_hand));
        }
        if (reserved, sold) != (usize::from(self.reserved), usize::from(self.sold)) {
            return Err(format!("{reserved} and {sold} rows are reserved and sold, the product says otherwise"));
        }
        Ok(())
    }
}
