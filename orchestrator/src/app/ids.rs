//! Ids and secrets at random, from a generator that the system seeds.

use std::sync::Mutex;

use saga_model::Micros;
use uuid::{ContextV7, Timestamp, Uuid};

use crate::engine::Ids;

/// Random ids, each above the one before.
#[derive(Debug, Default)]
pub struct RandomIds(Mutex<ContextV7>);

impl Ids for RandomIds {
    fn uuid(&self, at: Micros) -> Uuid {
        let micros = at.0.unsigned_abs(); // since 1970
        let (seconds, rest) = (micros / 1_000_000, (micros % 1_000_000) as u32); // below a million
        Uuid::new_v7(Timestamp::from_unix(&self.0, seconds, rest * 1_000))
    }

    fn secret(&self) -> u128 {
        // A version 4 UUID has 122 random bits; two of them fill the rest.
        Uuid::new_v4().as_u128() ^ Uuid::new_v4().as_u128().rotate_left(64)
    }
}

/// A name that no other process has.
pub fn instance_name() -> String {
    format!("{}-{}", std::process::id(), Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_their_time_and_rise() {
        let ids = RandomIds::default();
        let at = Micros(1_764_000_000_123_456);
        let made: Vec<Uuid> = (0..1_000).map(|_| ids.uuid(at)).collect();
        assert!(made.is_sorted());
        for id in [made[0], made[999]] {
            assert_eq!((id.get_version_num(), id.as_u128() >> 80), (7, 1_764_000_000_123));
        }
        assert!(ids.uuid(at.plus(1_000)) > made[999]);
    }
}
