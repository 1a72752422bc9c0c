//! Redis: `workers/src/shop/stock/redis/` (the three scripts, and `gate.rs`).

use super::records::ORDERS;
use super::twin::Twin;

/// Generations that there may be.
pub const GENERATIONS: usize = 8;

/// What the record of a reservation says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Note {
    #[default]
    None,
    Taken,
    /// `X`: kept out.
    Out,
}

/// What of Redis is kept in its file, too.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Content {
    /// Which generation it holds, and the run of Redis into which that was loaded.
    pub marker: Option<(u8, u8)>,
    /// By generation: whether it was filled, with what was known then.
    pub filled: [bool; GENERATIONS],
    /// By generation: the available units, if the product is known.
    pub shelf: [Option<u8>; GENERATIONS],
    notes: [[Note; ORDERS]; GENERATIONS],
    /// Whether the unit of a reservation of an earlier generation was put back.
    returned: [[bool; ORDERS]; GENERATIONS],
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Memory {
    pub run: u8,
    pub content: Content,
    /// What a restart would find.
    pub file: Content,
}

/// What `reserve.lua` answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admitted {
    Stale,
    Taken,
    Out,
    Short,
    Unknown,
}

/// What to put back, as `release.lua` is told.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PutBack {
    /// The unit of a reservation that this generation admitted. No other is let in.
    KeepOut,
    /// The unit of a reservation that an earlier generation admitted, and whatever a late worker set apart for it in
    /// this one. No other is let in.
    Return,
    /// What a late worker set apart, if anything. No other is let in.
    Drop,
    /// The same, as if it had never been there.
    Forget,
}

impl Memory {
    /// Whether it holds that generation, loaded into this very run.
    pub fn holds(&self, generation: u8, twin: Option<Twin>) -> bool {
        self.content
            .marker
            .is_some_and(|(held, run)| held == generation && (run == self.run || twin == Some(Twin::NoRunId)))
    }

    fn note(&mut self, generation: u8, order: u8) -> &mut Note {
        &mut self.content.notes[usize::from(generation)][usize::from(order)]
    }

    /// `reserve.lua`, for one order of one unit.
    pub fn reserve(&mut self, generation: u8, order: u8, twin: Option<Twin>) -> Admitted {
        if !self.holds(generation, twin) {
            return Admitted::Stale;
        }
        match (*self.note(generation, order), &mut self.content.shelf[usize::from(generation)]) {
            (Note::Out, _) => Admitted::Out,
            (Note::Taken, _) => Admitted::Taken,
            (Note::None, None) => Admitted::Unknown,
            (Note::None, Some(0)) => Admitted::Short,
            (Note::None, Some(units)) => {
                *units -= 1;
                *self.note(generation, order) = Note::Taken;
                Admitted::Taken
            }
        }
    }

    /// `release.lua`, for one reservation of one unit. A Redis in another generation does nothing.
    pub fn put_back(&mut self, generation: u8, order: u8, what: PutBack, twin: Option<Twin>) {
        if !self.holds(generation, twin) {
            return;
        }
        let note = *self.note(generation, order);
        let own = match what {
            PutBack::KeepOut => note != Note::Out,
            PutBack::Return | PutBack::Drop | PutBack::Forget => note == Note::Taken,
        };
        let returned = &mut self.content.returned[usize::from(generation)][usize::from(order)];
        let returns = what == PutBack::Return && !std::mem::replace(returned, true);
        if own || returns {
            // HINCRBY makes a field that is missing.
            let units = self.content.shelf[usize::from(generation)].get_or_insert(0);
            *units += u8::from(own) + u8::from(returns);
        }
        *self.note(generation, order) = match what {
            PutBack::Forget if note != Note::Out => Note::None,
            PutBack::Forget | PutBack::KeepOut | PutBack::Return | PutBack::Drop => Note::Out,
        };
    }

    /// `learn.lua`.
    pub fn learn(&mut self, generation: u8, units: u8, twin: Option<Twin>) -> bool {
        let holds = self.holds(generation, twin);
        if holds {
            self.content.shelf[usize::from(generation)].get_or_insert(units);
        }
        holds
    }

    /// All is gone; it runs on (FLUSHALL).
    pub fn flush(&mut self) {
        self.content = Content::default();
    }

    /// It is started again, with what its file holds.
    pub fn restart(&mut self) {
        self.run += 1;
        self.content = self.file;
    }

    /// Forgets what nobody can ask for any more: generations that are neither held nor being loaded.
    pub fn forget(&mut self, loading: [Option<u8>; 2]) {
        for content in [&mut self.content, &mut self.file] {
            for generation in 0..GENERATIONS {
                let held = content.marker.is_some_and(|(held, _)| usize::from(held) == generation);
                let loaded = loading.iter().flatten().any(|number| usize::from(*number) == generation);
                if !held && !loaded {
                    content.filled[generation] = false;
                    content.shelf[generation] = None;
                    content.notes[generation] = Default::default();
                    content.returned[generation] = Default::default();
                }
            }
        }
    }
}
