//! Ids and secrets at random, from a generator that the system seeds.

use saga_model::Micros;
use uuid::{NoContext, Timestamp, Uuid};

use crate::engine::Ids;

/// Random ids.
#[derive(Debug)]
pub struct RandomIds;

impl Ids for RandomIds {
    fn uuid(&self, at: Micros) -> Uuid {
        let micros = at.0.unsigned_abs(); // since 1970
        let (seconds, rest) = (micros / 1_000_000, (micros % 1_000_000) as u32); // below a million
        Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, rest * 1_000))
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
